"""What a study has cost: report/costs.parquet, and the same as text or JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.costs.spent import Spent, jobs_spent
from mergelaw.costs.sums import summed
from mergelaw.costs.words import columns, duration, energy, number, size_of
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import COSTS, COSTS_KEY, read_provenance, read_table, write_table

NOT_COUNTED = {
    "n_left_out": "not counted: {n} of another config or version, or that the study has no more",
    "n_running": "not counted: the last attempt of {n} that run, or were killed without a word",
    "n_without_cost": "of {n} only the wall time is known: their cost.json is missing or broken",
}
"""What is to be told of jobs, by what the table's metadata counts."""


def write_costs(study: Study, paths: StudyPaths) -> Path:
    """Sum what the jobs of a study took, by rule, size, method and device.

    Jobs of the config as it is now count, as far as they are done by now; attempts that failed are
    summed apart. This job itself, and those after it, are not in the table.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.COSTS`).
    """
    spent = jobs_spent(study, paths)
    origin = provenance(study, "report", "costs")
    origin |= {name: str(getattr(spent, name)) for name in NOT_COUNTED}
    write_table(paths.costs, costs_frame(study, spent), COSTS, COSTS_KEY, origin)
    return paths.costs


def costs_frame(study: Study, spent: Spent) -> pl.DataFrame:
    """Return the rows of `mergelaw.tables.COSTS`, in the order of rules, sizes and methods."""
    jobs = pl.DataFrame(spent.jobs, schema=dict(COSTS))
    groups = jobs.group_by(COSTS_KEY, maintain_order=True)
    rows = [dict(zip(COSTS_KEY, key, strict=True)) | summed(part) for key, part in groups]
    return pl.DataFrame(sorted(rows, key=lambda row: _place(study, row)), schema=dict(COSTS))


def _place(study: Study, row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what rows are sorted by; those without a size or method come first."""
    sizes, methods = ("", *study.size_names), ("", *study.method_labels)
    place = list(RULES).index(row["rule"])
    return (
        place,
        sizes.index(row["size"] or ""),
        methods.index(row["method"] or ""),
        row["device"] or "",
    )


def costs_json(path: Path) -> str:
    """Return a table of costs as JSON: its rows, sums by stage and in all, and what is left out."""
    frame, counts = _read(path)
    stages = [{"stage": stage} | summed(part) for stage, part in _by_stage(frame)]
    content = {"rows": frame.to_dicts(), "stages": stages, "total": summed(frame), **counts}
    return json.dumps(content, indent=2)


HEADINGS = (
    "rule", "size", "method", "device", "jobs", "wall", "processor", "device-hours", "memory",
    "tokens", "FLOPs", "energy", "merges", "s/merge", "failed", "their wall",
)  # fmt: skip


def costs_text(path: Path) -> str:
    """Return a table of costs as people read it: a line per row, then sums by stage and in all."""
    return "\n".join(_lines(*_read(path)))


def _lines(frame: pl.DataFrame, counts: dict[str, int]) -> Iterator[str]:
    cells = [_cells(row, row) for row in frame.to_dicts()]
    cells += [_cells({"rule": f"{stage}: all"}, summed(part)) for stage, part in _by_stage(frame)]
    cells.append(_cells({"rule": "total"}, summed(frame)))
    yield from columns([HEADINGS, *cells], n_left=4)
    yield ""
    yield "-: not told. Failed attempts are in their own columns alone; the energy is of models'"
    yield "jobs. This job, and those after it, are not counted."
    for name, words in NOT_COUNTED.items():
        if counts[name]:
            yield words.format(n=f"{counts[name]:,} job{'s'[: counts[name] != 1]}")


def _cells(named: dict[str, Any], row: dict[str, Any]) -> list[str]:
    merges, seconds = row["n_merges"], row["merge_seconds"]
    return [
        *(named.get(name) or "" for name in ("rule", "size", "method", "device")),
        f"{row['n_jobs']:,}",
        duration(row["wall_seconds"]),
        _told(duration, row["cpu_seconds"]),
        _told(number, row["device_hours"]),
        _told(size_of, row["peak_memory_bytes"]),
        _told(lambda n: f"{n:,}", row["n_tokens"]),
        _told(lambda flops: f"{flops:.3g}", row["flops"]),
        _told(energy, row["energy_joules"]),
        f"{merges:,}" if merges else "",
        number(seconds / merges) if merges and seconds is not None else "",
        f"{row['n_failed']:,}" if row["n_failed"] else "",
        duration(row["failed_seconds"]) if row["n_failed"] else "",
    ]


def _told(show: Any, value: float | None) -> str:
    return "-" if value is None else str(show(value))


def _by_stage(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for (stage,), part in frame.group_by("stage", maintain_order=True):
        yield str(stage), part


def _read(path: Path) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return a table of costs, and what its metadata counts."""
    found = read_provenance(path)
    return read_table(path, COSTS), {name: int(found[name]) for name in NOT_COUNTED}
