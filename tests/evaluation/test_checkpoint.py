"""Checkpoints scored from disk: the sweep's sums to the last bit; what cannot be scored is told."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mergelaw.cells import cell
from mergelaw.data.encode import Encoded
from mergelaw.design import chunks
from mergelaw.errors import CheckpointError, DataError
from mergelaw.evaluation.cell import score_cell
from mergelaw.evaluation.checkpoint import (
    SCORES,
    Origin,
    read_origin,
    read_scores,
    read_text,
    score_checkpoint,
    score_model,
    write_scores,
)
from mergelaw.evaluation.loss import make_batches, scored_states
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import read_shard
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.stage import write_cell
from mergelaw.models import loading as model_module
from mergelaw.models.head import Head
from mergelaw.models.loading import devices_for, load_model
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from mergelaw.sweep.chunk import run_chunk
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table
from tests.given import given_study, store_head, write_models
from tests.helpers import edit_weights, naive_nll, run_data, save_weights, tiny_model

METHODS = [
    {"label": "ties", "method": "ties", "parameters": {"density": 0.6}},
    {"label": "dare", "method": "dare", "parameters": {"drop_rate": 0.3}},
    {"label": "karcher", "method": "karcher"},
]
DESIGN = ("design", [{"kind": "exhaustive", "k": [1, 3], "chunk_size": 9}])


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    return write_models(tmp_path_factory.mktemp("models"), tokenizer)


@pytest.fixture(scope="module")
def data(models, tmp_path_factory):
    """Return the folder of a study whose evaluation text is prepared; read only."""
    root = tmp_path_factory.mktemp("data")
    run_data(given_study(models, METHODS, DESIGN), StudyPaths(root))
    return root


@pytest.fixture
def paths(data, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "data").symlink_to(data / "data")
    return StudyPaths(tmp_path / "study")


def shard_files(paths):
    return [paths.shard(name) for name in ("algebra", "biology", "code")]


# --- the sums ---


@pytest.mark.parametrize("accumulate", ["float32", "sequential_bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_are_those_of_the_sweep_to_the_last_bit(models, paths, dtype, accumulate):
    settings = {"dtype": dtype, "accumulate": accumulate, "mask_seeds": [3, 8]}
    settings["evaluation.batch_tokens"] = 300
    study = given_study(models, METHODS, DESIGN, *settings.items())
    assert len(chunks(study, "own")) == 1
    for method, names in {
        "ties": ["base", "biology", "algebra+biology+code"],
        "dare": ["base", "code", "code~mask8", "algebra+biology+code~mask8"],
        "karcher": ["base", "algebra+biology+code"],
    }.items():
        swept = read_table(run_chunk(study, paths, "own", method, 0), LOSSES)
        for name in names:
            merge = cell(study, "own", method, name)
            write_cell(study, paths, merge)
            found = read_table(score_cell(study, paths, merge), LOSSES)
            rows = swept.filter(subset=merge.subset.name, mask_seed=merge.mask_seed)
            assert rows.height == 3
            assert found.sort(LOSSES_KEY).equals(rows.sort(LOSSES_KEY)), name


def test_any_folder_can_be_scored_and_gives_the_same_sums(models, paths, tmp_path):
    study = given_study(models, METHODS, DESIGN)
    merge = cell(study, "own", "dare", "algebra+code")
    folder = write_cell(study, paths, merge)
    rows = read_table(score_cell(study, paths, merge), LOSSES)
    batch_tokens = study.evaluation.batch_tokens
    scores = score_checkpoint(folder, shard_files(paths), "float32", batch_tokens)
    assert pl.DataFrame([s.row() for s in scores], schema=SCORES).equals(rows.select(*SCORES))
    origin = Origin("own/expert", "float32", {"algebra": "x"})
    write_scores(tmp_path / "scores.parquet", scores, origin)
    assert read_origin(tmp_path / "scores.parquet") == origin
    assert read_table(tmp_path / "scores.parquet", SCORES).equals(rows.select(*SCORES))
    assert read_scores(tmp_path / "scores.parquet") == scores
    assert "torch" in json.loads(read_provenance(tmp_path / "scores.parquet")["versions"])
    origin = read_provenance(paths.merged_losses("own", "dare", "algebra+code"))
    targets = {"size": "own", "method": "dare", "subset": "algebra+code"}
    assert origin["slice"] == fingerprint(study, "merge", "cell_losses", **targets)


def test_a_score_is_the_loss_of_its_items(models, paths):
    study = given_study(models, METHODS, DESIGN)
    scores = score_checkpoint(models / "algebra", shard_files(paths), "float32", 300)
    model = load_model(models / "algebra", torch.float32)
    for score, shard in zip(scores, read_shards(study, paths), strict=True):
        items = [naive_nll(model, item.input_ids, item.scored) for item in shard.items]
        assert score.domain == shard.domain
        assert score.item_nll_sum == pytest.approx(items, rel=1e-5)
        assert score.item_n_tokens == shard.n_tokens.tolist()
        assert score.nll_sum == pytest.approx(sum(items), rel=1e-5)
        assert score.loss == score.nll_sum / shard.n_tokens.sum()
        assert score.facts() == {
            "domain": shard.domain,
            "loss": score.loss,
            "nll_sum": score.nll_sum,
            "n_tokens": int(shard.n_tokens.sum()),
            "n_items": len(shard.items),
        }


def test_a_stored_copy_of_a_tied_head_changes_nothing(models, paths, tmp_path):
    before = score_checkpoint(models / "algebra", shard_files(paths), "float32", 4096)
    shutil.copytree(models / "algebra", tmp_path / "copy")
    store_head(tmp_path / "copy")
    assert score_checkpoint(tmp_path / "copy", shard_files(paths), "float32", 4096) == before


# --- refusals ---


@pytest.fixture
def own(models, tmp_path):
    """A checkpoint that the test may spoil."""
    return shutil.copytree(models / "algebra", tmp_path / "own")


def refusal(folder, paths, error=CheckpointError) -> str:
    with pytest.raises(error) as caught:
        score_checkpoint(folder, shard_files(paths), "float32", 4096)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_folders_that_hold_no_model_are_refused(models, own, paths, tmp_path):
    assert "no such checkpoint folder" in refusal(tmp_path / "nowhere", paths)
    assert "holds an adapter; merge it into its base first" in refusal(models / "biology", paths)
    (own / "config.json").unlink()
    assert "has no config.json" in refusal(own, paths)


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"model_type": "nothing"}', '{"model_type": "bert"}']
)
def test_configs_of_no_language_model_are_refused(own, paths, config):
    (own / "config.json").write_text(config)
    assert str(own) in refusal(own, paths)


def test_weights_that_cannot_be_read_are_refused(own, paths):
    file = own / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert "cannot be loaded as a causal language model" in refusal(own, paths)
    tensors = {"model.norm.weight": torch.ones(4)}
    torch.save(tensors, own / "pytorch_model.bin")
    file.unlink()
    assert "cannot be loaded as a causal language model" in refusal(own, paths)


def test_code_of_the_folder_is_not_run(own, paths, tmp_path):
    config = json.loads((own / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "code.Model"}}
    config["auto_map"]["AutoConfig"] = "code.Config"
    (own / "config.json").write_text(json.dumps(config))
    (own / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refusal(own, paths)
    assert not (tmp_path / "ran").exists()


def test_missing_additional_and_misshapen_tensors_are_named(own, paths):
    tensors = load_file(own / "model.safetensors")
    norm = tensors.pop("model.norm.weight")
    save_weights(own, tensors | {"model.odd.weight": norm})
    message = refusal(own, paths)
    assert "the weights are not those of its model: 2 problems" in message
    assert "lacks 1 tensor: model.norm.weight" in message
    assert "has, beyond the model's, 1 tensor: model.odd.weight" in message
    save_weights(own, tensors | {"model.norm.weight": norm[:5]})
    assert "model.norm.weight has shape [5], the model [160]" in refusal(own, paths)


def test_another_vocabulary_is_refused(own, paths):
    path = own / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[50:52]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    message = refusal(own, paths, DataError)
    assert f"{path}: has another vocabulary" in message


def test_tokens_without_an_embedding_are_refused(own, paths):
    (own / "tokenizer.json").unlink()
    config = json.loads((own / "config.json").read_text()) | {"vocab_size": 100}
    (own / "config.json").write_text(json.dumps(config))
    edit_weights(own, "model.embed_tokens.weight", lambda tensor: tensor[:100])
    with pytest.raises(DataError, match=r"the text has token \d+, the model 100 embeddings"):
        score_checkpoint(own, shard_files(paths), "float32", 4096)


def test_a_loss_that_is_not_finite_is_told_with_its_domain_and_its_beginning(own, paths):
    n_items = len(read_shard(shard_files(paths)[0]).items)
    n_all = sum(len(read_shard(file).items) for file in shard_files(paths))
    edit_weights(own, "model.norm.weight", lambda tensor: tensor * float("nan"))
    message = refusal(own, paths)
    assert n_all > n_items
    assert message.startswith(
        f"{own} has a loss that is not finite on domain 'algebra': {n_all} of {n_all} items, "
        "the first item 0 of domain 'algebra' ("
    )
    assert message.endswith("; its hidden states hold NaN or infinity; check its weights")


@pytest.mark.parametrize(
    ("value", "words"),
    [(float("nan"), "its logits hold NaN"), (float("inf"), "its logits hold infinity, and no NaN")],
)
def test_only_the_items_that_are_touched_by_bad_weights_are_told(models, paths, value, words):
    """A head that fails at one position of one item."""
    shards = [read_shard(file) for file in shard_files(paths)]
    text = EvalText.of([replace(s, items=s.items[:2]) for s in shards], 1)
    model = load_model(models / "algebra", torch.float32)
    (batch,) = make_batches([shards[2].items[1]], 1)
    with torch.inference_mode():
        place = scored_states(model, Head.of(model), batch)[0][-1]

    def spoil(_module, arguments, logits):
        logits[(arguments[0] == place).all(-1), 5] = value

    model.lm_head.register_forward_hook(spoil)
    with pytest.raises(CheckpointError) as caught:
        score_model(model, text, "the average merge of algebra+code")
    source = re.escape(shards[2].sources[1])
    assert re.fullmatch(
        "the average merge of algebra[+]code has a loss that is not finite on domain 'code': 1 of "
        rf"6 items, the first item 1 of domain 'code' \({source}\); {words}; check its weights",
        str(caught.value),
    )


def test_a_domain_is_scored_once(own, paths):
    files = shard_files(paths)
    with pytest.raises(DataError, match="2 shards of domain 'biology'"):
        score_checkpoint(own, [*files, files[1]], "float32", 4096)


def test_the_type_is_that_of_the_forward_pass(models, paths):
    exact, low = (
        score_checkpoint(models / "algebra", shard_files(paths), dtype, 4096)
        for dtype in ("float32", "bfloat16")
    )
    for one, other in zip(exact, low, strict=True):
        assert one.nll_sum != other.nll_sum
        np.testing.assert_allclose(one.nll_sum, other.nll_sum, rtol=0.02)


# --- placement ---


def test_a_placed_model_gives_the_same_sums(models, paths):
    text = read_text(shard_files(paths), 300)
    here, placed = (
        load_model(models / "algebra", torch.float32, devices) for devices in (None, {"": "cpu"})
    )
    assert score_model(here, text, "here") == score_model(placed, text, "placed")


def test_a_model_of_which_parts_are_left_on_disk_is_refused(models, tmp_path):
    devices = {"model.embed_tokens": "cpu", "model.layers": "disk", "model.norm": "cpu"}
    with pytest.raises(CheckpointError, match=r"does not fit on the devices: 1 .*\(model.layers\)"):
        load_model(models / "algebra", torch.float32, devices | {"lm_head": "cpu"})


def test_tokens_go_to_the_embeddings_and_hidden_states_to_the_head(monkeypatch):
    (batch,) = make_batches([Encoded(np.arange(5), np.arange(5) > 2, 0)], 1)
    model = tiny_model("Qwen2", tie_word_embeddings=False)
    model.lm_head.to("meta")
    hidden, targets = scored_states(model, Head.of(model), batch)
    assert hidden.is_meta
    assert targets.is_meta
    given = []

    def forward(input_ids, **_):
        given.append(input_ids.device.type)
        return SimpleNamespace(last_hidden_state=torch.zeros(1, 5, 16))

    model.model.embed_tokens.to("meta")
    monkeypatch.setattr(model.model, "forward", forward)
    scored_states(model, Head.of(model), batch)
    assert given == ["meta"]


def test_a_checkpoint_is_placed_by_the_bytes_of_its_weights_and_of_a_batch(models, monkeypatch):
    asked = []
    monkeypatch.setattr(model_module, "visible_devices", lambda *found: asked.append(found))
    devices_for(models / "algebra", "bfloat16", 100)
    assert asked == [], "without a GPU nothing is read"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    devices_for(models / "algebra", "bfloat16", 100)
    n = sum(tensor.numel() for tensor in load_file(models / "algebra/model.safetensors").values())
    config = json.loads((models / "algebra/config.json").read_text())
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    assert asked == [(2 * n, 20 * 100 * width * 2 + 2 * 4 * 100 * vocabulary)]
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        devices_for(models, "bfloat16", 100)
