"""Jobs that read models as rows of costs: any one of them, as the estimate counts it."""

from collections.abc import Callable, Mapping, Sequence

from mergelaw.cells import cell
from mergelaw.costs.full import SERIES, full_row
from mergelaw.costs.inputs import Case
from mergelaw.costs.memory import FIXED_BYTES
from mergelaw.costs.model import sparsify_seconds
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import START_SECONDS, SweepMethod, SweepSize
from mergelaw.costs.theory import derivatives_row, weights_row
from mergelaw.costs.training_rows import (
    multitask_losses_row,
    snapshot_losses_row,
    training_row,
)
from mergelaw.design import Chunk, chunks

SHARD_BYTES_PER_TOKEN = 5
"""A prepared token: its number and whether it is scored."""

ROW_BYTES, ITEM_BYTES = 6, 8
"""A row of a losses table, and an item's sum and count in it, compressed (measured)."""


def job_row(at: SweepSize, rule: str, targets: Mapping[str, str]) -> Row:
    """Return what one job costs.

    Parameters
    ----------
    at : SweepSize
        Its size.
    rule : str
        A rule that reads models.
    targets : mapping of str to str
        The rule's wildcards: `method` and `chunk` of a chunk, `method` and `subset` of a cell,
        `expert` of an expert.

    Raises
    ------
    ConfigError
        If the study has no such cell, or does not ask for such merges.
    """
    study = at.case.study
    match rule:
        case "base" | "multitask":
            return training_row(at, rule)
        case "expert":
            return training_row(at, rule, [targets["expert"]])
        case "chunk":
            found = chunks(study, at.size)[int(targets["chunk"])]
            return chunk_row(SweepMethod(at, study.method(targets["method"])), [found])
        case "cell":
            merged = cell(study, at.size, targets["method"], targets["subset"])
            return cell_row(at, merged.subset.k)
        case _ if rule in SERIES:
            return full_row(at, rule)
        case _ if rule in OF_SIZE:
            return OF_SIZE[rule](at)
    raise ValueError(f"rule {rule!r} reads no models")


def chunk_row(sweep: SweepMethod, found: Sequence[Chunk]) -> Row:
    """Return the jobs of some chunks."""
    at, case = sweep.at, sweep.at.case
    seconds = [sweep.job_seconds(chunk.subsets) for chunk in found]
    ks = [subset.k for chunk in found for subset in chunk.subsets]
    scored = sweep.n_mask_seeds * len(ks)
    n_experts = max(len(chunk.experts) for chunk in found)
    return Row(
        "chunk",
        at.size,
        sweep.method.label,
        n_jobs=len(found),
        bytes_read=sum(sweep.read_bytes(chunk.subsets) for chunk in found)
        + len(found) * shard_bytes(case),
        bytes_written=scored * _losses_bytes(case),
        job_seconds=sum(seconds),
        longest_job_seconds=max(seconds),
        devices_per_job=at.devices_per_job,
        host_bytes=at.host_bytes(n_experts),
        device_bytes=at.device_bytes,
        n_merges=sweep.n_mask_seeds * sum(k > 0 for k in ks),
        seconds_per_merge=sum(sweep.seconds(k) for k in ks) / len(ks),
        flops=scored * at.flops,
        holding=at.holding,
        staged_bytes=(1 + n_experts) * at.checkpoint_bytes,
        measured=sweep.measured is not None,
    )


def cell_row(at: SweepSize, k: int) -> Row:
    """Return the job that writes one merge of k experts as a checkpoint, in little memory."""
    read, written = (k + 1) * at.checkpoint_bytes, at.live_bytes
    seconds = START_SECONDS + (read + written) / at.case.machine.disk_bandwidth
    return _without_device("cell", at.size, seconds, read, written, FIXED_BYTES)


def cell_losses_row(at: SweepSize) -> Row:
    """Return the job that scores such a checkpoint."""
    loading = START_SECONDS + at.live_bytes / at.case.machine.disk_bandwidth
    return Row(
        "cell_losses",
        at.size,
        bytes_read=at.live_bytes + shard_bytes(at.case),
        job_seconds=loading + at.score_seconds,
        longest_job_seconds=loading + at.score_seconds,
        devices_per_job=at.devices_per_job,
        host_bytes=at.host_other_bytes,
        device_bytes=at.device_bytes,
        flops=at.flops,
    )


def task_vectors_row(at: SweepSize) -> Row:
    """Return the job that tells statistics of the whole pool's task vectors."""
    study, machine, shape = at.case.study, at.case.machine, at.case.sizes[at.size].shape
    pool = len(study.experts)
    read = (pool + 1) * at.checkpoint_bytes
    seconds = START_SECONDS + read / machine.disk_bandwidth
    seconds += len(study.methods) * sparsify_seconds(at.n_params, pool, machine.merge_bandwidth)
    largest = 4 * (pool + 2) * shape.width * shape.vocabulary
    return _without_device("task_vectors", at.size, seconds, read, 0, FIXED_BYTES + largest)


def shard_bytes(case: Case) -> int:
    """Return the bytes of the prepared text."""
    return SHARD_BYTES_PER_TOKEN * case.text.n_tokens


OF_SIZE: Mapping[str, Callable[[SweepSize], Row]] = {
    "multitask_losses": multitask_losses_row,
    "snapshot_losses": snapshot_losses_row,
    "cell_losses": cell_losses_row,
    "task_vectors": task_vectors_row,
    "derivatives": derivatives_row,
    "weights": weights_row,
}
"""Rules that have one job at each size."""


def _losses_bytes(case: Case) -> int:
    """Return the bytes of one merge's losses."""
    return ROW_BYTES * len(case.study.domains) + ITEM_BYTES * case.text.n_items


def _without_device(
    rule: str, size: str, seconds: float, read: int, written: int, memory: int
) -> Row:
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
