"""What each job asks a scheduler for: memory, time, GPUs, local disk, as `estimate` counts them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from mergelaw.config import Study
from mergelaw.costs.inputs import Case, TextLength, text_length
from mergelaw.costs.job_rows import job_row
from mergelaw.costs.machine_file import MachineFile, read_machine_file
from mergelaw.costs.model import USABLE
from mergelaw.costs.row import Row
from mergelaw.costs.size_models import size_model
from mergelaw.costs.sweep import SweepSize
from mergelaw.costs.training_inputs import TrainingInputs, trained_at, training_inputs
from mergelaw.costs.training_remarks import FINISHED, training_problems
from mergelaw.errors import ConfigError, listing
from mergelaw.paths import StudyPaths

RESOURCES = ("mem_mb", "runtime", "gpu", "disk_mb")

BESIDE_BYTES = 500_000_000
"""Two Snakemakes that run in a job beside it: 170 MB each (measured), and a larger study's."""

DRIVER_BYTES = 2_000_000_000
"""ASSUME a process that uses a GPU has so much more on the host: its driver and libraries."""

STEP_MB = 100
"""Memory is asked for in such steps."""

MEMORY_GROWTH = 1.5
"""How much more memory each attempt asks for: a job that ran out has had too little."""

START_MINUTES = 5.0
"""Before the work: Snakemake twice, imports from a shared disk, a GPU that wakes."""

TIME_MARGIN = 1.5
"""How much longer than estimated a job may take: it shares disks and buses with others."""

STEP_MINUTES, LEAST_MINUTES = 5, 10
"""Time is asked for in such steps, and at least so much."""

LEAST_DISK_MB = 1000
"""Local disk of a job that keeps nothing there."""

MERGING_CORES = 4
"""Cores of a job without a GPU on a machine with GPUs: one thread reads, the others merge."""


