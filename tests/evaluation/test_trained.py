"""The multitask baseline and experts along their training: the sums of plain evaluation."""

import shutil

import polars as pl
import pytest
import torch

from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import CheckpointError, DataError, TableError
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.trained import score_multitask, score_snapshots
from mergelaw.models.loading import load_model, n_params
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from mergelaw.tables import (
    LOSSES,
    SNAPSHOTS,
    TRAINING_LOG,
    TRAINING_LOG_KEY,
    read_provenance,
    read_table,
    write_table,
)
from tests.helpers import edit_weights, naive_nll, run_data, study_of, tiny_model

STUDY = study_of(("experts.2.domain", "biology"), ("multitask", {"experts": ["code", "algebra"]}))
"""Two experts are at home in biology; two are in the baseline."""

SIZE, TOKENS = "small", [30, 20, 50, 40]


def write_model(folder, tokenizer, seed):
    model = tiny_model("Qwen2", seed, vocab_size=len(tokenizer), num_hidden_layers=1)
    model.save_pretrained(folder)


def write_log(paths, expert, tokens=TOKENS):
    steps = range(1, len(tokens) + 1)
    rows = [
        (SIZE, expert, step, 2.0, 0.001, 1.0, 5, n, 0.1, n / 0.1, 100)
        for step, n in zip(steps, tokens, strict=True)
    ]
    log = pl.DataFrame(rows, schema=dict(TRAINING_LOG), orient="row")
    write_table(paths.training_log(SIZE, expert), log, TRAINING_LOG, TRAINING_LOG_KEY, {})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A study whose text is prepared and whose models were trained; read only."""
    paths = StudyPaths(tmp_path_factory.mktemp("trained"))
    run_data(STUDY, paths)
    tokenizer = load_tokenizer(paths.tokenizer)
    for seed, name in enumerate(("base", "multitask", *STUDY.expert_names)):
        write_model(paths.trained(SIZE, name), tokenizer, seed)
        tokenizer.save_pretrained(paths.trained(SIZE, name))
    for seed, name in enumerate(STUDY.expert_names):
        write_log(paths, name)
        for step in (3, 1):
            write_model(paths.snapshot(SIZE, name, step), tokenizer, 10 * step + seed)
    return paths


@pytest.fixture
def paths(tree, tmp_path):
    shutil.copytree(tree.root, tmp_path / "study")
    return StudyPaths(tmp_path / "study")


def naive_losses(study, paths, folder):
    """Summed loss of a checkpoint by domain, item by item through the model's own labels."""
    model = load_model(folder, torch.float32)
    return {
        shard.domain: [naive_nll(model, item.input_ids, item.scored) for item in shard.items]
        for shard in read_shards(study, paths)
    }


def test_the_baseline_has_a_row_per_domain_as_merges_have(tree):
    table = read_table(score_multitask(STUDY, tree, SIZE), LOSSES)
    expected = naive_losses(STUDY, tree, tree.trained(SIZE, "multitask"))
    assert table["domain"].to_list() == list(STUDY.domain_names)
    for domain, items in table.select("domain", "item_nll_sum").iter_rows():
        assert items == pytest.approx(expected[domain], rel=1e-5)
    [called] = table.select("size", "method", "subset", "order", "k", "mask_seed").unique().rows()
    assert called == (SIZE, "multitask", "algebra+code", "algebra+code", 2, 0)
    origin = read_provenance(tree.multitask_losses(SIZE))
    assert origin["slice"] == fingerprint(STUDY, "experts", "multitask_losses", size=SIZE)
    assert len(origin["text"]) > 8


def test_experts_are_scored_on_their_own_domain_along_their_training(tree):
    table = read_table(score_snapshots(STUDY, tree, SIZE), SNAPSHOTS)
    kept = {
        0: (tree.trained(SIZE, "base"), 0),
        1: (lambda name: tree.snapshot(SIZE, name, 1), 30),
        3: (lambda name: tree.snapshot(SIZE, name, 3), 100),
        4: (lambda name: tree.trained(SIZE, name), 140),
    }
    assert table.height == 3 * len(kept)
    for row in table.iter_rows(named=True):
        folder, tokens = kept[row["step"]]
        folder = folder if row["step"] == 0 else folder(row["expert"])
        domain = STUDY.expert(row["expert"]).domain
        expected = naive_losses(STUDY, tree, folder)[domain]
        assert row["domain"] == domain
        assert row["item_nll_sum"] == pytest.approx(expected, rel=1e-5)
        assert row["nll_sum"] == pytest.approx(sum(expected), rel=1e-5)
        assert row["training_tokens"] == tokens
        assert row["training_flops"] == 6 * row["n_params_total"] * tokens
    model = load_model(tree.trained(SIZE, "base"), torch.float32)
    counts = table.select("n_params_total", "n_params_nonembedding").unique().rows()
    assert counts == [n_params(model)]
    places = table.select("expert", "step").rows()
    assert places == sorted(places)


def with_given(paths, experts):
    """The study with a given base, and these experts given."""
    size = {"name": SIZE, "base": str(paths.trained(SIZE, "base")), "experts": experts}
    tokenizer = ("tokenizer", {"path": str(paths.tokenizer)})
    return study_of(("experts.2.domain", "biology"), ("sizes", [size]), tokenizer)


def test_given_experts_have_no_row(paths):
    shutil.rmtree(paths.trained(SIZE, "algebra"))
    study = with_given(paths, {"algebra": str(paths.trained(SIZE, "code"))})
    table = read_table(score_snapshots(study, paths, SIZE), SNAPSHOTS)
    assert set(table["expert"]) == {"biology", "code"}
    every = with_given(paths, {name: f"nowhere/{name}" for name in STUDY.expert_names})
    assert read_table(score_snapshots(every, paths, SIZE), SNAPSHOTS).is_empty()


def test_a_snapshot_beyond_the_log_is_refused(paths):
    write_log(paths, "biology", TOKENS[:2])
    with pytest.raises(CheckpointError, match=r"snapshot of step 3.*ends at step 2"):
        score_snapshots(STUDY, paths, SIZE)
    paths.training_log(SIZE, "biology").unlink()
    with pytest.raises(TableError, match="is missing"):
        score_snapshots(STUDY, paths, SIZE)


@pytest.mark.parametrize("place", ["base", "biology", "biology/step-1"])
def test_a_loss_that_is_not_finite_names_the_checkpoint(place, paths):
    folder = paths.root / "experts" / SIZE / place
    edit_weights(folder, "model.norm.weight", lambda weight: weight * float("nan"))
    paths.snapshot_losses(SIZE).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=rf"{place}\b.*"):
        score_snapshots(STUDY, paths, SIZE)
    assert not paths.snapshot_losses(SIZE).exists()


@pytest.mark.parametrize(
    ("place", "score"), [("multitask", score_multitask), ("code", score_snapshots)]
)
def test_another_tokenizer_is_refused(place, score, paths, tokenizer):
    tokenizer.save_pretrained(paths.trained(SIZE, place))
    with pytest.raises(DataError, match=rf"{place}/tokenizer.json: has another vocabulary"):
        score(STUDY, paths, SIZE)
