"""What an estimate starts from: the machine, the text, the models, and jobs measured already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mergelaw.config import Study
from mergelaw.costs.devices import Device
from mergelaw.costs.prepared import shard_rows
from mergelaw.costs.shapes import ModelShape
from mergelaw.costs.training_inputs import TrainingInputs
from mergelaw.errors import ConfigError, listing

HOST_BYTES_PER_GPU = 256_000_000_000
"""ASSUME a host has this memory for each GPU, as a DGX H100 does: 2 TB for eight."""

GPU_HOST_BANDWIDTH = 50e9
"""ASSUME the cores of one GPU's job move this many bytes of the host's memory a second."""

DISK_BANDWIDTH_GB = 2.0
"""ASSUME checkpoints are read and written at this rate, in GB/s."""

UTILISATION = 0.4
"""ASSUME scoring in transformers reaches this share of a device's peak: a cautious guess."""

JOB_MINUTES = 40.0
"""Length of the sweep's jobs that chunk sizes are advised for, where none is asked for."""


@dataclass(frozen=True)
class Machine:
    """What the study is planned for.

    Attributes
    ----------
    device : Device
        What models are scored and trained on.
    utilisation : float
        Share of the device's peak that is reached.
    job_seconds : float
        How long a job of the sweep should last at most.
    host_bytes : float
        Memory of the host for each device of a job.
    merge_bandwidth : float
        Bytes per second that a merge moves in the host's memory, where all merges are made.
    disk_bandwidth : float
        Bytes per second at which checkpoints are read and written.
    n_devices : int or None
        Devices at hand; None: as many as one job needs.
    any_device : bool
        Whether jobs measured on other devices count.
    longest_seconds : float or None
        Longest time that a job is granted; None: no limit.
    """

    device: Device
    utilisation: float
    job_seconds: float
    host_bytes: float
    merge_bandwidth: float
    disk_bandwidth: float
    n_devices: int | None = None
    any_device: bool = False
    longest_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense; all at once."""
        problems = []
        if not 0 < self.utilisation <= 1:
            problems.append(f"--utilisation {self.utilisation:g}: must be above 0 and at most 1")
        positive = {
            "--job-minutes": self.job_seconds / 60,
            "--host-memory": self.host_bytes / 1e9,
            "--bandwidth": self.merge_bandwidth / 1e9,
            "--disk-bandwidth": self.disk_bandwidth / 1e9,
            "--gpus": 1 if self.n_devices is None else self.n_devices,
        }
        for option, value in positive.items():
            if not 0 < value < float("inf"):
                problems.append(f"{option} {value:g}: must be a number above 0")
        if problems:
            raise ConfigError(listing("estimate", problems))


@dataclass(frozen=True)
class TextLength:
    """Tokens that one merge is scored on, in all domains.

    Attributes
    ----------
    n_items : int
        Items; where they are not counted, the least that can hold the tokens.
    n_tokens, n_scored : int
        Tokens of the forward passes, and those whose loss counts.
    squared_lengths : float
        Sum over items of their squared length.
    prepared : bool
        Whether they were counted in prepared text; else all are the config's limits.
    changed : bool
        Whether there is prepared text, but of another config.
    """

    n_items: int
    n_tokens: int
    n_scored: int
    squared_lengths: float
    prepared: bool
    changed: bool = False


def text_length(study: Study, contents: Path) -> TextLength:
    """Return the length of a study's text: counted where it is prepared, else its upper limit.

    Text that was prepared under another config does not count.

    Parameters
    ----------
    study : Study
        The study.
    contents : Path
        Table of the prepared shards; items of a domain count as equally long.
    """
    rows = shard_rows(study, contents)
    if rows is None:
        return _text_limit(study, changed=contents.exists())
    squared = sum(row["n_tokens"] ** 2 / row["n_items"] for row in rows)
    items, tokens, scored = (
        sum(row[key] for row in rows) for key in ("n_items", "n_tokens", "n_scored")
    )
    return TextLength(items, tokens, scored, squared, prepared=True)


def _text_limit(study: Study, *, changed: bool) -> TextLength:
    """Return the most that the config takes, in items of the greatest length."""
    tokens = study.evaluation.tokens_per_domain * len(study.domains)
    longest = min(study.evaluation.max_length, study.evaluation.tokens_per_domain)
    squared = float(tokens * longest)
    return TextLength(
        -(-tokens // longest), tokens, tokens, squared, prepared=False, changed=changed
    )


@dataclass(frozen=True)
class SizeModel:
    """Model of one size, and how its checkpoints are stored.

    Attributes
    ----------
    shape : ModelShape
        The model.
    stored_bytes_per_param : float
        Bytes of an entry in the checkpoints.
    origin : str
        Where this is known from, in words.
    """

    shape: ModelShape
    stored_bytes_per_param: float
    origin: str


@dataclass(frozen=True)
class Measured:
    """What finished jobs of one size and method took.

    Attributes
    ----------
    n_jobs, n_merges : int
        Jobs, and the merges that they scored.
    merge_seconds, score_seconds : float
        Time of all these merges.
    """

    n_jobs: int
    n_merges: int
    merge_seconds: float
    score_seconds: float

    def seconds_per_merge(self, overlaps: bool) -> float:
        """Return the seconds of one merge with its scoring; the longer of them if they overlap."""
        parts = (self.merge_seconds / self.n_merges, self.score_seconds / self.n_merges)
        return max(parts) if overlaps else sum(parts)


@dataclass(frozen=True)
class Case:
    """A study with everything that its estimate needs.

    Attributes
    ----------
    study, machine, text
        What is estimated, for what, over which text.
    sizes : mapping of str to SizeModel
        By name of the size.
    measured : mapping of (str, str) to Measured
        By size and method, where jobs have finished.
    n_figures, n_analyses : int
        Figures of the report, and analyses.
    notes : tuple of str
        What is to be told besides.
    training : TrainingInputs
        What is known of the trainings.
    """

    study: Study
    machine: Machine
    text: TextLength
    sizes: Mapping[str, SizeModel]
    measured: Mapping[tuple[str, str], Measured] = field(default_factory=dict)
    n_figures: int = 0
    n_analyses: int = 0
    notes: tuple[str, ...] = ()
    training: TrainingInputs = field(default_factory=TrainingInputs)
