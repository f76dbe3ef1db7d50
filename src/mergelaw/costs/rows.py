"""A study's rules as rows of costs: jobs, bytes, seconds, memory."""

from collections.abc import Iterator

from mergelaw.costs.inputs import Case
from mergelaw.costs.memory import FIXED_BYTES
from mergelaw.costs.model import (
    ACTIVATIONS,
    TRAINING_BYTES,
    compute_seconds,
    devices_needed,
    sparsify_seconds,
    training_flops,
)
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import START_SECONDS, SweepMethod, SweepSize
from mergelaw.design import chunks

LIGHT_SECONDS = {
    "design": 2.0, "items": 2.0, "tokenizer": 5.0, "pretraining": 8.0, "shards": 6.0,
    "losses": 3.0, "curves": 3.0, "fits": 6.0, "analysis": 3.0, "figure": 4.0, "page": 4.0,
}  # fmt: skip
"""ASSUME a job without a model takes this long (measured on the default study) and its text's."""

TEXT_TOKENS_PER_SECOND = 500_000
"""ASSUME text is read, and tokenised, at this rate by one process."""

TEXT_BYTES_PER_TOKEN = 4
"""ASSUME a token stands for four bytes of text."""

SHARD_BYTES_PER_TOKEN = 5
"""A prepared token: its number and whether it is scored."""

ROW_BYTES, ITEM_BYTES = 6, 8
"""A row of a losses table, and an item's sum and count in it, compressed (measured)."""


def study_rows(case: Case) -> list[Row]:
    """Return the rules that make the report, in the order in which they run."""
    return [*_text_rows(case), *_expert_rows(case), *_sweep_rows(case), *_analysis_rows(case)]


def cell_rows(case: Case) -> list[Row]:
    """Return what one merge of the whole pool costs as a checkpoint: made for a target only."""
    rows = []
    for size in case.study.size_names:
        at = SweepSize(case, size)
        read, written = (len(case.study.experts) + 1) * at.checkpoint_bytes, at.live_bytes
        seconds = START_SECONDS + (read + written) / case.machine.disk_bandwidth
        rows.append(_one("cell", size, seconds, read, written, FIXED_BYTES))
        loading = START_SECONDS + written / case.machine.disk_bandwidth
        rows.append(
            Row(
                "cell_losses",
                size,
                bytes_read=written + _shard_bytes(case),
                job_seconds=loading + at.score_seconds,
                longest_job_seconds=loading + at.score_seconds,
                devices_per_job=at.devices_per_job,
                host_bytes=at.host_other_bytes,
                device_bytes=at.device_bytes,
                flops=at.flops,
            )
        )
    return rows


def _text_rows(case: Case) -> Iterator[Row]:
    """Yield design, items, tokenizer, shards and, where bases are trained, their text."""
    study, heldout = case.study, case.study.data.shares.heldout
    tokens = case.text.n_tokens
    drawn = round(tokens / heldout)
    items = TEXT_BYTES_PER_TOKEN * drawn
    trained = tokens if study.tokenizer.path is None else 0
    trains = any(size.architecture for size in study.sizes)
    yield _light("design", 1)
    yield _light("items", len(study.domains), items, items, drawn)
    yield _light("tokenizer", 1, items if trained else 0, 0, trained)
    if trains:
        packed = _pretraining_tokens(case)
        yield _light("pretraining", 1, items, 4 * packed, packed)
    yield _light("shards", 1, items, _shard_bytes(case), tokens)


def _expert_rows(case: Case) -> Iterator[Row]:
    """Yield the training of bases and experts, size by size; given checkpoints cost nothing."""
    study = case.study
    for size in study.sizes:
        base, expert = study.training.base, study.training.expert
        if size.architecture:
            yield _training(
                case, "base", size.name, 1, base.steps, base.batch_rows * size.architecture.context
            )
        n_trained = len(set(study.expert_names) - size.experts.keys())
        if n_trained:
            tokens = expert.batch_rows * expert.max_length
            yield _training(case, "expert", size.name, n_trained, expert.steps, tokens)


