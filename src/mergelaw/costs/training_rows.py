"""Jobs that train, and jobs that score what was trained, as rows of costs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mergelaw.config.models import ExpertTraining
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.inputs import Case
from mergelaw.costs.model import DTYPE_BYTES
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import START_SECONDS, SweepSize
from mergelaw.costs.training import PLAIN, TrainingJob
from mergelaw.costs.training_inputs import items_of, trained_at


def training_row(at: SweepSize, rule: str, experts: Sequence[str] = ()) -> Row:
    """Return the jobs of a rule that trains.

    Parameters
    ----------
    at : SweepSize
        Its size.
    rule : str
        `base`, `expert` or `multitask`.
    experts : sequence of str
        The experts that jobs of `expert` train, one each.
    """
    match rule:
        case "base":
            return _row(at, rule, base_job(at))
        case "multitask":
            return _row(at, rule, multitask_job(at), at.checkpoint_bytes)
        case _:
            jobs = [expert_job(at, expert) for expert in experts]
            kept = 1 + len(at.case.study.expert_training(at.size).snapshots)
            return _together([_row(at, rule, job, at.checkpoint_bytes, kept=kept) for job in jobs])


def base_job(at: SweepSize) -> TrainingJob:
    """Return the training of a base: packed text in float32, by one process."""
    training, architecture = at.case.study.training.base, at.case.study.size(at.size).architecture
    if architecture is None:
        raise ValueError(f"size {at.size!r} has a given base")
    context = architecture.context
    settings = ExpertTraining(**training.model_dump(), max_length=context)
    tokens = training.batch_rows * context
    shape = at.case.sizes[at.size].shape
    return TrainingJob(shape, settings, PLAIN, training.steps, tokens, tokens * context)


def expert_job(at: SweepSize, expert: str) -> TrainingJob:
    """Return the training of an expert on its home domain."""
    case, settings = at.case, at.case.study.expert_training(at.size)
    domain = str(case.study.expert(expert).domain)
    path = case.study.size(at.size).launch
    launch = PLAIN if path is None else case.training.launches[path]
    length = item_length(case, settings, domain)
    return TrainingJob(
        case.sizes[at.size].shape,
        settings,
        launch,
        steps_of(case, settings, domain),
        settings.batch_rows * length,
        settings.batch_rows * length**2,
    )


def multitask_job(at: SweepSize) -> TrainingJob:
    """Return the training of the multitask baseline: the steps of all its experts."""
    jobs = [expert_job(at, expert) for expert in at.case.study.multitask_experts]
    n_steps = sum(job.n_steps for job in jobs)
    return replace(
        jobs[0],
        n_steps=n_steps,
        n_tokens=sum(job.n_steps * job.n_tokens for job in jobs) / n_steps,
        squared_lengths=sum(job.n_steps * job.squared_lengths for job in jobs) / n_steps,
    )


def steps_of(case: Case, settings: ExpertTraining, domain: str) -> int:
    """Return the steps of a training on a domain: `steps`, or those of `epochs` over its items."""
    if settings.epochs is None:
        return settings.steps
    n_items, _ = items_of(case.study, case.training, domain)
    return settings.n_steps(n_items)


def item_length(case: Case, settings: ExpertTraining, domain: str) -> float:
    """Return the mean tokens of an item in a step: `max_length` where less is not known.

    Without packing items are padded to the longest of their forward pass, and count as that.
    """
    known = case.training.item_tokens.get(domain)
    if known is None or not settings.pack:
        return settings.max_length
    return min(known, settings.max_length)


def multitask_losses_row(at: SweepSize) -> Row:
    """Return the job that scores the multitask baseline on every domain."""
    return _scoring_row(at, "multitask_losses", 1, 1.0)


def snapshot_losses_row(at: SweepSize) -> Row:
    """Return the job that scores the base and the experts along their training, on own domains."""
    study, n_experts = at.case.study, len(trained_at(at.case.study, at.size))
    each = 1 + len(study.expert_training(at.size).snapshots)
    n_scorings = n_experts * (1 + each)  # the base on each home domain
    return _scoring_row(
        at, "snapshot_losses", 1 + n_experts * each, n_scorings / len(study.domains)
    )


def _scoring_row(at: SweepSize, rule: str, n_models: int, n_texts: float) -> Row:
    """Return a job that loads models one by one and scores so many texts of the study with them."""
    settings = at.case.study.expert_training(at.size)
    read = n_models * at.n_params * DTYPE_BYTES[settings.precision]
    seconds = START_SECONDS + read / at.case.machine.disk_bandwidth + n_texts * at.score_seconds
    return Row(
        rule,
        at.size,
        bytes_read=read,
        job_seconds=seconds,
        longest_job_seconds=seconds,
        devices_per_job=at.devices_per_job,
        host_bytes=at.host_other_bytes,
        device_bytes=at.device_bytes,
        flops=n_texts * at.flops,
    )


def _row(at: SweepSize, rule: str, job: TrainingJob, read: int = 0, kept: int = 1) -> Row:
    """Return one training, of which so many checkpoints stay on disk."""
    machine, launch = at.case.machine, job.launch
    if launch.on_processors:
        machine = replace(machine, device=DEVICES["cpu"])
    on_gpus, written = machine.device.is_gpu, kept * job.model_bytes
    n_devices = launch.num_processes if on_gpus else int(not at.case.machine.device.is_gpu)
    work, saving = job.work_seconds(machine), job.saved_bytes / machine.disk_bandwidth
    interval = 60 * job.settings.save_minutes
    start = START_SECONDS + read / machine.disk_bandwidth
    seconds = start + work + work // interval * saving + written / machine.disk_bandwidth
    return Row(
        rule,
        at.size,
        bytes_read=read,
        bytes_written=written,
        job_seconds=seconds,
        longest_job_seconds=seconds,
        devices_per_job=n_devices,
        host_bytes=job.host_bytes(on_gpus=on_gpus),
        device_bytes=job.process_bytes if on_gpus else 0,
        flops=job.flops,
        n_processes=launch.num_processes,
        least_seconds=min(seconds, start + interval + saving),
    )


def _together(rows: Sequence[Row]) -> Row:
    """Return jobs of one rule and size as one row."""
    summed = ("n_jobs", "bytes_read", "bytes_written", "job_seconds", "flops")
    largest = ("longest_job_seconds", "host_bytes", "device_bytes", "least_seconds")
    return replace(
        rows[0],
        **{name: sum(getattr(row, name) for row in rows) for name in summed},
        **{name: max(getattr(row, name) for row in rows) for name in largest},
    )


def training_sizes(case: Case) -> Iterator[SweepSize]:
    """Yield the sizes at which experts are trained."""
    for size in case.study.size_names:
        if trained_at(case.study, size):
            yield SweepSize(case, size)
