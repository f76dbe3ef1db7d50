"""Errors, kills and damaged work: nothing or everything in the place, and no record that lies."""

import contextlib
import errno
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mergelaw.checkpoints import journal, shard_files
from mergelaw.checkpoints.journal import read_journal
from tests.checkpoints.writing import (
    SHARDED,
    WHOLE,
    content,
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


def test_an_error_keeps_what_was_recorded_and_the_next_run_goes_on(tmp_path):
    tensors = example()
    todo = spans(tensors)
    with pytest.raises(RuntimeError) as caught, writer(tmp_path / "out", tensors) as opened:  # noqa: PT012
        for span in todo[:9]:
            put(opened, tensors, span)
        raise RuntimeError("boom")
    part = tmp_path / ".out.one.part"
    assert caught.value.__notes__ == [
        f"what was written is kept in {part}: the same merge, run again, goes on there; "
        "with changed inputs it begins anew"
    ]
    assert os.listdir(tmp_path) == [part.name]
    with writer(tmp_path / "out", tensors) as opened:
        assert opened.done == {span: {"n": span[2] - span[1]} for span in todo[:9]}
        for span in todo[9:]:
            put(opened, tensors, span)
        opened.commit()
    assert content(tmp_path / "out") == content(write(tmp_path / "again", tensors))


def test_an_error_before_the_first_record_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError) as caught, writer(tmp_path / "out", example()) as opened:  # noqa: PT012
        opened.write("norm", 0, torch.ones(3))
        raise RuntimeError("boom")
    assert caught.value.__notes__ == ["nothing is left behind"]
    assert not os.listdir(tmp_path)


def test_a_block_may_end_early_without_an_error(tmp_path):
    tensors = example()
    with writer(tmp_path / "out", tensors) as opened:
        put(opened, tensors, ("norm", 0, 7))
    with writer(tmp_path / "out", tensors) as opened:
        assert list(opened.done) == [("norm", 0, 7)]


def test_another_layout_begins_anew(tmp_path):
    tensors = example()
    for shard_bytes, metadata in ((WHOLE, {}), (SHARDED, {}), (SHARDED, {"x": "y"})):
        with writer(tmp_path / "out", tensors, shard_bytes, metadata) as opened:
            assert not opened.done
            put(opened, tensors, ("norm", 0, 7))
    assert equal(load(write(tmp_path / "out", tensors, SHARDED)), tensors)


@pytest.mark.parametrize("change", ["missing", "shorter", "header", "journal"])
def test_damaged_work_is_done_again(tmp_path, change):
    tensors = example()
    with writer(tmp_path / "out", tensors, SHARDED) as opened:
        for span in spans(tensors):
            put(opened, tensors, span)
    file = sorted(opened.part.glob("*.safetensors"))[1]
    if change == "missing":
        file.unlink()
    elif change == "shorter":
        os.truncate(file, file.stat().st_size - 1)
    elif change == "header":
        file.write_bytes(file.read_bytes().replace(b'"pt"', b'"tp"'))
    else:
        (opened.part / "journal").unlink()
    with writer(tmp_path / "out", tensors, SHARDED) as opened:
        assert not opened.done
    assert equal(load(write(tmp_path / "out", tensors, SHARDED)), tensors)


def test_a_sync_that_fails_ends_the_work_and_nothing_more_is_recorded(tmp_path, monkeypatch):
    tensors = example()
    failing = False

    def sync(descriptor):
        if failing:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shard_files, "sync_data", sync)
    with pytest.raises(OSError, match="Input/output"), writer(tmp_path / "out", tensors) as opened:  # noqa: PT012
        put(opened, tensors, ("norm", 0, 7))
        wait_until(lambda: read_journal(opened.part / "journal", "one")[0])
        failing = True
        for _ in range(2000):
            put(opened, tensors, ("norm", 7, 13))
            time.sleep(0.005)
    failing = False
    with writer(tmp_path / "out", tensors) as opened:
        assert list(opened.done) == [("norm", 0, 7)]


def test_an_error_of_the_last_sync_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SYNC_SECONDS", 100)

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shard_files, "sync_data", fail)
    with (
        pytest.raises(OSError, match="Input/output"),
        writer(tmp_path / "out", example()) as opened,
    ):
        put(opened, example(), ("norm", 0, 7))
    assert not os.listdir(tmp_path)


def add_config(part: Path) -> None:
    (part / "config.json").write_text("{}")


def until_killed(out: Path, shard_bytes: int, moment: int) -> None:
    """Write the example; the call of the system with this number is half done and is the last."""
    left = moment

    def mortal(real):
        def call(first, *rest, **options):
            nonlocal left
            left -= 1
            if left == 0:
                if rest and isinstance(rest[0], (bytes, memoryview)):
                    real(first, rest[0][: len(rest[0]) // 2], *rest[1:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(first, *rest, **options)

        return call

    journal.SYNC_SECONDS = 0.001
    for name in ("pwrite", "write", "rename", "unlink", "open", "ftruncate", "chmod"):
        setattr(os, name, mortal(getattr(os, name)))
    # a kill loses no page of the system's: syncs are moments only, and cost no time
    os.fsync = journal.sync_data = shard_files.sync_data = mortal(lambda descriptor: None)
    tensors = example()
    with writer(out, tensors, shard_bytes) as opened:
        book = opened.part / "journal"
        for span in spans(tensors):
            if span not in opened.done:
                put(opened, tensors, span)
                wait_until(lambda: len(read_journal(book, "one")[0]) == len(opened.done))
        opened.commit(add_config)


@pytest.fixture(scope="module")
def processes():
    """Fork from a server that has loaded everything: a process takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def recorded_data_are_there(part: Path, tensors) -> int:
    """Check the bytes of every record of an unfinished merge; return the number of records."""
    done, _ = read_journal(part / "journal", "one")
    if done:
        with contextlib.ExitStack() as stack:
            for path in part.glob("*.safetensors"):
                opened = stack.enter_context(safe_open(path, "pt"))
                for name, start, stop in done:
                    if name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
                        found = opened.get_tensor(name).reshape(-1)[start:stop]
                        assert torch.equal(found, tensors[name].reshape(-1)[start:stop])
    return len(done)


@pytest.mark.parametrize("shard_bytes", [WHOLE, SHARDED])
def test_a_kill_leaves_nothing_or_everything_at_any_moment(tmp_path, processes, shard_bytes):
    tensors = example()
    expected = content(write(tmp_path / "expected", tensors, shard_bytes))
    expected["config.json"] = b"{}"
    ends, counts = [], set()
    for moment in range(1, 400, 13):
        out = tmp_path / f"out{moment}"
        process = processes.Process(target=until_killed, args=(out, shard_bytes, moment))
        process.start()
        process.join(30)
        ends.append(process.exitcode)
        if out.exists():
            assert content(out) == expected
        else:
            counts.add(recorded_data_are_there(out.with_name(f".{out.name}.one.part"), tensors))
            write(out, tensors, shard_bytes, finish=add_config)
            assert content(out) == expected
            assert not [name for name in os.listdir(tmp_path) if f".{out.name}." in name]
        shutil.rmtree(out)
        if process.exitcode == 0:
            break
    assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    assert len(counts) > 5, "kills were to come between records"


def test_many_kills_in_a_row_come_to_an_end(tmp_path, processes):
    tensors = example()
    out = tmp_path / "out"
    moments = random.Random(5)
    for _ in range(60):
        process = processes.Process(
            target=until_killed, args=(out, SHARDED, moments.randrange(20, 120))
        )
        process.start()
        process.join(30)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        if out.exists():
            break
    assert equal(load(out), tensors)