@dataclass(frozen=True)
class Needs:
    """Needs of a study's jobs on one machine.

    Attributes
    ----------
    study : Study
        The study.
    paths : StudyPaths
        Its tree: prepared text is counted where it is there.
    node : MachineFile
        One node.
    origin : str
        The machine's file, for messages.
    project : str
        Folder below which launch files are looked for that are not in the current one.
    """

    study: Study
    paths: StudyPaths
    node: MachineFile
    origin: str
    project: str = ""
    _sizes: dict[str, SweepSize] = field(default_factory=dict, repr=False, compare=False)
    _rows: dict[tuple[str, ...], Row] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_file(
        cls, study: Study, paths: StudyPaths, machine: str | None, project: str
    ) -> Self | None:
        """Return the needs on the machine of a file, relative to here or to the project.

        None without a machine.

        Raises
        ------
        ConfigError
            If the file is missing or has problems; all are listed.
        """
        if not machine:
            return None
        here = Path(machine).expanduser()
        path = here if here.exists() else Path(project) / here
        return cls(study, paths, read_machine_file(path), str(path), project)

    def of(self, rule: str, targets: Mapping[str, str], attempt: int = 1) -> dict[str, int]:
        """Return what a job asks for, by resource and `threads`.

        Parameters
        ----------
        rule : str
            A rule that reads models.
        targets : mapping of str to str
            Its wildcards, `size` among them.
        attempt : int
            Which submission this is; later ones ask for more, up to what the node has.

        Returns
        -------
        dict of str to int
            `mem_mb` and `disk_mb` in MB, `runtime` in minutes.

        Raises
        ------
        ConfigError
            If no node of the machine can run it, the size's parameters are not known, or a launch
            file has problems.
        """
        row = self._row(rule, targets)
        on_gpu = self.node.kind.is_gpu and row.devices_per_job > 0
        gpu = row.devices_per_job if on_gpu else 0
        return {
            "mem_mb": self._memory(row, gpu, attempt),
            "runtime": self._minutes(row, attempt),
            "gpu": gpu,
            "disk_mb": self._disk(row),
            "threads": (self.node.cpus_per_gpu or 1) * gpu
            or self.node.cpus_per_job
            or MERGING_CORES,
        }

    @cached_property
    def _text(self) -> TextLength:
        return text_length(self.study, self.paths.shard_contents)

    @cached_property
    def _training(self) -> TrainingInputs:
        return training_inputs(self.study, self.paths, Path(self.project))

    def _size(self, name: str) -> SweepSize:
        """Return a size; only its own checkpoint's headers are read."""
        if name not in self._sizes:
            model = size_model(self.study, self.paths, name, [])
            machine, known = self.node.machine(), self._training
            case = Case(self.study, machine, self._text, {name: model}, training=known)
            self._sizes[name] = SweepSize(case, name)
        return self._sizes[name]

    def _row(self, rule: str, targets: Mapping[str, str]) -> Row:
        key = (rule, *targets.values())
        if key not in self._rows:
            at = self._size(targets["size"])
            row = job_row(at, rule, targets)
            if any(self._problems(at, row)):
                found = list(self._problems_of_sizes(rule, targets))
                raise ConfigError(listing(f"{self.origin}: cannot run jobs of rule {rule}", found))
            self._rows[key] = row
        return self._rows[key]

    def _problems_of_sizes(self, rule: str, targets: Mapping[str, str]) -> Iterator[str]:
        """Yield why no node can run such a job, size by size: not only of the one asked for."""
        for name in filter(lambda name: self._runs_at(rule, targets, name), self.study.size_names):
            at = self._size(name)
            row = job_row(at, rule, {**targets, "chunk": "0"})
            yield from (f"size {name}: {problem}" for problem in self._problems(at, row))

    def _runs_at(self, rule: str, targets: Mapping[str, str], name: str) -> bool:
        """Say whether a size has jobs of a rule: trainings are of what is not given."""
        size = self.study.size(name)
        match rule:
            case "base":
                return size.architecture is not None and not size.setting
            case "expert":
                return targets["expert"] in trained_at(self.study, name)
            case "multitask" | "multitask_losses":
                return not size.setting
            case _:
                return True

    def _memory(self, row: Row, gpu: int, attempt: int) -> int:
        """Return MB: (the estimate + what runs beside) / `USABLE`, as a job plans with that share.

        At most the node's, in MiB, by which Slurm takes the number.
        """
        driver = DRIVER_BYTES * row.n_processes if gpu else 0
        planned = row.host_bytes + BESIDE_BYTES + driver
        asked = planned / USABLE * MEMORY_GROWTH ** (attempt - 1) / 1e6
        return min(STEP_MB * math.ceil(asked / STEP_MB), int(self._node_bytes / 2**20))

    def _minutes(self, row: Row, attempt: int) -> int:
        """Return minutes: the start and the estimate with its margin; at most the partition's."""
        planned = START_MINUTES + TIME_MARGIN * row.longest_job_seconds / 60
        asked = max(LEAST_MINUTES, STEP_MINUTES * math.ceil(planned / STEP_MINUTES)) * attempt
        return asked if self._most_minutes is None else min(asked, self._most_minutes)

    def _disk(self, row: Row) -> int:
        """Return MB of the node's own disk: copies of the checkpoints, where the node keeps any."""
        kept = row.staged_bytes if self.node.cache else 0
        return max(LEAST_DISK_MB, math.ceil(kept / 1e6))

    @property
    def _node_bytes(self) -> float:
        return self.node.node_memory_gb * 1e9

    @property
    def _most_minutes(self) -> int | None:
        hours = self.node.longest_hours
        return None if hours is None else max(1, int(60 * hours))

    def _problems(self, at: SweepSize, row: Row) -> Iterator[str]:
        """Yield why no node can run a job."""
        kind, n_gpus = self.node.kind, self.node.gpus_per_node or 0
        trains, launch = row.rule in FINISHED, self.study.size(row.size).launch
        yield from training_problems(at.case, row)
        if kind.is_gpu and row.devices_per_job > n_gpus:
            way = (
                f"lower num_processes in its launch file {launch}"
                if trains
                else "take nodes with more or larger GPUs, dtype: bfloat16, or a lower "
                "evaluation.batch_tokens"
            )
            yield (
                f"it needs {row.devices_per_job} {kind.name} at once, and a node has {n_gpus} "
                f"(gpus_per_node): {way}"
            )
        if row.host_bytes > self._node_bytes:
            yield (
                f"it needs {row.host_bytes / 1e9:,.1f} GB of memory at the least, and a node has "
                f"{self.node.node_memory_gb:g} GB (node_memory_gb): take larger nodes"
                + (f", or give {FINISHED[row.rule]}" if trains else "")
            )
        minutes = row.least_seconds / 60
        if self._most_minutes is not None and minutes > self._most_minutes:
            yield (
                f"its first checkpoint, from which it would go on after a kill, comes after "
                f"{minutes:,.0f} minutes, and the partition grants {self.node.longest_hours:g} "
                "hours (longest_hours): lower training.expert.save_minutes"
            )
