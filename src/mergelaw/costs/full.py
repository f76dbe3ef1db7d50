"""What the full report's own merges cost: at several scales, and in several orders."""

from collections.abc import Iterator, Sequence

from mergelaw.costs.inputs import Case
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import SweepMethod, SweepSize
from mergelaw.variants import Series, order_series, scale_series, scale_subsets, scaled_methods


def full_rows(case: Case) -> list[Row]:
    """Return the jobs of `snakemake full` that merge, where the config asks for them.

    ASSUME the best scales are merged for every method with a scale; where the laws give none, a
    job does nothing.
    """
    study = case.study
    rows: list[Row] = []
    for size in study.size_names:
        at = SweepSize(case, size)
        if study.scales is not None:
            rows.append(_row(at, "scales", scale_series(study)))
            rows.append(_row(at, "best_scales", tuple(_at_best_scales(case))))
        if study.orders is not None:
            rows.append(_row(at, "orders", order_series(study)))
    return rows


def _at_best_scales(case: Case) -> Iterator[Series]:
    """Yield the same subsets once more for every method; the scale does not change the cost."""
    merges = [subset for found in scale_subsets(case.study).values() for subset in found]
    for entry in scaled_methods(case.study):
        yield Series(entry, tuple(merges), 0, case.study.accumulate)


def _row(at: SweepSize, rule: str, series: Sequence[Series]) -> Row:
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
    )
