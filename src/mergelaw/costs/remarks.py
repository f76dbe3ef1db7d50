"""What an estimate says of itself: jobs that stand out, and everything taken for granted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergelaw.costs.inputs import Case
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import SweepSize

TRAINING = ("base", "expert")
"""Rules that train models."""


@dataclass(frozen=True)
class ChunkPlan:
    """Subsets per job of one size: as the config has it, and for the stated length.

    Attributes
    ----------
    size : str
        Name of the size.
    n_subsets : int
        Subsets of the size, the base included.
    chunk_size_now, n_jobs_now, longest_job_seconds_now
        The largest chunk of the config, the jobs of one method, and the longest of any method.
    chunk_size, n_jobs, longest_job_seconds
        The same with the size that is advised.
    slowest : str
        The method with the longest job, which decides.
    """

    size: str
    n_subsets: int
    chunk_size_now: int
    n_jobs_now: int
    longest_job_seconds_now: float
    chunk_size: int
    n_jobs: int
    longest_job_seconds: float
    slowest: str


def notes_of(
    case: Case, plans: Sequence[ChunkPlan], rows: Sequence[Row], n_devices: int
) -> Iterator[str]:
    """Yield what stands out: jobs that are too long or too large, and the case's own notes."""
    machine, limit = case.machine, case.machine.job_seconds
    for plan in plans:
        if plan.longest_job_seconds > limit:
            yield (
                f"{plan.size}: one merge by {plan.slowest} takes "
                f"{plan.longest_job_seconds / 60:,.1f} min with its job's start, longer than the "
                f"{limit / 60:g} min asked for; chunk_size 1 is the least: give a longer "
                "--job-minutes, or lower evaluation.tokens_per_domain"
            )
    for size in case.study.size_names:
        at = SweepSize(case, size)
        least, has = at.host_other_bytes, machine.host_bytes * at.devices_per_job
        if least > has:
            yield (
                f"{size}: a job needs {least / 1e9:,.1f} GB of host memory with nothing held, and "
                f"has {has / 1e9:,.1f} GB (--host-memory)"
            )
    too_many = [
        f"{row.devices_per_job} ({row.rule} at {row.size})"
        for row in rows
        if row.rule in TRAINING and row.devices_per_job > n_devices
    ]
    if too_many:
        yield (
            f"training needs more devices at once than the {n_devices} at hand: "
            f"{', '.join(too_many)}; give finished checkpoints, or lower training's batch_rows or "
            "max_length"
        )
    yield from case.notes


def assumptions_of(case: Case, rows: Sequence[Row]) -> Iterator[str]:
    """Yield everything that is taken for granted, in words."""
    machine, text, device = case.machine, case.text, case.machine.device
    yield (
        f"{device.name}: {device.source}; {machine.utilisation:.0%} of the peak is reached "
        "(--utilisation)"
    )
    if text.prepared:
        yield f"text: {text.n_tokens:,} tokens, counted in the prepared shards"
    else:
        yield (
            f"text: {text.n_tokens:,} tokens, the most that evaluation.tokens_per_domain takes, "
            "all scored, in items of evaluation.max_length; less text costs less"
        )
    for name, model in case.sizes.items():
        guess = ""
        if model.shape.assumed:
            guess = (
                f"; taken to have {model.shape.layers} layers of width {model.shape.width} and a "
                f"vocabulary of {model.shape.vocabulary:,}"
            )
        yield f"{name}: {model.shape.n_params:,} parameters from {model.origin}{guess}"
    yield (
        f"merges are made in the host's memory at {machine.merge_bandwidth / 1e9:g} GB/s "
        f"(--bandwidth), checkpoints read at {machine.disk_bandwidth / 1e9:g} GB/s "
        f"(--disk-bandwidth); {machine.host_bytes / 1e9:,.0f} GB of host memory for each device of "
        "a job (--host-memory)"
    )
    if device.is_gpu:
        yield (
            "a model is split over GPUs by layers where one cannot hold it (weights, logits and "
            "activations above 0.9 of its memory): then one of them computes at a time"
        )
        yield "the next merge is made while one is scored: a merge takes the longer of the two"
    if any(row.rule in TRAINING for row in rows):
        yield (
            "training: 6 N D operations in float32, every item max_length long, all activations "
            "kept, spread evenly over the devices of a job"
        )
    for size, method in case.measured:
        found = case.measured[size, method]
        yield f"{size}, {method}: seconds per merge measured in {found.n_jobs} jobs of this study"
