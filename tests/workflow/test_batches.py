"""Batches: a sweep too long for one go is cut by `--batch losses=1/3`."""

from tests.workflow.reruns import FINISHED, JOBS
from tests.workflow.workspace import Workspace

N_BATCHES = 3


def test_batches_of_losses_part_the_chunks_and_the_last_finishes_the_study(tmp_path):
    workspace = Workspace(tmp_path)
    all_chunks = [job for job in JOBS if job.startswith("chunk")]
    done: list[str] = []
    ran: set[str] = set()
    for number in range(1, N_BATCHES + 1):
        batch = ("--batch", f"losses={number}/{N_BATCHES}")
        jobs = workspace.jobs(FINISHED, *batch)
        chunks = [job for job in jobs if job.startswith("chunk")]
        assert len(chunks) in (len(all_chunks) // N_BATCHES, -(-len(all_chunks) // N_BATCHES))
        done += chunks
        ran |= set(jobs)
        last = number == N_BATCHES
        assert (
            {"losses", "curves", "fits", "page report"} <= set(jobs)
            if last
            else ("losses" not in jobs and "page report" not in jobs)
        )
        workspace.pretend(FINISHED, *batch)
    assert sorted(done) == all_chunks, "no chunk is in two batches, and none in no batch"
    assert sorted(ran) == JOBS
    assert workspace.jobs(FINISHED) == []
