"""What an estimate says of itself: jobs that stand out, and everything taken for granted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergelaw.costs.inputs import Case, SizeModel, TextLength
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import SweepSize
from mergelaw.costs.theory import COMPARED, GRADIENT, HELD_VECTORS, PRODUCT, STEPS, TWICE
from mergelaw.costs.training_remarks import training_assumptions, training_notes


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


def notes_of(case: Case, plans: Sequence[ChunkPlan], rows: Sequence[Row]) -> Iterator[str]:
    """Yield what stands out: jobs that are too long or too large, and the case's own notes."""
    yield from _long_merges(case, plans)
    yield from _small_hosts(case)
    yield from training_notes(case, rows)
    if case.text.changed:
        yield (
            "the prepared text (data/shards of the results) is of another config, and not counted: "
            "the text is estimated from this one"
        )
    yield from case.notes


def _long_merges(case: Case, plans: Sequence[ChunkPlan]) -> Iterator[str]:
    """Yield sizes of which one merge takes longer than a job should."""
    limit = case.machine.job_seconds
    for plan in plans:
        if plan.longest_job_seconds > limit:
            yield (
                f"{plan.size}: one merge by {plan.slowest} takes "
                f"{plan.longest_job_seconds / 60:,.1f} min with its job's start, longer than the "
                f"{limit / 60:g} min asked for; chunk_size 1 is the least: give a longer "
                "--job-minutes, or lower evaluation.tokens_per_domain"
            )


def _small_hosts(case: Case) -> Iterator[str]:
    """Yield sizes whose jobs need more of the host's memory than they have."""
    for size in case.study.size_names:
        at = SweepSize(case, size)
        least, has = at.host_other_bytes, case.machine.host_bytes * at.devices_per_job
        if least > has:
            yield (
                f"{size}: a job needs {least / 1e9:,.1f} GB of host memory with nothing held, and "
                f"has {has / 1e9:,.1f} GB (--host-memory)"
            )


def assumptions_of(case: Case, rows: Sequence[Row]) -> Iterator[str]:
    """Yield everything that is taken for granted, in words."""
    machine, device = case.machine, case.machine.device
    yield (
        f"{device.name}: {device.source}; {machine.utilisation:.0%} of the peak is reached "
        "(--utilisation)"
    )
    yield _text_words(case.text)
    yield from (f"{name}: {_model_words(model)}" for name, model in case.sizes.items())
    yield (
        f"merges are made in the host's memory at {machine.merge_bandwidth / 1e9:g} GB/s "
        f"(--bandwidth), checkpoints read at {machine.disk_bandwidth / 1e9:g} GB/s "
        f"(--disk-bandwidth); {machine.host_bytes / 1e9:,.0f} GB of host memory for each device of "
        "a job (--host-memory)"
    )
    if device.is_gpu:
        yield from _gpu_words()
    yield from training_assumptions(case, rows)
    if case.study.theory:
        yield (
            f"derivatives: a gradient costs {GRADIENT:g} forward passes, a Hessian-vector product "
            f"{PRODUCT:g}; for the way back the activations of a gradient are made anew, layer by "
            f"layer, and those of a Hessian-vector product are kept: {TWICE:g} times "
            f"{HELD_VECTORS} vectors of the width, a token and layer; a search for weights tries "
            f"{STEPS} steps, and the ways that the first is compared with cost {COMPARED:g} times "
            "as much"
        )
    for (size, method), found in case.measured.items():
        jobs = f"{found.n_jobs} job{'s'[: found.n_jobs != 1]}"
        yield f"{size}, {method}: seconds per merge measured in {jobs} of this study"


def _text_words(text: TextLength) -> str:
    if text.prepared:
        return f"text: {text.n_tokens:,} tokens, counted in the prepared shards"
    return (
        f"text: {text.n_tokens:,} tokens, the most that evaluation.tokens_per_domain takes, "
        "all scored, in items of evaluation.max_length; less text costs less"
    )


def _model_words(model: SizeModel) -> str:
    shape = model.shape
    known = f"{shape.n_params:,} parameters from {model.origin}"
    if not shape.assumed:
        return known
    return (
        f"{known}; taken to have {shape.layers} layers of width {shape.width} and a vocabulary of "
        f"{shape.vocabulary:,}"
    )


def _gpu_words() -> Iterator[str]:
    yield (
        "a model is split over GPUs by layers where weights, logits and activations take more than "
        "0.9 of one's memory: then one of them computes at a time; a job counts the same, on what "
        "it finds free"
    )
    yield "the next merge is made while one is scored: a merge takes the longer of the two"
