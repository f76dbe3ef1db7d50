"""Copies on a node's own disk: made once, whole or not there, kept while they are read."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
from contextlib import closing

import pytest
import torch

from mergelaw.checkpoints import checked_copy, node_cache
from mergelaw.checkpoints.node_cache import CacheError, NodeCache
from mergelaw.checkpoints.store import TensorStore
from mergelaw.sweep.copies import source_of
from tests.helpers import save_weights

FORK = multiprocessing.get_context("fork")
ENTRIES = 400_000
"""So many float32 that the samples, 64 runs of 4 KiB, are a sixth of the file."""


def write_model(folder, seed=0, entries=ENTRIES):
    """Write a checkpoint, with what training leaves beside it."""
    tensor = torch.randn(entries, generator=torch.Generator().manual_seed(seed))
    save_weights(folder, {"a.weight": tensor})
    (folder / "config.json").write_text("{}")
    (folder / "optimizer.pt").write_bytes(b"0" * 100)
    return folder


def source(folder, label="base"):
    return source_of(label, TensorStore.open(folder))


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "models" / "one")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "disk"


def staged(place, wanted, max_bytes=None):
    """Stage a source by a job of its own; return its copy and the bytes that were copied."""
    with closing(NodeCache(place, max_bytes)) as cache:
        found = cache.find(wanted) or cache.stage(wanted)
        return found, cache.staged_bytes


def parts(place):
    return list(place.rglob("*.part"))


def same(copy, folder):
    return all(
        (copy / name).read_bytes() == (folder / name).read_bytes()
        for name in ("model.safetensors", "config.json")
    )


# --- what is copied ---


def test_a_copy_holds_weights_and_config_and_their_sha256(model, place):
    wanted = source(model)
    copy, n_bytes = staged(place, wanted)
    assert same(copy, model)
    assert {path.name for path in copy.iterdir()} == {"model.safetensors", "config.json"}
    assert n_bytes == wanted.n_bytes == sum(path.stat().st_size for path in copy.iterdir())
    manifest = json.loads((copy.parent / "manifest.json").read_text())
    assert manifest["source"] == str(model)
    for name, digest in manifest["sha256"].items():
        assert digest == hashlib.sha256((model / name).read_bytes()).hexdigest()


def test_a_copy_is_made_once(model, place):
    copy, _ = staged(place, source(model))
    inode = (copy / "model.safetensors").stat().st_ino
    assert staged(place, source(model)) == (copy, 0)
    assert (copy / "model.safetensors").stat().st_ino == inode


def test_links_of_the_hub_cache_are_followed(model, tmp_path, place):
    repo = tmp_path / "models--org--name"
    (repo / "blobs").mkdir(parents=True)
    snapshot = repo / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        shutil.copy(model / name, repo / "blobs" / f"blob-{name}")
        (snapshot / name).symlink_to(f"../../blobs/blob-{name}")
    copy, _ = staged(place, source(snapshot))
    assert same(copy, model)
    assert not any(path.is_symlink() for path in copy.iterdir())


def test_nobody_else_can_read_the_copies(model, place):
    staged(place, source(model))
    (folder,) = place.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    staged(place, source(model))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_folder_of_another_user_is_refused(place, tmp_path, kind):
    place.mkdir()
    folder = place / f"mergelaw-{os.geteuid()}"
    if kind == "folder":
        folder.mkdir()
    else:
        (tmp_path / "mine").mkdir()
        folder.symlink_to(tmp_path / "mine")
    os.chown(folder, 12345, 12345, follow_symlinks=False)
    with pytest.raises(CacheError, match="another user's"):
        NodeCache(place)


# --- several jobs at once, and killed ones ---


def stage_and_tell(place, folder, barrier, told):
    barrier.wait()
    copy, n_bytes = staged(place, source(folder))
    told.put((n_bytes, same(copy, folder)))


def test_of_jobs_that_start_at_once_one_copies_and_all_read(model, place):
    barrier, told = FORK.Barrier(4), FORK.Queue()
    jobs = [FORK.Process(target=stage_and_tell, args=(place, model, barrier, told)) for _ in "abcd"]
    for job in jobs:
        job.start()
    found = sorted(told.get(timeout=60) for _ in jobs)
    for job in jobs:
        job.join()
    assert found == [(0, True)] * 3 + [(source(model).n_bytes, True)]


def stall_in_the_middle(place, folder, reached):
    """Begin a copy, and stop after its first piece until killed."""
    pieces = checked_copy._pieces

    def stalling(descriptor):
        for piece in pieces(descriptor):
            yield piece
            reached.set()
            signal.pause()

    checked_copy._pieces = stalling
    checked_copy.CHUNK = 100_000
    staged(place, source(folder))


@pytest.fixture
def stalled(model, place):
    """A job that is in the middle of its copy."""
    reached = FORK.Event()
    job = FORK.Process(target=stall_in_the_middle, args=(place, model, reached))
    job.start()
    assert reached.wait(60)
    yield job
    job.kill()
    job.join()


def test_what_a_killed_job_left_is_removed_and_copied_anew(model, place, stalled):
    stalled.kill()
    stalled.join()
    assert parts(place)
    copy, n_bytes = staged(place, source(model))
    assert same(copy, model)
    assert n_bytes == source(model).n_bytes
    assert not parts(place)


def test_what_a_killed_job_left_of_another_checkpoint_is_removed(tmp_path, place, stalled):
    stalled.kill()
    stalled.join()
    assert parts(place)
    staged(place, source(write_model(tmp_path / "models" / "two", 1)))
    assert not parts(place)


def test_a_job_that_waits_goes_on_when_the_copying_one_is_killed(model, place, stalled):
    told, barrier = FORK.Queue(), FORK.Barrier(1)
    waiting = FORK.Process(target=stage_and_tell, args=(place, model, barrier, told))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive(), "nothing is read before it is whole"
    stalled.kill()
    assert told.get(timeout=60) == (source(model).n_bytes, True)
    waiting.join()


# --- room ---


@pytest.fixture
def three(tmp_path):
    return [source(write_model(tmp_path / "models" / str(seed), seed)) for seed in range(3)]


def has(place, wanted):
    with closing(NodeCache(place)) as cache:
        return cache.find(wanted) is not None


def used_at(place, wanted, seconds):
    """Say that a copy was last used then."""
    (folder,) = place.iterdir()
    os.utime(folder / f"{wanted.key}.lock", (seconds, seconds))


def test_the_copy_that_was_used_longest_ago_makes_room(three, place):
    room_of_two = int(2.5 * three[0].n_bytes)
    for first, second in ((0, 1), (1, 0)):
        for index in (first, second):
            staged(place, three[index], room_of_two)
            used_at(place, three[index], 1000 + index)
        assert has(place, three[first]), "and is used by that"
        staged(place, three[2], room_of_two)
        assert [has(place, three[index]) for index in (first, second, 2)] == [True, False, True]
        used_at(place, three[2], 1)


def hold_until_killed(place, wanted, held):
    cache = NodeCache(place)
    cache.find(wanted)
    held.set()
    signal.pause()


def test_a_copy_that_a_job_reads_is_never_removed_and_that_of_a_killed_one_is(three, place):
    room_of_one = int(1.5 * three[0].n_bytes)
    staged(place, three[0], room_of_one)
    held = FORK.Event()
    job = FORK.Process(target=hold_until_killed, args=(place, three[0], held))
    job.start()
    assert held.wait(60)
    with pytest.raises(CacheError, match="no room beside the copies in use"):
        staged(place, three[1], room_of_one)
    assert has(place, three[0])
    job.kill()
    job.join()
    staged(place, three[1], room_of_one)
    assert [has(place, wanted) for wanted in three[:2]] == [False, True]


def test_nothing_is_removed_where_that_would_not_be_enough(three, place):
    staged(place, three[0])
    staged(place, three[1])
    with pytest.raises(CacheError, match="no room"):
        staged(place, three[2], three[2].n_bytes - 1)
    assert [has(place, wanted) for wanted in three] == [True, True, False]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_disk_itself_is_a_limit(three, small_disk):
    """Each takes 1.6 MB, and 5 % stay free."""
    for wanted in three:
        assert staged(small_disk, wanted)[1] == wanted.n_bytes
    assert sum(has(small_disk, wanted) for wanted in three) == 2


def test_a_share_of_the_disk_stays_free(tmp_path, small_disk, monkeypatch):
    """4.1 MB fit 4 MiB, and leave less than 5 % of it."""
    wanted = source(write_model(tmp_path / "models" / "large", 0, 1_025_000))
    with pytest.raises(CacheError, match="no room"):
        staged(small_disk, wanted)
    monkeypatch.setattr(node_cache, "RESERVE", 0)
    assert staged(small_disk, wanted)[1] == wanted.n_bytes


def test_a_disk_that_fills_up_meanwhile_keeps_no_half_copy(three, small_disk, monkeypatch):
    monkeypatch.setattr(NodeCache, "_make_room", lambda self, source: None)
    for wanted in three[:2]:
        staged(small_disk, wanted)
    with pytest.raises(OSError, match="No space left"):
        staged(small_disk, three[2])
    assert not parts(small_disk)
    assert [has(small_disk, wanted) for wanted in three] == [True, True, False]


# --- what the checks notice ---


def flip(path, offset):
    """Change a byte, and nothing that tells of it."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def in_no_sample(path):
    """Return an offset between two runs of 4 KiB that are read."""
    return path.stat().st_size // 64 + 5000


