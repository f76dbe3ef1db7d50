"""What an estimate says of trainings: which cannot run, which are long, what is assumed."""

import math
from collections.abc import Iterator, Sequence

from mergelaw.config.launch import LaunchFile
from mergelaw.costs.inputs import Case
from mergelaw.costs.model import CONTEXT_BYTES, room_for_weights
from mergelaw.costs.row import Row
from mergelaw.costs.training_inputs import items_of, trained_domains

FINISHED = {
    "base": "a finished checkpoint under sizes[].base",
    "expert": "a finished checkpoint under sizes[].experts",
    "multitask": "no `multitask`",
}
"""Rules that train models, and what takes the place of such a training."""

EXAMPLE, ON_PROCESSORS = "workflow/launch/zero3.yaml", "workflow/launch/zero3_cpu.yaml"


def training_problems(case: Case, row: Row) -> Iterator[str]:
    """Yield why a training cannot run on a device of the machine; nothing of other jobs.

    Parameters
    ----------
    case : Case
        The study and the machine.
    row : Row
        Any job.
    """
    if row.rule not in FINISHED:
        return
    device, launch = case.machine.device, _launch(case, row)
    if not device.is_gpu:
        if launch is not None and not launch.on_processors:
            yield (
                f"its launch file {case.study.size(row.size).launch} is for "
                f"{launch.num_processes} GPUs, and {device.name} has none: give the size `launch: "
                f"{ON_PROCESSORS}`, or none"
            )
        return
    has = float(device.memory_bytes or 0)
    if row.device_bytes > room_for_weights(has - CONTEXT_BYTES, 0):
        yield (
            f"it needs {row.device_bytes / 1e9:,.1f} GB of each {device.name}, which has "
            f"{has / 1e9:g}; what helps: {'; '.join(_ways_out(case, row, launch))}"
        )


def _launch(case: Case, row: Row) -> LaunchFile | None:
    """Return the launch file of a training; bases are trained without."""
    path = case.study.size(row.size).launch if row.rule != "base" else None
    return None if path is None else case.training.launches[path]


def _ways_out(case: Case, row: Row, launch: LaunchFile | None) -> Iterator[str]:
    """Yield what makes a training's process smaller, the most effective first."""
    settings = case.study.expert_training(row.size)
    if row.rule == "base":
        yield "a lower training.base.batch_rows"
    else:
        if launch is None:
            yield f"`launch: {EXAMPLE}` of the size, which shares it out over a node's GPUs"
        elif not launch.offload_optimizer:
            yield f"offload_optimizer_device: cpu in {case.study.size(row.size).launch}"
        if not settings.gradient_checkpointing:
            yield "training.expert.gradient_checkpointing: true"
        if settings.micro_batch_rows != 1:
            yield "a lower training.expert.micro_batch_rows"
        yield "a lower max_length"
    yield FINISHED[row.rule]


def training_notes(case: Case, rows: Sequence[Row]) -> Iterator[str]:
    """Yield trainings that cannot run on this machine, and those longer than a job may be."""
    for row in (row for row in rows if row.rule in FINISHED):
        where = f"{row.rule} at {row.size}"
        for problem in (*training_problems(case, row), *_host_problems(case, row)):
            yield f"{where} cannot be trained here, though the totals count it: {problem}"
        most = case.machine.longest_seconds
        if most is not None and row.longest_job_seconds > most:
            n_jobs = math.ceil(row.longest_job_seconds / most)
            yield (
                f"{where} takes {row.longest_job_seconds / 3600:,.1f} hours, and a job is granted "
                f"{most / 3600:g} (longest_hours): it goes on from its last checkpoint in {n_jobs} "
                f"jobs; give the profile `retries: {n_jobs - 1}` or more"
            )


def _host_problems(case: Case, row: Row) -> Iterator[str]:
    has = case.machine.host_bytes * max(1, row.devices_per_job)
    if row.host_bytes > has:
        yield (
            f"it needs {row.host_bytes / 1e9:,.1f} GB of host memory, and has {has / 1e9:,.1f} "
            f"(--host-memory); what helps: a larger host; {FINISHED[row.rule]}"
        )


def training_assumptions(case: Case, rows: Sequence[Row]) -> Iterator[str]:
    """Yield what is taken for granted of trainings, in words."""
    if not any(row.rule in FINISHED for row in rows):
        return
    yield (
        "training: 6 N D operations (8 with gradient checkpointing; 4 and 6 where adapters alone "
        "are trained) and those of attention, at the peak of its precision; what processes tell "
        "each other is within the utilisation"
    )
    if trained_domains(case.study):
        yield from _length_words(case)
        yield from _epochs_words(case)


def _length_words(case: Case) -> Iterator[str]:
    """Yield how long training items are."""
    known = [case.training.item_tokens.get(name) for name in trained_domains(case.study)]
    means = [mean for mean in known if mean is not None]
    if case.study.training.expert.pack and len(means) == len(known):
        yield (
            f"training items: as long as held-out ones, {min(means):,.0f} to {max(means):,.0f} "
            "tokens on average"
        )
    else:
        yield (
            "training items: every one training.expert.max_length long, the most; shorter ones "
            "cost less"
        )


def _epochs_words(case: Case) -> Iterator[str]:
    """Yield how many items trainings by epochs have, and how that is known."""
    study = case.study
    if all(study.expert_training(size).epochs is None for size in study.size_names):
        return
    words = {
        "counted": "counted in the prepared items",
        "stated": "the source's `items` times data.shares.train",
        "assumed": "20,000 items taken for granted where no source says how many, times "
        "data.shares.train; prepared items are counted",
    }
    found = {name: items_of(study, case.training, name) for name in trained_domains(study)}
    for origin, meaning in words.items():
        counts = [n for n, known in found.values() if known == origin]
        if counts:
            least, most = min(counts), max(counts)
            each = f"{most:,}" if least == most else f"{least:,} to {most:,}"
            yield f"items of an epoch: {each} in {len(counts)} of {len(found)} domains ({meaning})"
