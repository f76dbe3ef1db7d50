"""Two processes that are given the same chunk: one does it, and the other is told who."""

import json
import os
import re
import signal
import threading
import time

import pytest

from mergelaw import owner as owner_module
from mergelaw import processes
from mergelaw.errors import BusyError
from mergelaw.owner import Claim, Owner
from mergelaw.processes import Process
from mergelaw.signals import EndedBySignal, end_in_order
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.finished import Finished
from tests.sweep.killing import FORK

GONE_ON = "goes on from what is kept"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short times, also in processes that a test forks."""
    monkeypatch.setattr(owner_module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(owner_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(owner_module, "SETTLE_SECONDS", 0.2)


@pytest.fixture
def elsewhere(monkeypatch):
    """Processes that are forked meanwhile are of another machine, in Slurm's job 123."""

    def fork(target, *args):
        with monkeypatch.context() as patch:
            patch.setattr(processes, "_machine", lambda: "another")
            patch.setenv("SLURM_JOB_ID", "123")
            process = FORK.Process(target=target, args=args)
            process.start()
        return process

    return fork


@pytest.fixture
def fresh(own_sweep):
    study, paths = own_sweep
    path = paths.chunk("small", "ties", 0)
    whole = path.read_bytes()
    path.unlink()
    return study, paths, whole


class Halt:
    """A process waits here until it is let go."""

    def __init__(self):
        self.reached, self.let_go = FORK.Event(), FORK.Event()

    def __call__(self):
        self.reached.set()
        self.let_go.wait()


def run_and_halt(study, paths, halt):
    """Score two merges of the chunk, wait, and do the rest."""
    add = Finished.add

    def halting(self, key, sums):
        if len(self.sums) == 2:
            halt()
        add(self, key, sums)

    Finished.add = halting
    run_chunk(study, paths, "small", "ties", 0)


@pytest.fixture
def owner(fresh):
    """A process of this machine that has scored two merges of a chunk and is at the third."""
    study, paths, _ = fresh
    halt = Halt()
    process = FORK.Process(target=run_and_halt, args=(study, paths, halt))
    process.start()
    assert halt.reached.wait(60)
    process.halt = halt
    yield process
    process.kill()
    process.join()


def left_by(**changes):
    """The record of an owner of whose process this one differs in some fields alone."""
    process = Process.own().model_copy(update=changes)
    return Claim(token="x", process=process).model_dump_json()


def record_of(paths):
    return paths.chunk("small", "ties", 0).with_suffix(".owner")


# --- on one machine ---


def run_and_tell(study, paths, told):
    """Run the chunk up to its first merge, and tell why that ended."""
    try:
        run_chunk(study, paths, "small", "ties", 0)
    except BusyError as error:
        told.put(str(error))


@pytest.fixture
def in_the_middle(monkeypatch):
    """Runs something once, in this process, when two merges of a chunk are scored."""
    add = Finished.add

    def prepare(action):
        def adding(self, key, sums):
            if len(self.sums) == 2:
                action()
            add(self, key, sums)

        monkeypatch.setattr(Finished, "add", adding)

    return prepare


def test_the_second_of_two_jobs_is_told_who_does_the_work_and_the_first_ends_it(
    fresh, in_the_middle
):
    study, paths, whole = fresh
    told, progress = FORK.Queue(), paths.chunk_progress("small", "ties", 0)
    found = []

    def start_a_second():
        before = progress.read_bytes()
        second = FORK.Process(target=run_and_tell, args=(study, paths, told))
        second.start()
        found.append(told.get(timeout=60))
        second.join()
        assert progress.read_bytes() == before

    in_the_middle(start_a_second)
    run_chunk(study, paths, "small", "ties", 0)
    assert re.search(rf"process {os.getpid()} on .* does this job now.*{GONE_ON}", found[0])
    assert paths.chunk("small", "ties", 0).read_bytes() == whole
    assert not record_of(paths).exists()


@pytest.mark.parametrize("buried", [True, False])
def test_the_work_of_a_killed_owner_is_gone_on_with(fresh, owner, buried):
    """Also while its parent has not yet asked how it ended."""
    study, paths, whole = fresh
    os.kill(owner.pid, signal.SIGKILL)
    if buried:
        owner.join()
    run_chunk(study, paths, "small", "ties", 0)
    assert json.loads(paths.chunk_cost("small", "ties", 0).read_text())["n_resumed"] == 2
    assert paths.chunk("small", "ties", 0).read_bytes() == whole
    assert not record_of(paths).exists()


def test_a_process_that_got_the_number_of_a_dead_owner_is_not_taken_for_it(tmp_path):
    path = tmp_path / "0.owner"
    path.write_text(left_by(started=1))
    with Owner(path):
        assert json.loads(path.read_text())["token"] != "x"


def stand_until_ended(path, standing):
    end_in_order()
    try:
        with Owner(path):
            standing.set()
            time.sleep(60)
    except EndedBySignal as end:
        os._exit(end.status)


