"""What the full report's own merges cost: at several scales, and in several orders."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from mergelaw.config import Study
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import SweepMethod, SweepSize
from mergelaw.variants import Series, order_series, scale_series, scale_subsets, scaled_methods

SERIES: Mapping[str, Callable[[Study], Sequence[Series]]] = {
    "scales": scale_series,
    "best_scales": lambda study: list(_at_best_scales(study)),
    "orders": order_series,
}
"""The merges of each of these rules."""


def _at_best_scales(study: Study) -> Iterator[Series]:
    """Yield the same subsets once more for every method; the scale does not change the cost."""
    merges = [subset for found in scale_subsets(study).values() for subset in found]
    for entry in scaled_methods(study):
        yield Series(entry, tuple(merges), 0, study.accumulate)


def full_row(at: SweepSize, rule: str) -> Row:
    """Return the one job of a rule of `SERIES` at a size.

    Raises
    ------
    ConfigError
        If the config does not ask for these merges.
    """
    series = SERIES[rule](at.case.study)
    sweeps = [(SweepMethod(at, part.method), part.merges) for part in series]
    ks = [(sweep, subset.k) for sweep, merges in sweeps for subset in merges]
    experts = {name for part in series for subset in part.merges for name in subset.experts}
    setups = [sweep.setup_seconds(len(experts)) for sweep, _ in sweeps]
    reads = [sweep.read_bytes(merges) for sweep, merges in sweeps]
    seconds = max(setups, default=0.0) + sum(sweep.seconds(k) for sweep, k in ks)
    streamed = at.holding == "streamed"
    return Row(
        rule,
        at.size,
        bytes_read=sum(reads) if streamed else max(reads, default=0),
        job_seconds=seconds,
        longest_job_seconds=seconds,
        devices_per_job=at.devices_per_job,
        host_bytes=at.host_bytes(len(experts)),
        device_bytes=at.device_bytes,
        n_merges=sum(k > 0 for _, k in ks),
        flops=len(ks) * at.flops,
        holding=at.holding,
        staged_bytes=(1 + len(experts)) * at.checkpoint_bytes,
    )
