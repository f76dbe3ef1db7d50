"""The sweep: each of its losses is that of the checkpoint that the papers' definition gives."""

import hashlib
import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergelaw.design import chunks, subsets
from mergelaw.errors import CheckpointError, DataError
from mergelaw.evaluation.prepared import read_shards
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from mergelaw.sweep.chunk import run_chunk
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table
from tests.given import given_study, store_head, write_models
from tests.helpers import edit_weights, naive_nll, run_data, run_sweep, save_weights, study_of
from tests.merging import oracles

# --- the numbers ---


def dare_mask(seed, mask_seed, expert, names, sizes, rate):
    """Draw the dropped entries of an expert as the documentation says, with NumPy alone."""
    parts = []
    for name, size in zip(names, sizes, strict=True):
        key = hashlib.sha256(f"{seed}/{mask_seed}/{expert}/{name}".encode()).digest()[:16]
        words = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(size // 4 + 1)
        parts.append(words.view("<u2")[:size] < rate * 2**16)
    return np.concatenate(parts), rate


def oracle_delta(label, vectors, names, sizes, experts):
    ends = np.cumsum(sizes)
    spans = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    if label == "average":
        return oracles.average(vectors)
    if label == "ta":
        return oracles.task_arithmetic(vectors, 0.8)
    if label == "ties":
        return oracles.ties(vectors, 0.6, 1.0, spans)
    rate = round(0.3 * 2**16) / 2**16
    return oracles.dare(vectors, [dare_mask(0, 0, e, names, sizes, rate) for e in experts], 1.0)


def oracle_losses(study, paths, size, label, folder):
    """Write every merge as a checkpoint, load it with transformers alone, score item by item."""
    base = load_file(paths.trained(size, "base") / "model.safetensors")
    names = sorted(base)
    sizes = [base[name].numel() for name in names]

    def flat(weights):
        return torch.cat([weights[name].flatten() for name in names])

    start = flat(base)
    deltas = {
        e: (flat(load_file(paths.trained(size, e) / "model.safetensors")) - start).double().numpy()
        for e in study.expert_names
    }
    for subset in subsets(study, size):
        weights = start.double().numpy()
        if subset.k:
            vectors = [deltas[expert] for expert in subset.experts]
            weights = weights + oracle_delta(label, vectors, names, sizes, subset.experts)
        parts = torch.from_numpy(weights).float().split(sizes)
        shutil.copytree(paths.trained(size, "base"), folder, dirs_exist_ok=True)
        save_weights(folder, {n: p.view(base[n].shape) for n, p in zip(names, parts, strict=True)})
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
        for shard in read_shards(study, paths):
            yield (
                (subset.name, shard.domain),
                [naive_nll(model, i.input_ids, i.scored) for i in shard.items],
            )


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("label", ["average", "ta", "ties", "dare"])
def test_every_row_is_the_loss_of_the_merged_checkpoint(swept, tmp_path, size, label):
    study, paths = swept
    frame = pl.concat(
        read_table(paths.chunk(size, label, c.index), LOSSES) for c in chunks(study, size)
    )
    rows = {(row["subset"], row["domain"]): row for row in frame.to_dicts()}
    expected = dict(oracle_losses(study, paths, size, label, tmp_path / "merged"))
    assert rows.keys() == expected.keys()
    assert len(rows) == 8 * 3
    for key, items in expected.items():
        assert rows[key]["nll_sum"] == pytest.approx(sum(items), rel=1e-5), key
        assert rows[key]["item_nll_sum"] == pytest.approx(items, rel=1e-5), key
    spread = {round(sum(items), 3) for items in expected.values()}
    assert len(spread) > 0.9 * len(expected), "merges differ, so that a mix-up would show"


def test_the_base_is_the_same_under_every_method(swept):
    study, paths = swept
    for size in study.size_names:
        bases = [
            read_table(paths.chunk(size, method, 0), LOSSES).filter(k=0).drop("method")
            for method in study.method_labels
        ]
        assert bases[0].height == 3
        assert all(frame.equals(bases[0]) for frame in bases)


def test_columns_tell_the_merge_its_parameters_and_its_items(swept):
    study, paths = swept
    frame = read_table(paths.chunk("large", "ties", 1), LOSSES)
    assert set(frame["order"]) == {s.name for s in chunks(study, "large")[1].subsets}
    assert (frame["subset"] == frame["order"]).all()
    assert (frame["k"] == frame["subset"].str.count_matches(r"\+", literal=False) + 1).all()
    model = AutoModelForCausalLM.from_pretrained(paths.trained("large", "base"))
    total = sum(p.numel() for p in model.parameters())
    assert set(frame["n_params_total"]) == {total}
    assert set(frame["n_params_nonembedding"]) == {total - 300 * 24}, "tied embeddings count once"
    assert (frame["item_n_tokens"].list.sum() == frame["n_tokens"]).all()
    for shard in read_shards(study, paths):
        row = frame.filter(domain=shard.domain).to_dicts()[0]
        assert row["item_n_tokens"] == shard.n_tokens.tolist()
        assert sum(row["item_nll_sum"]) == pytest.approx(row["nll_sum"])


def test_the_order_of_the_pool_does_not_change_a_bit(swept, tmp_path):
    study, paths = swept
    other = study_of(
        ("experts", [{"name": n, "domain": n} for n in ("code", "biology", "algebra")])
    )
    shutil.copytree(paths.root / "data", tmp_path / "data")
    (tmp_path / "experts").symlink_to(paths.root / "experts")
    for method in ("ties", "dare"):
        frames = []
        for one, where in ((study, paths), (other, StudyPaths(tmp_path))):
            if one is other:
                run_sweep(one, where, ["small"], [method])
            frames.append(
                pl.concat(read_table(where.chunk("small", method, i), LOSSES) for i in (0, 1))
            )
        assert frames[0].sort(LOSSES_KEY).equals(frames[1].sort(LOSSES_KEY))


def test_a_second_run_gives_equal_bytes(own_sweep):
    study, paths = own_sweep
    path = paths.chunk("large", "dare", 1)
    before = path.read_bytes()
    path.unlink()
    run_chunk(study, paths, "large", "dare", 1)
    assert path.read_bytes() == before
    origin = read_provenance(path)
    assert origin["slice"] == fingerprint(
        study, "sweep", "chunk", size="large", method="dare", chunk=1
    )
    cost = json.loads(paths.chunk_cost("large", "dare", 1).read_text())
    assert (cost["n_merges"], cost["method"], cost["chunk"]) == (3, "dare", 1)


def test_a_chunk_tells_the_work_of_the_merges_that_it_scored(own_sweep):
    study, paths = own_sweep
    run_chunk(study, paths, "large", "dare", 1)
    cost = json.loads(paths.chunk_cost("large", "dare", 1).read_text())
    items = [item for shard in read_shards(study, paths) for item in shard.items]
    lengths = [len(item.input_ids) for item in items]
    model = AutoModelForCausalLM.from_pretrained(paths.trained("large", "base"))
    width, layers, vocabulary = 24, 2, model.config.vocab_size
    inner = sum(p.numel() for p in model.parameters()) - width * vocabulary
    flops = sum(2 * inner * length + 4 * layers * width * length**2 for length in lengths)
    flops += 2 * width * vocabulary * sum(int(item.scored.sum()) for item in items)
    assert cost["n_tokens"] == sum(lengths)
    assert cost["tokens_read"] == 3 * sum(lengths)
    assert cost["flops"] == pytest.approx(3 * flops)
    assert cost["device_hours"] == {"cpu": cost["wall_seconds"] / 3600}


def test_batch_tokens_change_no_loss(own_sweep):
    _study, paths = own_sweep
    before = read_table(paths.chunk("small", "ta", 0), LOSSES)
    run_chunk(study_of(("evaluation.batch_tokens", 100)), paths, "small", "ta", 0)
    after = read_table(paths.chunk("small", "ta", 0), LOSSES)
    np.testing.assert_allclose(after["nll_sum"], before["nll_sum"], rtol=1e-6)


def test_mask_seeds_repeat_dare_only(own_sweep):
    _, paths = own_sweep
    study = study_of(("mask_seeds", [0, 5]))
    before = read_table(paths.chunk("small", "dare", 0), LOSSES)
    run_sweep(study, paths, ["small"], ["dare", "average"])
    dare = read_table(paths.chunk("small", "dare", 0), LOSSES)
    assert dare.filter(mask_seed=0).equals(before)
    merges = dare.filter(pl.col("k") > 0)
    assert merges.filter(mask_seed=5).height == merges.filter(mask_seed=0).height == 4 * 3
    assert not set(merges.filter(mask_seed=5)["nll_sum"]) & set(
        merges.filter(mask_seed=0)["nll_sum"]
    )
    assert set(read_table(paths.chunk("small", "average", 0), LOSSES)["mask_seed"]) == {0}


def test_bfloat16_weights_and_sums_are_other_numbers(own_sweep):
    _, paths = own_sweep
    exact = read_table(paths.chunk("small", "average", 1), LOSSES)
    for change in (("dtype", "bfloat16"), ("accumulate", "sequential_bfloat16")):
        run_chunk(study_of(change), paths, "small", "average", 1)
        low = read_table(paths.chunk("small", "average", 1), LOSSES)
        assert set(low["accumulate"]) == {change[1] if change[0] == "accumulate" else "float32"}
        assert (low["nll_sum"] != exact["nll_sum"]).all()
        np.testing.assert_allclose(low["nll_sum"], exact["nll_sum"], rtol=2e-2)


# --- refusals ---


def refusal(study, paths, index=1, error=CheckpointError) -> str:
    paths.chunk("small", "average", index).unlink()
    with pytest.raises(error) as caught:
        run_chunk(study, paths, "small", "average", index)
    assert not paths.chunk("small", "average", index).exists()
    return str(caught.value)


def test_an_expert_with_nan_is_named(own_sweep):
    study, paths = own_sweep
    edit_weights(paths.trained("small", "biology"), "model.norm.weight", lambda t: t * float("nan"))
    message = refusal(study, paths)
    assert (
        f"{paths.trained('small', 'biology')}/model.safetensors: model.norm.weight has a NaN"
        in message
    )


def test_mismatched_experts_are_named(own_sweep):
    study, paths = own_sweep
    edit_weights(paths.trained("small", "biology"), "model.norm.weight", lambda t: None)
    edit_weights(paths.trained("small", "code"), "model.norm.weight", lambda t: t[:8])
    message = refusal(study, paths)
    assert "expert 'biology' lacks 1 tensor of the base: model.norm.weight" in message
    assert "expert 'code': model.norm.weight has shape [8], the base [16]" in message


def test_a_merge_whose_loss_overflows_is_named(own_sweep):
    study, paths = own_sweep
    edit_weights(paths.trained("small", "code"), "model.norm.weight", lambda t: t * 0 + 3e38)
    assert "the average merge of algebra+code has a loss that is not finite" in refusal(
        study, paths
    )


def test_text_of_another_tokenizer_is_refused(own_sweep):
    study, paths = own_sweep
    for expert in ("base", *study.expert_names):
        folder = paths.trained("small", expert)
        config = json.loads((folder / "config.json").read_text()) | {"vocab_size": 100}
        (folder / "config.json").write_text(json.dumps(config))
        edit_weights(folder, "model.embed_tokens.weight", lambda t: t[:100])
    message = refusal(study, paths, error=DataError)
    assert "the text has token" in message
    assert "the model 100 embeddings" in message


def swap_words(path) -> None:
    """Give a saved tokenizer another vocabulary of the same size."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[50:52]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")


def test_an_expert_with_another_vocabulary_is_named(own_sweep):
    study, paths = own_sweep
    swap_words(paths.trained("small", "code") / "tokenizer.json")
    message = refusal(study, paths)
    assert "expert 'code': its tokenizer differs from the base's at 2 ids" in message


def test_checkpoints_with_another_vocabulary_than_the_text_are_named(own_sweep):
    study, paths = own_sweep
    files = [paths.trained("small", n) / "tokenizer.json" for n in ("base", *study.expert_names)]
    for file in files:
        swap_words(file)
    message = refusal(study, paths, error=DataError)
    assert f"{files[0]}: has another vocabulary" in message
    assert f"{files[3]}: has another vocabulary" in message


# --- given checkpoints ---


GIVEN = [{"label": "stock", "method": "model_stock"}, {"label": "ties", "method": "ties"}]
GIVEN_DESIGN = ("design", [{"kind": "exhaustive", "k": [2, 3]}])


def test_a_stored_copy_of_a_tied_head_changes_no_loss(tmp_path, tokenizer):
    folder = write_models(tmp_path / "models", tokenizer)
    study, paths = given_study(folder, GIVEN, GIVEN_DESIGN), StudyPaths(tmp_path / "study")
    run_data(study, paths)
    before = [read_table(run_chunk(study, paths, "own", m, 0), LOSSES) for m in ("stock", "ties")]
    assert before[0].filter(k=0).height == 3, "the base, which no method of k > 1 merges"
    for name in ("base", "algebra"):
        store_head(folder / name)
    after = [read_table(run_chunk(study, paths, "own", m, 0), LOSSES) for m in ("stock", "ties")]
    assert all(one.equals(other) for one, other in zip(before, after, strict=True))
    edit_weights(folder / "code", "lm_head.weight", lambda tensor: tensor + 1e-3)
    with pytest.raises(CheckpointError, match=r"lm_head.weight is to be a copy of model.embed_tok"):
        run_chunk(study, paths, "own", "ties", 0)


def test_an_expert_of_another_base_is_merged_for_a_reason_only(tmp_path, tokenizer):
    folder = write_models(tmp_path / "models", tokenizer)
    study, paths = given_study(folder, GIVEN, GIVEN_DESIGN), StudyPaths(tmp_path / "study")
    run_data(study, paths)
    before = read_table(run_chunk(study, paths, "own", "ties", 0), LOSSES)
    (folder / "algebra" / "README.md").write_text("---\nbase_model: org/other\n---\n")
    with pytest.raises(CheckpointError, match="'algebra' says that it was made from 'org/other'"):
        run_chunk(study, paths, "own", "ties", 0)
    lineage = ("lineage", {"check": "report", "reason": "the card is wrong"})
    study = given_study(folder, GIVEN, GIVEN_DESIGN, lineage)
    assert read_table(run_chunk(study, paths, "own", "ties", 0), LOSSES).equals(before)
