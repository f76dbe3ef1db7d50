"""What each job of a study took: its record and its cost.json, where they are of this config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from mergelaw.cells import cell
from mergelaw.config import Study
from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from mergelaw.jobs.record import JobRecord, cost_path, read_record
from mergelaw.jobs.rules import RULES
from mergelaw.parts import parts
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint

SUMMING = "costs"
"""The rule that adds costs up, which are none of them."""


class Cost(BaseModel):
    """What is read of a cost.json; `mergelaw.costs.report.measured` says what its entries are."""

    model_config = ConfigDict(allow_inf_nan=False)

    wall_seconds: float
    cpu_seconds: float | None = None
    device_hours: dict[str, float] = {}
    peak_memory_bytes: int | None = None
    peak_device_bytes: int | None = None
    tokens_read: int | None = None
    flops: float | None = None
    energy_joules: float | None = None
    n_merges: int | None = None
    prepare_seconds: float | None = None
    merge_seconds: float | None = None


class Spent(NamedTuple):
    """What the jobs of a study took.

    Attributes
    ----------
    jobs : list of dict
        A row per job that is done or has failed, with the columns of `COSTS`.
    n_left_out : int
        Records of jobs of another config or version, or that the study has no more.
    n_running : int
        Jobs that run, or were killed elsewhere without a word: their last attempt does not count.
    n_without_cost : int
        Jobs that are done and of which no cost.json can be read: their wall time alone counts.
    """

    jobs: list[dict[str, Any]]
    n_left_out: int
    n_running: int
    n_without_cost: int


def jobs_spent(study: Study, paths: StudyPaths) -> Spent:
    """Return what the jobs of a study took, as its config is now."""
    jobs, n_left_out, n_running, n_without_cost = [], 0, 0, 0
    for path in sorted((paths.root / "jobs").glob("*/*.json")):
        record = read_record(path)
        if record is None or record.rule == SUMMING:
            continue
        if not is_current(study, record):
            n_left_out += 1
            continue
        cost = _cost(cost_path(paths, record.rule, record.targets))
        n_running += record.state == "running" and not _was_killed(record)
        n_without_cost += record.state == "done" and cost is None
        jobs.append(_row(record, cost, path.stat().st_mtime))
    jobs = [job for job in jobs if job["n_jobs"] or job["n_failed"]]
    return Spent(jobs, n_left_out, n_running, n_without_cost)


def is_current(study: Study, record: JobRecord) -> bool:
    """Say whether a record is of a job that the study has, under the config as it is now."""
    rule, targets = record.rule, record.targets
    if rule not in RULES or not _has(study, rule, targets):
        return False
    return record.slice == fingerprint(study, RULES[rule].stage, rule, **targets)


def _has(study: Study, rule: str, targets: Mapping[str, str]) -> bool:
    """Say whether a study has a job: its targets, and a need of it."""
    known = {
        "domain": study.domain_names,
        "size": study.size_names,
        "method": study.method_labels,
        "expert": study.expert_names,
        "part": parts(study),
    }
    if any(value not in known.get(name, (value,)) for name, value in targets.items()):
        return False
    match rule:
        case "base":
            return study.size(targets["size"]).architecture is not None
        case "expert":
            return targets["expert"] not in study.size(targets["size"]).experts
        case "multitask" | "multitask_losses":
            return study.multitask is not None
        case "scales" | "best_scales" | "orders":
            section = study.orders if rule == "orders" else study.scales
            return section is not None
        case "derivatives" | "weights" | "predictions":
            return study.theory is not None
        case "chunk":
            return int(targets["chunk"]) < len(chunks(study, targets["size"]))
        case "cell" | "cell_losses":
            return _has_cell(study, targets)
    return True


def _has_cell(study: Study, targets: Mapping[str, str]) -> bool:
    try:
        cell(study, targets["size"], targets["method"], targets["subset"])
    except ConfigError:
        return False
    return True


def _was_killed(record: JobRecord) -> bool:
    return record.process.is_here and not record.process.lives()


def _cost(path: Path) -> Cost | None:
    """Return a cost.json; None where there is none that can be read."""
    try:
        return Cost.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _row(record: JobRecord, cost: Cost | None, last_seen: float) -> dict[str, Any]:
    """Return one job as a row; attempts that failed apart from the one that did it."""
    done = record.state == "done"
    wall = record.wall_seconds if done else 0.0
    found = (cost if done else None) or Cost(wall_seconds=wall or 0.0)
    hours = found.device_hours
    return {
        "stage": record.stage,
        "rule": record.rule,
        "size": record.targets.get("size"),
        "method": record.targets.get("method"),
        "device": ", ".join(sorted(hours)) or None,
        "n_jobs": int(done),
        "n_tokens": found.tokens_read,
        **found.model_dump(exclude={"tokens_read"}),
        "device_hours": sum(hours.values()) if hours else None,
        **_failed(record, last_seen),
    }


def _failed(record: JobRecord, last_seen: float) -> dict[str, Any]:
    """Return what attempts took that ended without the job being done, the last one's too."""
    last = record.state == "failed" or (record.state == "running" and _was_killed(record))
    seconds = record.tries_wall_seconds + last * record.seconds(last_seen)
    gpu_seconds = record.tries_gpu_seconds + last * record.seconds(last_seen) * record.gpus
    used = gpu_seconds if record.gpus else seconds
    return {
        "n_failed": record.tries + last,
        "failed_seconds": seconds,
        "failed_device_hours": used / 3600 if RULES[record.rule].on_device else None,
    }
