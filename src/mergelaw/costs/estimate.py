"""The estimate of a study: rows, totals, chunk sizes for a job's length, and what it rests on."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from mergelaw.config import Study
from mergelaw.costs.inputs import Case
from mergelaw.costs.remarks import ChunkPlan, assumptions_of, notes_of
from mergelaw.costs.row import Row
from mergelaw.costs.rows import cell_rows, full_rows, study_rows
from mergelaw.costs.sweep import SweepMethod, SweepSize, chunk_size_for
from mergelaw.design import chunks
from mergelaw.errors import ConfigError


@dataclass(frozen=True)
class Estimate:
    """What a study costs on a machine.

    Attributes
    ----------
    case : Case
        The study, the machine, and what is known of its models and text.
    """

    case: Case

    def __post_init__(self) -> None:
        """Refuse a machine that has fewer devices than one job needs."""
        most = self._most_devices
        if self.n_devices < most.devices_per_job:
            raise ConfigError(
                f"--gpus {self.n_devices}: a job of rule {most.rule} at {most.size} needs "
                f"{most.devices_per_job} {self.case.machine.device.name} at once; give at least as "
                "many"
            )

    @cached_property
    def rows(self) -> list[Row]:
        """The rules that make the report."""
        return study_rows(self.case)

    @cached_property
    def cells(self) -> list[Row]:
        """One checkpoint of the whole pool and its scoring, by size; in no total."""
        return cell_rows(self.case)

    @cached_property
    def full(self) -> list[Row]:
        """What `snakemake full` makes besides, by size; in no total."""
        return full_rows(self.case)

    @cached_property
    def plans(self) -> list[ChunkPlan]:
        """Chunk sizes for the stated job length, by size as the config lists them."""
        return [_plan(self.case, size) for size in self.case.study.ladder]

    @cached_property
    def _most_devices(self) -> Row:
        """A job of those that have most devices."""
        return max(self.rows, key=lambda row: row.devices_per_job)

    @property
    def n_devices(self) -> int:
        """Devices at hand."""
        given = self.case.machine.n_devices
        return self._most_devices.devices_per_job if given is None else given

    @cached_property
    def wall_seconds(self) -> float:
        """Seconds from start to end with as many jobs at once as there are devices for.

        Rules and sizes one after the other; each as long as its longest job, or as all its jobs
        spread evenly.
        """
        total = 0.0
        for _, group in groupby(self.rows, key=lambda row: (row.rule, row.size)):
            rows = list(group)
            at_once = max(1, self.n_devices // max(1, rows[0].devices_per_job))
            longest = max(row.longest_job_seconds for row in rows)
            total += max(longest, sum(row.job_seconds for row in rows) / at_once)
        return total

    @cached_property
    def advised_wall_seconds(self) -> float:
        """The same with the advised chunk sizes in the config."""
        study = self.case.study
        for plan in self.plans:
            study = _with_chunk_size(study, plan.size, plan.chunk_size)
        return Estimate(replace(self.case, study=study)).wall_seconds

    @property
    def total(self) -> dict[str, float]:
        """Sums over all rows, and the largest memory of any job."""
        summed = ("n_jobs", "n_merges", "bytes_read", "bytes_written", "job_seconds", "flops")
        return {
            **{name: sum(getattr(row, name) for row in self.rows) for name in summed},
            "device_seconds": sum(row.device_seconds for row in self.rows),
            "host_bytes": max(row.host_bytes for row in self.rows),
            "device_bytes": max(row.device_bytes for row in self.rows),
            "wall_seconds": self.wall_seconds,
            "advised_wall_seconds": self.advised_wall_seconds,
        }

    @property
    def notes(self) -> list[str]:
        """What stands out: jobs that are too long or too large, and what was measured elsewhere."""
        return list(notes_of(self.case, self.plans, [*self.rows, *self.full]))

    @property
    def assumptions(self) -> list[str]:
        """Everything that is taken for granted, in words."""
        return list(assumptions_of(self.case, [*self.rows, *self.full]))

    def facts(self) -> dict[str, Any]:
        """Return all numbers, as JSON takes them."""
        case, machine = self.case, self.case.machine
        return {
            "study": case.study.name,
            "machine": {**asdict(machine), "n_devices": self.n_devices},
            "text": asdict(case.text),
            "sizes": {name: asdict(model) for name, model in case.sizes.items()},
            "rows": [_facts(row) for row in self.rows],
            "total": self.total,
            "cells": [_facts(row) for row in self.cells],
            "full": [_facts(row) for row in self.full],
            "chunk_sizes": [asdict(plan) for plan in self.plans],
            "notes": self.notes,
            "assumptions": self.assumptions,
        }


def _facts(row: Row) -> dict[str, Any]:
    return {**asdict(row), "device_seconds": row.device_seconds}


def _plan(case: Case, size: str) -> ChunkPlan:
    at = SweepSize(case, size)
    advised = chunk_size_for(at)
    now, then = chunks(case.study, size), chunks(_with_chunk_size(case.study, size, advised), size)
    longest = [
        {
            method.label: max(SweepMethod(at, method).job_seconds(c.subsets) for c in found)
            for method in case.study.methods
        }
        for found in (now, then)
    ]
    slowest = max(longest[1], key=lambda label: longest[1][label])
    return ChunkPlan(
        size,
        sum(len(chunk.subsets) for chunk in now),
        max(len(chunk.subsets) for chunk in now),
        len(now),
        max(longest[0].values()),
        advised,
        len(then),
        longest[1][slowest],
        slowest,
    )


def _with_chunk_size(study: Study, size: str, chunk_size: int) -> Study:
    """Return the study with another chunk size of a size, also under other training settings."""
    sizes = tuple(
        entry.model_copy(update={"chunk_size": chunk_size}) if entry.base_size == size else entry
        for entry in study.sizes
    )
    return study.model_copy(update={"sizes": sizes})
