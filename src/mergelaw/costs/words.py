"""An estimate in words: a table of rules, chunk sizes as config lines, assumptions."""

from collections.abc import Iterator, Sequence

from mergelaw.costs.estimate import Estimate
from mergelaw.costs.remarks import ChunkPlan
from mergelaw.costs.row import Row

HEADINGS = (
    "rule", "size", "method", "jobs", "merges", "s/merge", "longest job", "device-hours", "devices",
    "read", "written", "host memory", "device memory", "held",
)  # fmt: skip
N_LEFT = 3
"""Columns of text, at the left."""


def table_text(estimate: Estimate) -> str:
    """Return the estimate as people read it."""
    return "\n".join(_lines(estimate)) + "\n"


def _lines(estimate: Estimate) -> Iterator[str]:
    case, total = estimate.case, estimate.total
    yield (
        f"{case.study.name}: {total['n_merges']:,.0f} merges, {len(case.study.sizes)} sizes, "
        f"{len(case.study.methods)} methods, {len(case.study.domains)} domains, on "
        f"{estimate.n_devices} {case.machine.device.name}; estimated, but for s/merge with a *, "
        "which was measured"
    )
    yield ""
    yield from columns([HEADINGS, *(_cells(row) for row in estimate.rows), _total_cells(estimate)])
    yield ""
    yield (
        f"wall time: {duration(estimate.wall_seconds)} with {estimate.n_devices} "
        f"{case.machine.device.name}, rule after rule, "
        f"{duration(estimate.advised_wall_seconds)} with the chunk sizes below; "
        f"{total['flops']:.3g} FLOPs in models; {size_of(total['bytes_written'])} of results on "
        "disk"
    )
    yield "for a target only, in no total: the whole pool merged by one method, as a checkpoint"
    yield from columns([HEADINGS, *(_cells(row) for row in estimate.cells)])
    if estimate.full:
        yield ""
        yield (
            "for `snakemake full` only, in no total: the multitask baseline, scores along "
            "trainings, merges at several scales and in several orders, derivatives and best "
            "weights"
        )
        yield from columns([HEADINGS, *(_cells(row) for row in estimate.full)])
    yield ""
    yield from _chunk_lines(estimate)
    yield ""
    yield "taken for granted:"
    yield from (f"- {line}" for line in estimate.assumptions)
    yield from (f"note: {line}" for line in estimate.notes)


def _chunk_lines(estimate: Estimate) -> Iterator[str]:
    minutes = estimate.case.machine.job_seconds / 60
    yield f"for jobs of at most {minutes:g} minutes, put into the config:"
    yield "sizes:"
    for plan in estimate.plans:
        yield f"  - name: {plan.size}"
        yield f"    chunk_size: {plan.chunk_size}  # {_plan_words(plan)}"
    yield (
        "(a changed chunk size makes the chunks of its size anew; the slowest method of a size "
        "decides)"
    )


def _plan_words(plan: ChunkPlan) -> str:
    then = f"{plan.n_subsets} subsets, {plan.n_jobs} job{'s'[: plan.n_jobs != 1]} a method"
    longest = f"the longest {duration(plan.longest_job_seconds)} ({plan.slowest})"
    if plan.chunk_size == plan.chunk_size_now:
        return f"{then}, {longest}; as it is now"
    now = duration(plan.longest_job_seconds_now)
    return f"{then}, {longest}; now {plan.chunk_size_now}, the longest {now}"


def _cells(row: Row) -> tuple[str, ...]:
    per_merge = "" if row.seconds_per_merge is None else number(row.seconds_per_merge)
    return (
        row.rule,
        row.size,
        row.method,
        f"{row.n_jobs:,}",
        f"{row.n_merges:,}" if row.n_merges else "",
        per_merge + "*" * row.measured,
        duration(row.longest_job_seconds),
        number(row.device_seconds / 3600) if row.devices_per_job else "",
        str(row.devices_per_job or ""),
        size_of(row.bytes_read),
        size_of(row.bytes_written),
        size_of(row.host_bytes),
        size_of(row.device_bytes),
        row.holding,
    )


def _total_cells(estimate: Estimate) -> tuple[str, ...]:
    total = estimate.total
    return (
        "total",
        "",
        "",
        f"{total['n_jobs']:,.0f}",
        f"{total['n_merges']:,.0f}",
        "",
        "",
        number(total["device_seconds"] / 3600),
        "",
        *(
            size_of(total[key])
            for key in ("bytes_read", "bytes_written", "host_bytes", "device_bytes")
        ),
        "",
    )


def columns(rows: Sequence[Sequence[str]], n_left: int = N_LEFT) -> Iterator[str]:
    """Yield the rows in columns as wide as their widest cell; the first `n_left` are text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if index < n_left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def number(value: float) -> str:
    """Return a number to three digits, or whole from 100 on."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: `12.3 s`, `4.5 min`, `6.7 h`, `89 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def size_of(n_bytes: float) -> str:
    """Return a number of bytes in the unit that suits it; nothing for 0."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{number(n_bytes / size)} {unit}"
    return f"{n_bytes:.0f} B" if n_bytes else ""


def energy(joules: float) -> str:
    """Return an energy in the unit that suits it: `420 J`, `3.1 kWh`."""
    return f"{number(joules / 3.6e6)} kWh" if joules >= 3.6e5 else f"{number(joules)} J"
