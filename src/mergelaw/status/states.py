"""The state of each job: from its output, its record, and whether its process lives."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mergelaw.errors import MergeLawError
from mergelaw.jobs.record import (
    JobRecord,
    n_scored,
    progress_path,
    read_record,
    record_path,
)
from mergelaw.paths import StudyPaths
from mergelaw.status.plan import PlannedJob
from mergelaw.status.queue import Queue

SIGN_SECONDS = 300.0
"""A job whose process cannot be looked for counts as alive for so long after its last sign."""

NO_WORD = "ended without a word: killed, out of memory, or its node failed"

State = Literal["done", "running", "failed", "left"]


@dataclass(frozen=True)
class JobState:
    """How it stands with a job.

    Attributes
    ----------
    job : PlannedJob or None
        None for a job that the report has no need of.
    record : JobRecord or None
        Of its last attempt; None where none was made, or under another config.
    seconds : float
        How long that attempt ran, or has run.
    last_seen : float
        When it was last alive, in seconds since 1970.
    n_scored : int
        Merges that are scored and kept, in a chunk.
    """

    state: State
    job: PlannedJob | None = None
    record: JobRecord | None = None
    seconds: float = 0.0
    last_seen: float = 0.0
    n_scored: int = 0

    @property
    def new_merges(self) -> int:
        """Merges that this attempt scored."""
        return max(0, self.n_scored - self.record.merges_before) if self.record else 0

    @property
    def error(self) -> str:
        """Why it failed."""
        return (self.record.error if self.record else None) or NO_WORD


def job_states(
    paths: StudyPaths, jobs: Sequence[PlannedJob], queue: Queue, now: float
) -> list[JobState]:
    """Return the states of the report's jobs, then those of other jobs that have a record."""
    own = [record_path(paths, job.rule, job.targets) for job in jobs]
    states = [_state(paths, job, at, queue, now) for job, at in zip(jobs, own, strict=True)]
    return [*states, *_others(paths, set(own), queue, now)]


def _state(paths: StudyPaths, job: PlannedJob, at: Path, queue: Queue, now: float) -> JobState:
    record, seen = read_record(at), _changed(at)
    outdated = record is not None and record.slice != job.slice
    if record and record.state == "running" and is_alive(record, seen, at, queue, now):
        return _with_record("running", paths, job, record, now)
    if _is_made(job) if job.rule == "chunk" else job.output.exists() and not outdated:
        kept = None if outdated else record
        seconds = kept.seconds(seen) if kept else 0.0
        return JobState("done", job, kept, seconds, seen, job.n_merges)
    if record is None or outdated:
        return JobState("left", job)
    begins_again = record.state == "done" or _waits(record, queue)  # its output was taken away
    return _with_record("left" if begins_again else "failed", paths, job, record, seen)


def _with_record(
    state: State, paths: StudyPaths, job: PlannedJob, record: JobRecord, seen: float
) -> JobState:
    scored = n_scored(progress_path(paths, job.rule, job.targets)) if job.n_merges else 0
    if state == "running" and record.slice != job.slice:
        scored = 0
    return JobState(state, job, record, record.seconds(seen), seen, min(scored, job.n_merges))


def _others(paths: StudyPaths, own: set[Path], queue: Queue, now: float) -> Iterator[JobState]:
    """Yield the states of jobs that are not the report's: parts, cells, the full report's."""
    for at in sorted((paths.root / "jobs").glob("*/*.json")):
        record = read_record(at) if at not in own else None
        if record is None:
            continue
        seen, state = _changed(at), record.state
        if state == "running" and not is_alive(record, seen, at, queue, now):
            state = "failed"
        last = now if state == "running" else seen
        yield JobState(state, None, record, record.seconds(last), last)


def is_alive(record: JobRecord, last_seen: float, at: Path, queue: Queue, now: float) -> bool:
    """Say whether the process of a record that says `running` lives.

    This machine is asked for its own processes: a job of Slurm's may outlive one, as a head's does
    those of its light jobs. Then Slurm for this user's jobs; of others only the record's time
    tells.
    """
    process = record.process
    if process.is_here:
        return process.lives()
    if process.slurm_job and queue.jobs is not None and _is_own(at):
        job = queue.job(process.slurm_job)
        return job is not None and not job.waits
    return now - last_seen < SIGN_SECONDS


def _is_own(path: Path) -> bool:
    """Say whether a file is this user's: Slurm was asked for no other's jobs."""
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _waits(record: JobRecord, queue: Queue) -> bool:
    """Say whether Slurm has put a job back into its queue, as it does after a preemption."""
    job = queue.job(record.process.slurm_job)
    return job is not None and job.waits


def _is_made(job: PlannedJob) -> bool:
    """Say whether a chunk's table is there, of this config."""
    try:
        return _slice(str(job.output), job.output.stat().st_mtime_ns) == job.slice
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _slice(path: str, changed: int) -> str | None:
    """Return the slice that a table was made of; read once for each time that it changed."""
    import polars as pl

    try:
        return pl.read_parquet_metadata(path).get("slice")
    except (pl.exceptions.PolarsError, MergeLawError):
        return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