def _training(
    case: Case, rule: str, size: str, n_jobs: int, steps: int, tokens_per_step: int
) -> Row:
    """Return jobs of float32 training, whose activations are all kept."""
    at, device, shape = SweepSize(case, size), case.machine.device, case.sizes[size].shape
    flops = training_flops(shape.n_params, steps * tokens_per_step)
    launching = 3 * steps * shape.layers * device.layer_seconds
    computing = compute_seconds(flops, device.peak_flops["float32"], case.machine.utilisation)
    read, written = (0 if rule == "base" else at.checkpoint_bytes), 4 * shape.n_params
    kept = 4 * ACTIVATIONS * shape.layers * tokens_per_step * shape.width
    memory = TRAINING_BYTES * shape.n_params + kept
    devices = devices_needed(memory, 0, device) or 1
    seconds = START_SECONDS + (read + written) / case.machine.disk_bandwidth
    seconds += computing / devices + launching
    return Row(
        rule,
        size,
        n_jobs=n_jobs,
        bytes_read=n_jobs * read,
        bytes_written=n_jobs * written,
        job_seconds=n_jobs * seconds,
        longest_job_seconds=seconds,
        devices_per_job=devices,
        host_bytes=FIXED_BYTES + (written if device.is_gpu else memory),
        device_bytes=-(-memory // devices) if device.is_gpu else 0,
        flops=n_jobs * flops,
    )


def _sweep_rows(case: Case) -> Iterator[Row]:
    """Yield the chunks of each size and method, as the config has them."""
    for size in case.study.size_names:
        at = SweepSize(case, size)
        for method in case.study.methods:
            yield _chunk_row(SweepMethod(at, method))
    yield _light("losses", 1)


def _chunk_row(sweep: SweepMethod) -> Row:
    at, case = sweep.at, sweep.at.case
    found = chunks(case.study, at.size)
    seconds = [sweep.job_seconds(chunk.subsets) for chunk in found]
    ks = [subset.k for chunk in found for subset in chunk.subsets]
    scored = sweep.n_mask_seeds * len(ks)
    return Row(
        "chunk",
        at.size,
        sweep.method.label,
        n_jobs=len(found),
        bytes_read=sum(sweep.read_bytes(chunk.subsets) for chunk in found)
        + len(found) * _shard_bytes(case),
        bytes_written=scored * _losses_bytes(case),
        job_seconds=sum(seconds),
        longest_job_seconds=max(seconds),
        devices_per_job=at.devices_per_job,
        host_bytes=max(at.host_bytes(len(chunk.experts)) for chunk in found),
        device_bytes=at.device_bytes,
        n_merges=sweep.n_mask_seeds * (len(ks) - 1),
        seconds_per_merge=sum(sweep.seconds(k) for k in ks) / len(ks),
        flops=scored * at.flops,
        holding=at.holding,
        measured=sweep.measured is not None,
    )


def _analysis_rows(case: Case) -> Iterator[Row]:
    """Yield statistics of task vectors, laws and report."""
    pool, machine = len(case.study.experts), case.machine
    for size in case.study.size_names:
        at, shape = SweepSize(case, size), case.sizes[size].shape
        read = (pool + 1) * at.checkpoint_bytes
        seconds = START_SECONDS + read / machine.disk_bandwidth
        seconds += len(case.study.methods) * sparsify_seconds(
            at.n_params, pool, machine.merge_bandwidth
        )
        largest = 4 * (pool + 2) * shape.width * shape.vocabulary
        yield _one("task_vectors", size, seconds, read, 0, FIXED_BYTES + largest)
    for rule in ("curves", "fits"):
        yield _light(rule, 1)
    yield _light("analysis", case.n_analyses)
    yield _light("figure", case.n_figures)
    yield _light("page", 1)


def _one(rule: str, size: str, seconds: float, read: int, written: int, memory: int) -> Row:
    """Return one job without a device."""
    return Row(
        rule,
        size,
        bytes_read=read,
        bytes_written=written,
        job_seconds=seconds,
        longest_job_seconds=seconds,
        host_bytes=memory,
    )


def _light(rule: str, n_jobs: int, read: int = 0, written: int = 0, n_tokens: int = 0) -> Row:
    """Return jobs without a model, which read and write text, shared evenly, or small tables."""
    each = LIGHT_SECONDS[rule] + n_tokens / TEXT_TOKENS_PER_SECOND / max(1, n_jobs)
    return Row(
        rule,
        n_jobs=n_jobs,
        bytes_read=read,
        bytes_written=written,
        job_seconds=n_jobs * each,
        longest_job_seconds=each,
    )


def _pretraining_tokens(case: Case) -> int:
    training = case.study.training.base
    contexts = [size.architecture.context for size in case.study.sizes if size.architecture]
    return training.steps * training.batch_rows * max(contexts)


def _losses_bytes(case: Case) -> int:
    """Return the bytes of one merge's losses."""
    return ROW_BYTES * len(case.study.domains) + ITEM_BYTES * case.text.n_items


def _shard_bytes(case: Case) -> int:
    return SHARD_BYTES_PER_TOKEN * case.text.n_tokens