@pytest.mark.parametrize("damage", ["cut", "sampled byte", "no manifest", "no file"])
def test_a_copy_that_is_no_longer_what_it_was_is_made_anew(model, place, damage, capfd):
    copy, _ = staged(place, source(model))
    weights = copy / "model.safetensors"
    match damage:
        case "cut":
            os.truncate(weights, 1_000_000)
        case "sampled byte":
            flip(weights, 100)
        case "no manifest":
            (copy.parent / "manifest.json").unlink()
        case "no file":
            weights.unlink()
    again, n_bytes = staged(place, source(model))
    assert n_bytes == source(model).n_bytes
    assert same(again, model)
    assert "no longer what was copied; made anew" in capfd.readouterr().err


def test_a_byte_that_changes_in_a_copy_outside_the_samples_is_not_noticed(model, place):
    """The limit of the check, as its description says."""
    copy, _ = staged(place, source(model))
    flip(copy / "model.safetensors", in_no_sample(copy / "model.safetensors"))
    assert staged(place, source(model)) == (copy, 0)
    assert not same(copy, model)


def test_a_broken_copy_that_another_job_reads_stays(model, place, monkeypatch):
    monkeypatch.setattr(node_cache, "BRIEF_SECONDS", 0.1)
    copy, _ = staged(place, source(model))
    held = FORK.Event()
    job = FORK.Process(target=hold_until_killed, args=(place, source(model), held))
    job.start()
    assert held.wait(60)
    flip(copy / "model.safetensors", 100)
    with pytest.raises(CacheError, match="another job reads it"):
        staged(place, source(model))
    assert (copy / "model.safetensors").exists()
    job.kill()
    job.join()


