"""Work on forked processes: every item once, errors as they are, no process left behind."""

import multiprocessing
import os
import signal

import pytest
import torch

from mergelaw.errors import CheckpointError, MergeLawError
from mergelaw.merging.workers import parallel


def squares(items):
    for item in items:
        yield item * item


@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_every_item_is_done_once(n_workers, n):
    assert sorted(parallel(squares, range(n), n_workers)) == [i * i for i in range(n)]
    assert not multiprocessing.active_children()


def test_items_are_drawn_by_several_processes_one_by_one():
    def who(items):
        for _ in items:
            yield os.getpid()

    pids = set(parallel(who, range(200), 2))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_torch_runs_on_one_thread_within_and_as_before_after():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for n_workers in (1, 2):
            inside = list(
                parallel(lambda items: (torch.get_num_threads() for _ in items), [0, 1], n_workers)
            )
            assert inside == [1, 1]
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_error_comes_through_and_ends_the_others(n_workers):
    def fail(items):
        for item in items:
            if item == 7:
                raise CheckpointError("model.safetensors: lm_head is torn")
            yield item

    with pytest.raises(CheckpointError, match="lm_head is torn"):
        list(parallel(fail, range(10_000), n_workers))
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_told_in_words():
    def die(items):
        for _ in items:
            os.kill(os.getpid(), signal.SIGKILL)
            yield 0

    with pytest.raises(MergeLawError, match=r"exit code -9.*memory"):
        list(parallel(die, range(4), 2))


def test_a_reader_that_stops_early_leaves_no_process_behind():
    results = parallel(squares, range(100_000), 2)
    next(results)
    results.close()
    assert not multiprocessing.active_children()


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """A lingering worker would go on writing into a merge that the next run resumes."""
    pids = tmp_path / "pids"

    def log(items):
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        for _ in items:
            yield b"." * 2**16

    child = os.fork()
    if child == 0:
        results = parallel(log, range(10**9), 2)
        next(results)
        signal.pause()  # the pipes fill: both workers come to wait for a reader
    while not pids.exists() or len(pids.read_text().splitlines()) < 2:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for pid in map(int, pids.read_text().split()):
        for _ in range(500):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    if stat.read().split()[2] == "Z":
                        break
            except FileNotFoundError:
                break
            signal.sigtimedwait([], 0.01)
        else:
            pytest.fail(f"worker {pid} lives on")