def test_a_scheduler_s_sigterm_leaves_the_place_free(tmp_path):
    path, standing = tmp_path / "0.owner", FORK.Event()
    process = FORK.Process(target=stand_until_ended, args=(path, standing))
    process.start()
    assert standing.wait(60)
    assert path.exists()
    process.terminate()
    process.join()
    assert process.exitcode == 143
    assert list(tmp_path.iterdir()) == []


def try_to_own(path, barrier, told):
    barrier.wait()
    try:
        with Owner(path) as owner:
            barrier.wait()  # until all others were told
            owner.check()
            told.put("owner")
    except BusyError:
        told.put("busy")
        barrier.wait()


@pytest.mark.parametrize("left", ["nothing", "dead owner"])
def test_of_several_that_start_at_once_one_is_the_owner(tmp_path, left, monkeypatch):
    monkeypatch.setattr(owner_module, "SETTLE_SECONDS", 1.5)  # of four on a machine with few cores
    path = tmp_path / "0.owner"
    if left == "dead owner":
        path.write_text(left_by(started=1))
    barrier, told = FORK.Barrier(4), FORK.Queue()
    tries = [FORK.Process(target=try_to_own, args=(path, barrier, told)) for _ in range(4)]
    for process in tries:
        process.start()
    assert sorted(told.get(timeout=60) for _ in tries) == ["busy"] * 3 + ["owner"]
    for process in tries:
        process.join()
    assert list(tmp_path.iterdir()) == []


# --- on several machines ---


def stand(path, halt):
    with Owner(path):
        halt()


def test_an_owner_elsewhere_that_shows_life_is_named_with_its_job(tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(owner_module, "BEAT_SECONDS", 0.05)
    path, halt = tmp_path / "0.owner", Halt()
    process = elsewhere(stand, path, halt)
    assert halt.reached.wait(60)
    with pytest.raises(BusyError, match=r"Slurm job 123 on .*`scancel 123`"), Owner(path):
        pass
    halt.let_go.set()
    process.join()
    with Owner(path):
        assert "another" not in path.read_text()


def test_a_silent_owner_elsewhere_is_followed(fresh, elsewhere, monkeypatch):
    monkeypatch.setattr(owner_module, "DEAD_SECONDS", 0.3)
    study, paths, whole = fresh
    halt = Halt()
    process = elsewhere(run_and_halt, study, paths, halt)
    assert halt.reached.wait(60)
    process.kill()
    process.join()
    assert record_of(paths).exists()
    run_chunk(study, paths, "small", "ties", 0)
    assert json.loads(paths.chunk_cost("small", "ties", 0).read_text())["n_resumed"] == 2
    assert paths.chunk("small", "ties", 0).read_bytes() == whole


@pytest.mark.parametrize("content", [left_by(machine="another"), "{}", "", "[1]"])
def test_a_record_from_long_ago_is_not_waited_for(tmp_path, content, monkeypatch):
    monkeypatch.setattr(
        time, "sleep", lambda seconds: None if seconds < 1 else pytest.fail("waits")
    )
    path = tmp_path / "0.owner"
    path.write_text(content)
    os.utime(path, (1e9, 1e9))
    with Owner(path) as owner:
        owner.check()


def test_a_suspended_owner_that_was_followed_ends_without_a_trace(
    fresh, elsewhere, monkeypatch, in_the_middle
):
    monkeypatch.setattr(owner_module, "DEAD_SECONDS", 0.3)
    study, paths, whole = fresh
    halt, told, found = Halt(), FORK.Queue(), []

    def until_busy():
        try:
            run_and_halt(study, paths, halt)
        except BusyError as error:
            told.put(str(error))

    suspended = elsewhere(until_busy)
    assert halt.reached.wait(60)
    os.kill(suspended.pid, signal.SIGSTOP)
    progress = paths.chunk_progress("small", "ties", 0)

    def let_it_go_on():
        before = progress.read_bytes()
        os.kill(suspended.pid, signal.SIGCONT)
        halt.let_go.set()
        found.append(told.get(timeout=60))
        suspended.join()
        assert progress.read_bytes() == before
        assert record_of(paths).exists(), "its follower's"

    in_the_middle(let_it_go_on)
    run_chunk(study, paths, "small", "ties", 0)
    assert f"taken over by process {os.getpid()} on" in found[0]
    assert paths.chunk("small", "ties", 0).read_bytes() == whole


def test_signs_of_life_are_given_while_the_main_thread_works(tmp_path, monkeypatch):
    monkeypatch.setattr(owner_module, "BEAT_SECONDS", 0.01)
    path = tmp_path / "0.owner"
    with Owner(path):
        first, changed = path.stat().st_mtime_ns, threading.Event()
        for _ in range(3000):
            if path.stat().st_mtime_ns != first:
                changed.set()
                break
            time.sleep(0.01)
    assert changed.is_set()