@pytest.mark.parametrize("change", ["sampled byte", "time", "length"])
def test_a_changed_source_is_copied_anew(model, place, change):
    first, _ = staged(place, source(model))
    weights = model / "model.safetensors"
    match change:
        case "sampled byte":
            flip(weights, weights.stat().st_size // 64)
        case "time":
            flip(weights, in_no_sample(weights))
            os.utime(weights)
        case "length":
            write_model(model, 3, ENTRIES + 1)
    copy, n_bytes = staged(place, source(model))
    assert copy != first
    assert n_bytes == source(model).n_bytes
    assert same(copy, model)


def test_a_source_that_changes_while_it_is_copied_is_not_kept(model, place, monkeypatch):
    monkeypatch.setattr(checked_copy, "_forget", lambda descriptor: os.utime(model / "config.json"))
    with pytest.raises(CacheError, match="changed while it was copied"):
        staged(place, source(model))
    assert not parts(place)
    assert not has(place, source(model))


def test_a_disk_that_returns_other_bytes_than_were_written_is_noticed(model, place, monkeypatch):
    """Wherever they are, the samples aside."""

    def spoil(descriptor):
        if (n_bytes := os.fstat(descriptor).st_size) > 10_000:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            with open(path, "r+b") as file:
                file.seek(n_bytes // 64 + 5000)
                file.write(b"\1\2\3\4")

    monkeypatch.setattr(checked_copy, "_forget", spoil)
    with pytest.raises(CacheError, match=r"model.safetensors in .* differs from what was written"):
        staged(place, source(model))
    assert not has(place, source(model))


def test_checkpoints_of_equal_names_have_copies_of_their_own(tmp_path, place):
    one = write_model(tmp_path / "x" / "base", 0)
    other = write_model(tmp_path / "y" / "base", 1)
    for folder in (one, other):
        assert same(staged(place, source(folder))[0], folder)
    assert has(place, source(one))
