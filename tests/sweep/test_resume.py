"""A killed chunk goes on: its table is that of an uninterrupted one, byte for byte."""

import json
import os
import shutil

import pytest

from mergelaw.design import chunks
from mergelaw.paths import StudyPaths
from mergelaw.sweep import engine as engine_module
from mergelaw.sweep import scoring as scoring_module
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.finished import Finished
from mergelaw.tables import read_provenance
from tests.helpers import edit_weights, study_of
from tests.sweep.killing import killed, n_finished


@pytest.fixture
def fresh(own_sweep):
    """The swept study without its chunks, and their bytes."""
    study, paths = own_sweep
    whole = {}
    for method in study.method_labels:
        path = paths.chunk("small", method, 0)
        whole[method] = path.read_bytes()
        path.unlink()
    return study, paths, whole


@pytest.mark.parametrize("method", ["average", "ties", "dare"])
def test_a_chunk_killed_twice_equals_an_uninterrupted_one(fresh, method, capfd):
    study, paths, whole = fresh
    killed(study, paths, method, after=2)
    assert n_finished(paths, method) == 2
    assert not paths.chunk("small", method, 0).exists()
    killed(study, paths, method, after=1)
    assert n_finished(paths, method) == 3
    run_chunk(study, paths, "small", method, 0)
    assert paths.chunk("small", method, 0).read_bytes() == whole[method]
    assert not paths.chunk_progress("small", method, 0).exists()
    assert f"{method}: goes on after 3 of 5 merges" in capfd.readouterr().out
    cost = json.loads(paths.chunk_cost("small", method, 0).read_text())
    assert (cost["n_resumed"], cost["n_merges"]) == (3, 2)
    assert cost["tokens_read"] == 2 * cost["n_tokens"]


def test_a_killed_incremental_chunk_equals_an_uninterrupted_one(fresh):
    _, paths, whole = fresh
    study = study_of(("sweep", {"incremental": True}))
    path = run_chunk(study, paths, "small", "average", 0)
    uninterrupted = path.read_bytes()
    assert uninterrupted != whole["average"]
    path.unlink()
    killed(study, paths, "average", after=3)
    run_chunk(study, paths, "small", "average", 0)
    assert path.read_bytes() == uninterrupted


@pytest.mark.parametrize("change", [("seed", 0), ("sweep", {"incremental": True})])
def test_a_chunk_killed_before_its_table_equals_an_uninterrupted_one(fresh, change, monkeypatch):
    """All of its merges are scored then, and none is made again."""
    _, paths, _ = fresh
    study = study_of(change)
    path = run_chunk(study, paths, "small", "average", 0)
    uninterrupted = path.read_bytes()
    assert ("incremental" in read_provenance(path)) == (change[0] == "sweep")
    path.unlink()

    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(scoring_module, "write_table", fail)
        with pytest.raises(OSError, match="no space left"):
            run_chunk(study, paths, "small", "average", 0)
    assert n_finished(paths, "average") == 5
    run_chunk(study, paths, "small", "average", 0)
    assert path.read_bytes() == uninterrupted


def test_a_chunk_killed_between_mask_seeds_equals_an_uninterrupted_one(fresh):
    _, paths, _ = fresh
    study = study_of(("mask_seeds", [0, 5]))
    path = run_chunk(study, paths, "small", "dare", 0)
    uninterrupted = path.read_bytes()
    path.unlink()
    killed(study, paths, "dare", after=7)
    run_chunk(study, paths, "small", "dare", 0)
    assert path.read_bytes() == uninterrupted


def test_nothing_is_merged_again(fresh, monkeypatch):
    study, paths, whole = fresh
    killed(study, paths, "ties", after=4)
    scored = []
    add = Finished.add
    monkeypatch.setattr(
        Finished, "add", lambda self, key, sums: scored.append(key) or add(self, key, sums)
    )
    run_chunk(study, paths, "small", "ties", 0)
    last = chunks(study, "small")[0].subsets[-1].name
    assert scored == [(0, last)]
    assert paths.chunk("small", "ties", 0).read_bytes() == whole["ties"]


