"""Chunks in processes of their own, to be killed or stopped at a merge."""

import multiprocessing
import os
import signal

from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.finished import Finished

FORK = multiprocessing.get_context("fork")


def run_and_die(study, paths, method, after):
    """Run a chunk in a process that kills itself while it scores the merge after so many."""
    add, count = Finished.add, [0]

    def dying(self, key, sums):
        if count[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        count[0] += 1
        add(self, key, sums)

    Finished.add = dying
    run_chunk(study, paths, "small", method, 0)


def killed(study, paths, method, after):
    process = FORK.Process(target=run_and_die, args=(study, paths, method, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def n_finished(paths, method) -> int:
    return len(paths.chunk_progress("small", method, 0).read_bytes().splitlines()) - 1
