"""The record of a job: what ran where, for how long, how it ended; `mergelaw status` reads it.

A record is no output of its job. A job that is killed leaves one that says `running`: its file's
time, which a thread renews, then tells when the job was last alive.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from mergelaw.paths import StudyPaths
from mergelaw.processes import Process


class JobRecord(BaseModel):
    """The last attempt at a job, and sums over those before it.

    Attributes
    ----------
    slice : str
        Digest of the config that decides the job's output.
    attempt, failed_attempts : int
        How often it was started, this time included; how many of the earlier ones failed.
    earlier_wall_seconds, earlier_gpu_seconds : float
        Of the attempts before.
    tries : int
        Those of the failed attempts that this one goes on from: since the job was last done, and of
        the same `slice`.
    tries_wall_seconds, tries_gpu_seconds : float
        Of these.
    process : Process
        It does the job, or did.
    gpus : int
        GPUs that it was granted: those of CUDA_VISIBLE_DEVICES; where that is unset, and no Slurm
        is there, the machine's for a job that uses one.
    gpu_used : bool
        Whether it has used a GPU so far.
    merges_before : int
        Scored merges that earlier attempts had kept.
    started, ended : datetime
        UTC.
    log : str or None
        The file that its standard output goes to.
    """

    state: Literal["running", "done", "failed"]
    rule: str
    targets: dict[str, str]
    stage: str
    slice: str
    attempt: int
    failed_attempts: int
    earlier_wall_seconds: float
    earlier_gpu_seconds: float
    tries: int = 0
    tries_wall_seconds: float = 0.0
    tries_gpu_seconds: float = 0.0
    process: Process
    cuda_visible_devices: str | None
    gpus: int
    gpu_used: bool = False
    merges_before: int
    started: datetime
    ended: datetime | None = None
    wall_seconds: float | None = None
    error: str | None = None
    log: str | None

    def seconds(self, last_seen: float) -> float:
        """Return how long this attempt ran, or has run; until `last_seen` where none says it.

        Parameters
        ----------
        last_seen : float
            Seconds since 1970: now for a job that runs, else the time of its record's file.
        """
        if self.wall_seconds is not None:
            return self.wall_seconds
        return max(0.0, last_seen - self.started.timestamp())


def read_record(path: Path) -> JobRecord | None:
    """Return a record; None where there is none that can be read."""
    try:
        return JobRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def record_path(paths: StudyPaths, rule: str, targets: Mapping[str, str]) -> Path:
    """Return where the record of a job lies; a part's name may hold a slash."""
    return paths.job_record(rule, *(target.replace("/", "~") for target in targets.values()))


def cost_path(paths: StudyPaths, rule: str, targets: Mapping[str, str]) -> Path:
    """Return where the cost.json of a job lies: with its output, or with its record."""
    match rule:
        case "base" | "expert" | "multitask":
            return paths.trained(targets["size"], targets.get("expert", rule)) / "cost.json"
        case "chunk":
            return paths.chunk_cost(targets["size"], targets["method"], int(targets["chunk"]))
        case "scales" | "best_scales" | "orders" | "derivatives" | "weights":
            return _table(paths, rule, targets).with_suffix(".cost.json")
        case "cell":
            return paths.merged_cost(targets["size"], targets["method"], targets["subset"])
        case "task_vectors":
            return paths.task_vectors_cost(targets["size"])
    record = record_path(paths, rule, targets)
    return record.parent / "costs" / record.name


def progress_path(paths: StudyPaths, rule: str, targets: Mapping[str, str]) -> Path | None:
    """Return what a job of the sweep has scored so far; None for other jobs."""
    match rule:
        case "chunk":
            return paths.chunk_progress(targets["size"], targets["method"], int(targets["chunk"]))
        case "scales" | "best_scales" | "orders":
            return _table(paths, rule, targets).with_suffix(".progress")
    return None


def _table(paths: StudyPaths, rule: str, targets: Mapping[str, str]) -> Path:
    table: Path = getattr(paths, rule)(targets["size"])
    return table


_SCORED = re.compile(rb'^[0-9a-f]{8} \[\d+,"(?!base",)', re.MULTILINE)
"""Begin of a line of a progress file; the base counts as no merge."""


def n_scored(progress: Path | None) -> int:
    """Return the merges in a progress file, which may be missing or end in a torn line."""
    try:
        content = progress.read_bytes() if progress else b""
    except OSError:
        return 0
    return len(_SCORED.findall(content, 0, content.rfind(b"\n") + 1))
