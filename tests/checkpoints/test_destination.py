"""The place of an output: one process at a time, no foreign work, disks that are too small."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from mergelaw.checkpoints import journal, shard_files
from mergelaw.checkpoints.journal import read_journal
from mergelaw.errors import CheckpointError
from tests.checkpoints.writing import (
    equal,
    example,
    load,
    put,
    spans,
    wait_until,
    write,
    writer,
)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(journal, "SYNC_SECONDS", 0.01)


@pytest.mark.parametrize(
    "occupy",
    [Path.mkdir, Path.touch, lambda out: out.symlink_to("nowhere")],
    ids=["folder", "file", "dangling link"],
)
def test_a_place_that_is_taken_is_refused(tmp_path, occupy):
    occupy(tmp_path / "out")
    with pytest.raises(CheckpointError, match="out: exists already and is never written over"):
        writer(tmp_path / "out", example())
    assert os.listdir(tmp_path) == ["out"]


def test_unfinished_merges_of_other_inputs_are_removed(tmp_path):
    tensors = example()
    for out, identity in (("out", "old"), ("out", "older"), ("out.b", "two"), ("other", "old")):
        with writer(tmp_path / out, tensors, identity=identity) as opened:
            put(opened, tensors, ("norm", 0, 7))
        if identity == "old":
            shutil.copytree(opened.part, tmp_path / f"copy.{out}")
    shutil.move(tmp_path / "copy.out", tmp_path / ".out.old.part")  # 'older' has removed it
    (tmp_path / ".out.1a2b.part").mkdir()  # of another writer, without a journal of ours
    write(tmp_path / "out", tensors, identity="new")
    assert set(os.listdir(tmp_path)) == {
        "out",
        ".out.b.two.part",
        ".other.old.part",
        "copy.other",
        ".out.1a2b.part",
    }


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path):
    tensors = example()
    with writer(tmp_path / "out", tensors) as first:
        put(first, tensors, ("norm", 0, 7))
        for identity in ("one", "two"):
            with pytest.raises(CheckpointError) as caught:
                writer(tmp_path / "out", tensors, identity=identity)
            assert f"process {os.getpid()} on " in str(caught.value)
            assert "is writing it now" in str(caught.value)
        with writer(tmp_path / "elsewhere", tensors):
            pass
        for span in spans(tensors):
            if span not in first.done:
                put(first, tensors, span)
        first.commit()
    assert equal(load(tmp_path / "out"), tensors)
    assert os.listdir(tmp_path) == ["out"]


def test_a_lock_file_that_is_removed_while_we_wait_for_it_is_no_lock(tmp_path, monkeypatch):
    lock, flock = tmp_path / ".out.lock", fcntl.flock
    lock.touch()

    def late(descriptor, how):
        if lock.exists() and not late.done:
            late.done = True
            lock.unlink()  # the former holder's last act, after we opened it
        flock(descriptor, how)

    late.done = False
    monkeypatch.setattr(fcntl, "flock", late)
    with writer(tmp_path / "out", example()):
        assert lock.exists()
        with pytest.raises(CheckpointError, match="writing it now"):
            writer(tmp_path / "out", example())


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, error):
    with writer(tmp_path / "out", example(), identity="other") as other:
        put(other, example(), ("norm", 0, 7))

    def refuse(descriptor, how):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert equal(load(write(tmp_path / "out", example())), example())
    assert other.part.exists(), "its writer may be at work"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("promises", [True, False])
def test_a_disk_that_is_too_small_is_told_at_once(small_disk, monkeypatch, promises):
    if not promises:
        monkeypatch.setattr(shard_files, "_fallocate", lambda fd, n: errno.EOPNOTSUPP)
    tensors = {name: torch.zeros(200_000) for name in "ab"}
    with pytest.raises(OSError, match="No space left") as caught:
        writer(small_disk / "out", tensors, 800_000)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(small_disk / "out")
    assert "the checkpoint takes 1,600," in caught.value.strerror
    assert not os.listdir(small_disk)


def test_a_disk_that_fills_up_keeps_the_work(small_disk, monkeypatch):
    monkeypatch.setattr(shard_files, "_fallocate", lambda fd, n: errno.EOPNOTSUPP)
    tensors = {"a": torch.arange(200_000.0)}
    cuts = spans(tensors, 20_000)
    with (  # noqa: PT012
        pytest.raises(OSError, match=r"the same merge, run again, goes on") as caught,
        writer(small_disk / "out", tensors) as opened,
    ):
        for span in cuts[:4]:
            put(opened, tensors, span)
        wait_until(lambda: len(read_journal(opened.part / "journal", "one")[0]) == 4)
        with contextlib.suppress(OSError), (small_disk / "other").open("wb", 0) as file:
            while file.write(bytes(4096)):
                pass
        for span in cuts[4:]:
            put(opened, tensors, span)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(small_disk / "out")
    (small_disk / "other").unlink()
    with writer(small_disk / "out", tensors) as opened:
        assert list(opened.done) == cuts[:4]
        for span in cuts[4:]:
            put(opened, tensors, span)
        opened.commit()
    assert equal(load(small_disk / "out"), tensors)


def test_space_is_on_the_disk_from_the_beginning(tmp_path):
    with writer(tmp_path / "out", {"a": torch.zeros(500_000)}) as opened:
        held = (opened.part / "model.safetensors").stat().st_blocks * 512
        assert held >= 2_000_000
