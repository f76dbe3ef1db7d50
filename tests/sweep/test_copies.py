"""Copies on the node's own disk change no bit, wherever a job begins and goes on."""

import json
import os
import re
import shutil
from contextlib import closing

import pytest
import torch

from mergelaw.checkpoints.locks import FileLock
from mergelaw.checkpoints.node_cache import NodeCache
from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError
from mergelaw.merging.methods import recipe
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.copies import LIMIT, PLACE, source_of
from mergelaw.sweep.engine import Engine
from mergelaw.tables import read_provenance
from tests.given import EXPERTS, given_study, write_models
from tests.helpers import edit_weights
from tests.sweep.killing import killed

METHODS = [{"label": "average", "method": "average"}, {"label": "ties", "method": "ties"}]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of the copies, which jobs are told."""
    monkeypatch.setenv(PLACE, str(tmp_path / "disk"))
    return tmp_path / "disk"


@pytest.fixture
def fresh(own_sweep):
    """The swept study without one of its chunks, and its bytes, made without copies."""
    study, paths = own_sweep
    path = paths.chunk("small", "ties", 0)
    whole = path.read_bytes()
    path.unlink()
    return study, paths, whole


def cost_of(paths):
    return json.loads(paths.chunk_cost("small", "ties", 0).read_text())


def n_copies(place) -> int:
    return len(list(place.glob("*/*/manifest.json")))


def test_a_table_is_the_same_with_copies_and_says_nothing_of_them(fresh, place):
    study, paths, whole = fresh
    path = run_chunk(study, paths, "small", "ties", 0)
    assert path.read_bytes() == whole
    assert n_copies(place) == 4
    first = cost_of(paths)
    assert first["staged_bytes"] > 0
    assert first["staging_seconds"] > 0
    for text in (json.dumps(first), json.dumps(read_provenance(path))):
        assert str(place) not in text
    path.unlink()
    run_chunk(study, paths, "small", "ties", 0)
    assert cost_of(paths)["staged_bytes"] == 0
    assert path.read_bytes() == whole


def test_without_a_place_nothing_is_copied(fresh, place, monkeypatch, capfd):
    study, paths, _ = fresh
    monkeypatch.delenv(PLACE)
    run_chunk(study, paths, "small", "ties", 0)
    assert (cost_of(paths)["staged_bytes"], cost_of(paths)["staging_seconds"]) == (0, 0)
    assert not place.exists()
    assert "copy" not in capfd.readouterr().err


@pytest.mark.parametrize("copies_first", [True, False])
def test_a_killed_chunk_goes_on_with_copies_or_without(fresh, place, monkeypatch, copies_first):
    study, paths, whole = fresh
    with monkeypatch.context() as patch:
        if not copies_first:
            patch.delenv(PLACE)
        killed(study, paths, "ties", after=3)
    assert place.exists() == copies_first
    if copies_first:
        monkeypatch.delenv(PLACE)
    run_chunk(study, paths, "small", "ties", 0)
    assert cost_of(paths)["n_resumed"] == 3
    assert paths.chunk("small", "ties", 0).read_bytes() == whole


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({LIMIT: "0"}, "no room beside the copies in use"),
        ({LIMIT: "many"}, "MERGELAW_CACHE_GB='many' is no number of gigabytes, 0 or more"),
        ({LIMIT: "-1"}, "MERGELAW_CACHE_GB='-1' is no number of gigabytes, 0 or more"),
        ({PLACE: "/proc/nowhere"}, "MERGELAW_CACHE='/proc/nowhere': No such file or directory"),
        ({PLACE: __file__}, f"MERGELAW_CACHE='{__file__}': Not a directory"),
    ],
)
def test_where_nothing_can_be_copied_one_note_says_why(fresh, monkeypatch, capfd, settings, note):
    study, paths, whole = fresh
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run_chunk(study, paths, "small", "ties", 0).read_bytes() == whole
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]
    (told,) = [line for line in lines if note in line]
    if settings.get(LIMIT) == "0":
        assert "base, algebra, biology, code (no room" in told


def test_some_are_copied_where_not_all_fit(fresh, place, monkeypatch, capfd):
    study, paths, whole = fresh
    folder = paths.trained("small", "base")
    size = sum((folder / name).stat().st_size for name in ("model.safetensors", "config.json"))
    monkeypatch.setenv(LIMIT, str(2.5 * size / 1e9))
    assert run_chunk(study, paths, "small", "ties", 0).read_bytes() == whole
    assert n_copies(place) == 2
    assert re.search("without a copy in .*: biology, code ", capfd.readouterr().err)


def test_copies_that_are_there_make_no_room_for_others_of_the_job(fresh, place, monkeypatch):
    study, paths, whole = fresh
    stores = {name: TensorStore.open(paths.trained("small", name)) for name in ("biology", "code")}
    sources = [source_of(name, store) for name, store in stores.items()]
    with closing(NodeCache(place)) as cache:
        for source in sources:
            cache.stage(source)
    monkeypatch.setenv(LIMIT, str(2.5 * sources[0].n_bytes / 1e9))
    assert run_chunk(study, paths, "small", "ties", 0).read_bytes() == whole
    assert cost_of(paths)["staged_bytes"] == 0
    with closing(NodeCache(place)) as cache:
        assert all(cache.find(source) for source in sources)


# --- what is read ---


@pytest.fixture
def models(tmp_path, tokenizer):
    return write_models(tmp_path / "models", tokenizer)


def merged(study, folders=None):
    """Return the merge of all experts by each method, and what the engine told."""
    size, found = study.size("own"), {}
    with Engine.open(study, size.base, {name: size.experts[name] for name in EXPERTS}) as engine:
        for method in ("average", "ties"):
            engine.use(recipe(study.method(method), "0/0"))
            engine.merge(EXPERTS)
            found[method] = engine.live.weights.clone()
        if folders is not None:
            folders.append((engine.folders, engine.identity))
    return found


def alike(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_adapters_and_stored_tied_heads_are_read_from_copies(models, place, monkeypatch):
    study, told = given_study(models, METHODS), []
    copied = merged(study, told)
    assert n_copies(place) == len(EXPERTS) + 1
    monkeypatch.delenv(PLACE)
    assert alike(copied, merged(study, told))
    assert told[0] == told[1], "the models are called by their own folders, and known as before"
    assert told[0][0] == [models / name for name in (BASE, *EXPERTS)]


def test_weights_are_read_from_the_copies_alone(models, place):
    """A byte that no check looks at tells which file was read."""
    study = given_study(models, METHODS)
    before = merged(study)
    for path in place.glob("*/*/files/*.safetensors"):
        times, offset = path.stat(), path.stat().st_size * 40 // 64 + 4096 + 103
        with path.open("r+b") as file:
            file.seek(offset // 4 * 4)
            file.write(b"\0" * 8)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not alike(before, merged(study))
    shutil.rmtree(place)
    assert alike(before, merged(study)), "the originals are as they were"


def test_copies_are_held_as_long_as_the_engine_is_open(models, place):
    def free():
        locks = [FileLock(path.parent.with_suffix(".lock")) for path in place.glob("*/*/files")]
        found = [lock.try_take() for lock in locks]
        for lock in locks:
            lock.close()
        return found

    study = given_study(models, METHODS)
    size = study.size("own")
    with Engine.open(study, size.base, {name: size.experts[name] for name in EXPERTS}):
        assert free() == [False] * 4
    assert free() == [True] * 4


def test_errors_name_the_originals(models, place):
    edit_weights(models / "code", "model.norm.weight", lambda tensor: tensor * float("nan"))
    match = rf"^{models}/code/model.safetensors: model.norm.weight has a NaN"
    with pytest.raises(CheckpointError, match=match):
        merged(given_study(models, METHODS))
    assert n_copies(place) == 4
