"""Everything that `mergelaw status` tells, as JSON has it."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mergelaw.config import Study
from mergelaw.errors import MergeLawError
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.status.model import machine_of, model_rows
from mergelaw.status.plan import STAGES, PlannedJob
from mergelaw.status.queue import Heads, Queue
from mergelaw.status.states import JobState, job_states
from mergelaw.status.work import Pace, merges_per_hour, spent

OTHERS = "others"
"""Jobs that the report has no need of: cells, parts, the full report's."""

LOG_LINES = 5
"""Last lines of a failed job's log that are told."""

IDLE_GPU_SECONDS = 300.0
"""A job that is not done and has not used its GPU by then counts as one on the processor."""


def status_facts(
    study: Study,
    paths: StudyPaths,
    folder: Path,
    jobs: Sequence[PlannedJob],
    queue: Queue,
    heads: Heads,
    now: float,
) -> dict[str, Any]:
    """Return how far a study is.

    Parameters
    ----------
    folder : Path
        Where its workflow runs: `results` lies there.
    jobs : sequence of PlannedJob
        The jobs of its report.
    queue, heads : Queue, Heads
        What Slurm tells, and what is seen of Snakemake.
    now : float
        Seconds since 1970.
    """
    states = job_states(paths, jobs, queue, now)
    return {
        "study": study.name,
        "folder": str(paths.root),
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "stages": _stages(states),
        "merges": _merges(states),
        **_costs(study, paths, folder, states),
        "slurm": _slurm(folder, queue, heads),
        "running": [_job(folder, state) for state in states if state.state == "running"],
        "failed": [_failed(folder, state) for state in states if state.state == "failed"],
        "on_cpu_despite_gpu": [
            _job(folder, state) for state in states if _ran_on_cpu(study, state)
        ],
        "last_error": _last_error(folder, states),
    }


def _stages(states: Iterable[JobState]) -> list[dict[str, Any]]:
    """Return counts of jobs by stage; those of other jobs last, where there are any."""
    counts = {stage: Counter[str]() for stage in (*STAGES, OTHERS)}
    for state in states:
        counts[state.job.stage if state.job else OTHERS][state.state] += 1
    return [
        {"stage": stage, "jobs": count.total()}
        | {name: count[name] for name in ("done", "running", "failed", "left")}
        for stage, count in counts.items()
        if count or stage != OTHERS
    ]


def _merges(states: Sequence[JobState]) -> dict[str, Any]:
    own = [state for state in states if state.job]
    pace = merges_per_hour(own)
    return {
        "scored": sum(state.n_scored for state in own),
        "all": sum(state.job.n_merges for state in own if state.job),
        "per_hour": pace and pace[0],
        "per_hour_over_minutes": pace and 60 * pace[1],
    }


def _costs(
    study: Study, paths: StudyPaths, folder: Path, states: Sequence[JobState]
) -> dict[str, Any]:
    """Return what was spent and what is left, in hours; None where nothing tells it."""
    done, lack, left = spent(states), "", None
    n_running = sum(state.state == "running" for state in states)
    machine = functools.cache(lambda: machine_of(folder, states))
    rows = functools.cache(lambda: model_rows(study, paths, machine(), folder))
    try:
        left = Pace(states, rows).left()
    except MergeLawError as error:
        lack = str(error)
    model = machine().device.name if left and left.by_model_seconds else None
    return {
        "gpu_hours": {
            "spent": done.gpu_seconds / 3600,
            "spent_by_failed_attempts": done.failed_gpu_seconds / 3600,
            "left": left and left.gpu_seconds / 3600,
        },
        "job_hours": {
            "spent": done.job_seconds / 3600,
            "left": left and left.job_seconds / 3600,
            "left_by_model": left and left.by_model_seconds / 3600,
            "model_of": model,
            "lack": lack,
        },
        "time_left_hours": left.job_seconds / 3600 / n_running if left and n_running else None,
    }


def _slurm(folder: Path, queue: Queue, heads: Heads) -> dict[str, Any]:
    """Return the queue of the study's folder; those that no head waits for are orphans."""
    steps = [job for job in queue.of_folder(folder) if job.is_step]
    alone = [job.id for job in steps if not heads.seen]
    return {
        "answers": queue.jobs is not None,
        "lack": queue.lack,
        "running": sum(not job.waits for job in steps),
        "waiting": sum(job.waits for job in steps),
        "orphans": [] if heads.locked else alone,
        "head_not_seen": alone if heads.locked else [],
    }


def _job(folder: Path, state: JobState) -> dict[str, Any]:
    record = state.record
    assert record is not None, "only jobs with a record are told of"  # noqa: S101
    return {
        "rule": record.rule,
        "targets": record.targets,
        "attempt": record.attempt,
        "started": record.started.isoformat(timespec="seconds"),
        "seconds": state.seconds,
        "host": record.process.host,
        "slurm_job": record.process.slurm_job,
        "gpus": record.gpus,
        "merges_scored": state.n_scored,
        "merges": state.job.n_merges if state.job else 0,
        "log": record.log and str(folder / record.log),
    }


def _failed(folder: Path, state: JobState) -> dict[str, Any]:
    ended = datetime.fromtimestamp(state.last_seen, UTC).isoformat(timespec="seconds")
    return {**_job(folder, state), "ended": ended, "error": state.error}


def _ran_on_cpu(study: Study, state: JobState) -> bool:
    """Say whether a job had GPUs and used none; one that did not end may have been about to.

    A training that is launched in processes of its own is none: it refuses to do without GPUs.
    """
    record = state.record
    if record and record.rule in LAUNCHED and record.targets["size"] in _launching(study):
        return False
    if record is None or not record.gpus or record.gpu_used or not RULES[record.rule].on_device:
        return False
    return state.state == "done" or state.seconds > IDLE_GPU_SECONDS


LAUNCHED = ("expert", "multitask")
"""Rules whose jobs run by a size's launch file."""


def _launching(study: Study) -> set[str]:
    return {size.name for size in study.sizes if size.launch}


def _last_error(folder: Path, states: Iterable[JobState]) -> dict[str, Any] | None:
    failed = [state for state in states if state.state == "failed"]
    if not failed:
        return None
    last = _failed(folder, max(failed, key=lambda state: state.last_seen))
    return {**last, "log_lines": _tail(Path(last["log"])) if last["log"] else []}


def _tail(path: Path) -> list[str]:
    """Return the last lines of a log; bars that were drawn over each other as their last."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.rpartition("\r")[2].rstrip() for line in text.splitlines()]
    return [line for line in lines if line][-LOG_LINES:]