@pytest.mark.parametrize(
    "change", [("methods.2.parameters.density", 0.5), ("evaluation.batch_tokens", 100), ("seed", 1)]
)
def test_another_config_begins_anew(fresh, change):
    study, paths, _ = fresh
    killed(study, paths, "ties", after=3)
    other = study_of(change)
    run_chunk(other, paths, "small", "ties", 0)
    cost = json.loads(paths.chunk_cost("small", "ties", 0).read_text())
    # the seed draws masks; TIES has none
    assert cost["n_resumed"] == (3 if change[0] == "seed" else 0)


def test_changed_weights_begin_anew(fresh, capfd):
    study, paths, whole = fresh
    killed(study, paths, "ties", after=3)
    folder = paths.trained("small", "code")
    weights = (folder / "model.safetensors").read_bytes()
    edit_weights(folder, "model.norm.weight", lambda tensor: tensor + 1)
    killed(study, paths, "ties", after=1)
    assert n_finished(paths, "ties") == 1, "the three of the other weights are gone"
    (folder / "model.safetensors").write_bytes(weights)
    capfd.readouterr()
    run_chunk(study, paths, "small", "ties", 0)
    assert "is of other weights, text, settings or versions; begun anew" in capfd.readouterr().out
    assert paths.chunk("small", "ties", 0).read_bytes() == whole["ties"]


def test_another_machine_begins_anew(fresh, monkeypatch):
    """Its sums differ in the last bits: one table is of one machine."""
    study, paths, whole = fresh
    killed(study, paths, "ties", after=3)
    monkeypatch.setattr(engine_module, "device_names", lambda model: "another")
    run_chunk(study, paths, "small", "ties", 0)
    cost = json.loads(paths.chunk_cost("small", "ties", 0).read_text())
    assert (cost["n_resumed"], cost["device"]) == (0, "another")
    assert paths.chunk("small", "ties", 0).read_bytes() == whole["ties"]


def test_a_chunk_goes_on_where_its_files_have_other_devices_and_inodes(fresh, tmp_path):
    """As those of one shared file system have on another node."""
    study, paths, whole = fresh
    killed(study, paths, "ties", after=3)
    elsewhere = StudyPaths(tmp_path / "elsewhere")
    shutil.copytree(paths.root, elsewhere.root)
    run_chunk(study, elsewhere, "small", "ties", 0)
    cost = json.loads(elsewhere.chunk_cost("small", "ties", 0).read_text())
    assert cost["n_resumed"] == 3
    assert elsewhere.chunk("small", "ties", 0).read_bytes() == whole["ties"]


def test_a_later_time_of_change_begins_anew(fresh):
    """What the sampled digest does not tell of, the time does."""
    study, paths, _ = fresh
    killed(study, paths, "ties", after=3)
    weights = paths.trained("small", "code") / "model.safetensors"
    later = weights.stat().st_mtime_ns + 2 * 10**9
    os.utime(weights, ns=(later, later))
    run_chunk(study, paths, "small", "ties", 0)
    assert json.loads(paths.chunk_cost("small", "ties", 0).read_text())["n_resumed"] == 0


def test_a_torn_record_is_scored_again(fresh):
    study, paths, whole = fresh
    killed(study, paths, "average", after=3)
    progress = paths.chunk_progress("small", "average", 0)
    progress.write_bytes(progress.read_bytes()[:-20])
    run_chunk(study, paths, "small", "average", 0)
    assert paths.chunk("small", "average", 0).read_bytes() == whole["average"]


def test_progress_lies_beside_the_declared_outputs():
    paths = StudyPaths.of(study_of())
    progress = paths.chunk_progress("small", "ties", 0)
    assert progress.parent == paths.chunk("small", "ties", 0).parent
    assert progress not in (paths.chunk("small", "ties", 0), paths.chunk_cost("small", "ties", 0))
