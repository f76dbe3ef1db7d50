"""What finished jobs of the sweep took: the records of this config, text and device."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mergelaw.config import Study
from mergelaw.costs.inputs import Machine, Measured, TextLength
from mergelaw.design import chunks
from mergelaw.errors import TableError
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint

NUMBERS = ("n_merges", "merge_seconds", "score_seconds")


@dataclass(frozen=True)
class _Job:
    """One finished job that was timed."""

    key: tuple[str, str]
    n_merges: int
    merge_seconds: float
    score_seconds: float
    device: str


def measured_jobs(
    study: Study, paths: StudyPaths, machine: Machine, text: TextLength
) -> tuple[dict[tuple[str, str], Measured], list[str]]:
    """Return what finished jobs took, by size and method, and notes on those that do not count.

    A job counts if its cost.json has the `slice` of its chunk as the config is now and, where the
    text is prepared, has scored as many tokens; of other devices only if `machine.any_device`.
    """
    notes: list[str] = []
    jobs = list(_jobs(study, paths, text, notes))
    others = sorted({job.device for job in jobs if not machine.device.is_named(job.device)})
    if others and not machine.any_device:
        notes.append(
            f"jobs of this study were measured on {', '.join(others)}; --measured uses their times"
        )
        jobs = [job for job in jobs if job.device not in others]
    grouped = groupby(jobs, key=lambda job: job.key)
    return {key: _sums(list(group)) for key, group in grouped}, notes


def _sums(jobs: list[_Job]) -> Measured:
    return Measured(
        len(jobs),
        sum(job.n_merges for job in jobs),
        sum(job.merge_seconds for job in jobs),
        sum(job.score_seconds for job in jobs),
    )


def _jobs(study: Study, paths: StudyPaths, text: TextLength, notes: list[str]) -> Iterator[_Job]:
    """Yield the jobs of this config and text that scored merges, by size and method."""
    n_found = n_left_out = 0
    for path, targets in _finished(study, paths):
        try:
            record = _record(path)
            n_found += 1
            if not _is_current(record, fingerprint(study, "sweep", "chunk", **targets), text):
                n_left_out += 1
            elif (job := _job(record, path, targets)).n_merges:  # 0: all were resumed
                yield job
        except TableError as error:
            notes.append(str(error))
    if n_left_out:
        notes.append(
            f"not counted as measured: {n_left_out} of {n_found} finished jobs of the sweep, made "
            "under another config or version, or over other text"
        )


def _finished(study: Study, paths: StudyPaths) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each cost.json that there is, and what names its chunk."""
    for size in study.size_names:
        for method in study.method_labels:
            for chunk in chunks(study, size):
                path = paths.chunk_cost(size, method, chunk.index)
                if path.exists():
                    yield path, {"size": size, "method": method, "chunk": chunk.index}


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _no_record(path, f"no JSON: {error}") from error
    if not isinstance(record, dict):
        raise _no_record(path, "no JSON object")
    return record


def _is_current(record: Mapping[str, Any], current: str, text: TextLength) -> bool:
    same_text = record.get("n_tokens") == text.n_tokens if text.prepared else not text.changed
    return same_text and record.get("slice") == current


def _job(record: Mapping[str, Any], path: Path, targets: Mapping[str, Any]) -> _Job:
    bad = [name for name in NUMBERS if not _is_number(record.get(name))]
    device = record.get("device")
    if bad:
        raise _no_record(path, f"{', '.join(bad)} must be a number, at least 0")
    if not isinstance(device, str) or not device:
        raise _no_record(path, f"device = {device!r}: must be a device's name")
    key = targets["size"], targets["method"]
    return _Job(key, device=device, **{name: record[name] for name in NUMBERS})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf  # a NaN is not


def _no_record(path: Path, why: str) -> TableError:
    return TableError(
        f"{path}: is no record of a finished job ({why}) and is not counted; delete it, or run "
        "its job again"
    )
