"""A study's best weights: what the table holds, on which text, and against what."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mergelaw.config.recipe import method_from_text, recipe_of
from mergelaw.design import BASE
from mergelaw.errors import ConfigError
from mergelaw.evaluation.checkpoint import open_checkpoint, score_model
from mergelaw.laws.schemas.theory import WEIGHTS
from mergelaw.merging.checkpoint import merge_checkpoints
from mergelaw.paths import checkpoint_ref
from mergelaw.tables import read_provenance, read_table
from mergelaw.theory import ways
from mergelaw.theory.texts import calibration_and_heldout
from mergelaw.theory.weights import write_weights
from tests.helpers import study_of

THEORY = {
    "calibration_tokens": 150,
    "heldout_tokens": 200,
    "objectives": [
        {"label": "macro"},
        {"label": "few", "target": "code", "max_experts": 2},
        {"label": "layers", "groups": "layers", "target": "worst"},
    ],
}


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """The tiny study with its table of weights, made beside its own results."""
    _, paths = trained
    root = tmp_path_factory.mktemp("weights")
    for part in ("data", "experts"):
        (root / part).symlink_to(paths.root.absolute() / part)
    study = study_of(("theory", THEORY))
    own = type(paths)(root)
    write_weights(study, own, "small")
    return study, own, read_table(own.weights("small"), WEIGHTS.schema)


def row(frame: pl.DataFrame, objective: str, way: str) -> dict:
    (found,) = frame.filter(objective=objective, way=way).to_dicts()
    return found


def test_the_first_objective_stands_beside_ways_of_like_cost_the_others_beside_two(made):
    *_, frame = made
    dear = {ways.CMA_ES_LONG, ways.QUADRATIC}
    tried = [way for way in ways.WAYS if way not in dear]
    assert frame.filter(objective="macro")["way"].to_list() == tried
    for label in ("few", "layers"):
        beside = frame.filter(objective=label)["way"].to_list()
        assert beside == [ways.NEWTON, ways.FULL_AVERAGE, ways.BEST_SCALE]


def test_losses_are_those_of_the_merge_on_disk_on_the_two_texts(made, tmp_path):
    study, paths, frame = made
    calibration, heldout = calibration_and_heldout(study, paths)
    found = row(frame, "macro", ways.NEWTON)
    refs = {n: checkpoint_ref(study, paths, "small", n) for n in (BASE, *found["experts"])}
    weights = dict(zip(found["experts"], found["weights"], strict=True))
    method = method_from_text("task_arithmetic:normalize=false,scale=1.0", weights)
    recipe = recipe_of(refs.pop(BASE), refs, method, dtype="float32")
    merge_checkpoints(recipe, tmp_path / "merged")
    for text, column in ((calibration, "calibration"), (heldout, "heldout")):
        model = open_checkpoint(tmp_path / "merged", text, "float32")
        losses = [score.loss for score in score_model(model, text, "it")]
        assert found[column] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["heldout_by_domain"] == pytest.approx(losses, rel=1e-6)
    assert found["heldout_tokens"] == heldout.length.n_scored


def test_no_way_is_worse_than_where_it_began_and_few_are_few(made):
    *_, frame = made
    for label in ("macro", "layers"):
        average = row(frame, label, ways.FULL_AVERAGE)["calibration"]
        assert row(frame, label, ways.NEWTON)["calibration"] <= average
        assert row(frame, label, ways.BEST_SCALE)["calibration"] <= average
    assert row(frame, "few", ways.NEWTON)["n_experts"] <= 2
    layers = row(frame, "layers", ways.NEWTON)
    assert layers["groups"] == ["embeddings", "layer 0", "rest"]
    assert len(layers["weights"]) == 9
    worst = max(layers["heldout_by_domain"])
    assert layers["heldout"] == pytest.approx(worst)


def test_errors_are_of_the_difference_from_the_full_average(made):
    *_, frame = made
    average = row(frame, "macro", ways.FULL_AVERAGE)
    assert average["heldout_stderr"] == 0
    assert row(frame, "macro", ways.CMA_ES)["heldout_stderr"] > 0


def test_costs_are_told(made):
    _, paths, frame = made
    newton, evolved = (row(frame, "macro", way) for way in (ways.NEWTON, ways.CMA_ES))
    assert newton["forwards"] >= 4
    assert evolved["forwards"] <= newton["forwards"]
    cost = json.loads(Path(paths.weights("small").with_suffix(".cost.json")).read_text())
    assert cost["stage"] == "theory"
    assert cost["tokens_read"] > 0
    told = [(way["objective"], way["way"]) for way in cost["ways"]]
    assert sorted(told) == sorted(frame.select("objective", "way").iter_rows())
    assert all(way["seconds"] > 0 for way in cost["ways"])
    assert read_provenance(paths.weights("small"))["stage"] == "theory"


def test_what_must_be_known_stands_in_the_provenance_and_on_standard_error(made, capsys):
    _, paths, _ = made
    study = study_of(("theory", THEORY | {"heldout_tokens": 10**6}))
    capsys.readouterr()
    write_weights(study, paths, "small")
    streams = capsys.readouterr()
    notes = json.loads(read_provenance(paths.weights("small"))["notes"])
    for domain in study.domain_names:
        told = f"small, domain {domain!r}: "
        assert any(note.startswith(told) and "1,000,000" in note for note in notes)
    frame = read_table(paths.weights("small"), WEIGHTS.schema)
    for label in ("macro", "few", "layers"):
        for note in row(frame, label, ways.NEWTON)["note"].split("; ")[1:]:
            assert f"small, {label}: {note}" in notes
    assert all(f"note: {note}\n" in streams.err for note in notes)


def test_the_same_study_writes_the_same_numbers(made):
    study, paths, _ = made
    written = [
        (write_weights(study, paths, "small"), paths.weights("small").read_bytes())[1]
        for _ in range(2)
    ]
    assert written[0] == written[1], "the whole file, byte for byte"


def test_a_study_without_theory_and_an_unknown_domain_are_told(made):
    _, paths, _ = made
    with pytest.raises(ConfigError, match="theory: is missing"):
        write_weights(study_of(), paths, "small")
