"""Seconds of one merge, this study's beside those of the paper's Table 13."""

from typing import NamedTuple

from mergelaw.config import Study
from mergelaw.costs.report import CPU
from mergelaw.costs.sums import rows_of, seconds_per_merge
from mergelaw.laws import published
from mergelaw.report import words
from mergelaw.report.captions.figure import COSTS, TASK_VECTORS
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, present, rows, whole_model

LEAST_SECONDS = 0.01
"""Below it the calls that make a merge take longer than what they move."""


class MergeTime(NamedTuple):
    """Seconds of one merge.

    Attributes
    ----------
    method : str
        Its label; of the paper's, the method.
    size : str
        Name of the size.
    n_params : float
        Parameters of the model.
    seconds, with_preparation : float
        Of one merge, alone and with its share of what is done once for all merges of a job.
    on_disk : bool
        Whether it was written as a checkpoint.
    device : str
        Of the jobs that made it; empty where it is not known.
    """

    method: str
    size: str
    n_params: float
    seconds: float
    with_preparation: float
    on_disk: bool
    device: str


def merge_times(study: Study, tables: Tables) -> list[MergeTime]:
    """Return the mean seconds of this study's merges by size and method."""
    frame, n_params = tables[COSTS], n_by_vectors(tables)
    result = []
    for rule in ("chunk", "cell"):
        for size in present(n_params, rows_of(frame, rule), "size"):
            at_size = rows_of(frame, rule, size=size)
            for method in present(study.method_labels, at_size, "method"):
                part = rows(at_size, method=method)
                found = seconds_per_merge(part)
                if found:
                    device = words.joined(sorted(set(part["device"].fill_null(CPU).to_list())))
                    time = MergeTime(method, size, n_params[size], *found, rule == "cell", device)
                    result.append(time)
    return result


def n_by_vectors(tables: Tables) -> dict[str, int]:
    """Return the number of merged entries by size, from the statistics of task vectors."""
    frame = whole_model(tables[TASK_VECTORS]).select("size", "n").unique(maintain_order=True)
    return dict(frame.iter_rows())


def printed_times(study: Study) -> list[MergeTime]:
    """Return the paper's Table 13; its methods are called as this study calls the first of each."""
    labels = {entry.method: entry.label for entry in reversed(study.methods)}
    return [
        MergeTime(
            labels.get(row["method"], row["method"]),
            f"{row['n_params_billions']}B",
            float(row["n_params_billions"]) * 1e9,
            float(row["seconds"]),
            float(row["seconds"]),
            True,
            "",
        )
        for row in published.rows("13")
    ]


def merge_seconds(study: Study, tables: Tables) -> list[str]:
    """Say how merge times grow with N here and in the paper, and what can be compared."""
    measured = merge_times(study, tables)
    result = []
    for on_disk, where in ((False, "in memory"), (True, "as checkpoints")):
        times = [time for time in measured if time.on_disk == on_disk]
        if times:
            devices = words.joined(sorted({time.device for time in times}))
            result.append(f"This study {where}, by jobs on {devices}: {_growth(times)}.")
    if not result:
        result.append("No merge of this study has told what it took.")
    if any(time.seconds < LEAST_SECONDS for time in measured):
        result.append(
            f"How merges of less than {_time(LEAST_SECONDS)} grow with N is not identified: they "
            "last as long as their calls, and as what else the machine does."
        )
    return [
        *result,
        f"The paper, nine experts to a checkpoint: {_growth(printed_times(study))}. Its table does "
        "not say on what hardware.",
        _sums(),
        COMPARABLE,
    ]


COMPARABLE = (
    "Comparable: how the seconds grow with N, and methods with one another at one size. Not "
    "comparable: the seconds themselves. A merge in memory reads and writes no file and has 1 to "
    "all experts, the paper's reads ten models and writes one; machines and, mostly, sizes differ; "
    "and trimming or masking may be done once here for all merges of a job (in brackets in the "
    "table)."
)


def _growth(times: list[MergeTime]) -> str:
    """Say by how much merges of each method are slower at the largest N than at the smallest."""
    parts = []
    for method in dict.fromkeys(time.method for time in times):
        found = sorted((time.n_params, time) for time in times if time.method == method)
        (low, first), (high, last) = found[0], found[-1]
        text = f"{method} {_time(first.seconds)} at {words.count(low)}"
        if high > low and first.seconds >= LEAST_SECONDS:
            text += (
                f", {_time(last.seconds)} at {words.count(high)} "
                f"({_short(last.seconds / first.seconds)} times as long for "
                f"{_short(high / low)} times the parameters)"
            )
        parts.append(text)
    return "; ".join(parts)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else words.small(value)


def _time(seconds: float) -> str:
    """Return a time of any length with two digits: `0.62 ms`, `48 s`, `2,686 s`."""
    return f"{_short(1e3 * seconds)} ms" if seconds < 0.1 else f"{_short(seconds)} s"


def _sums() -> str:
    """Say what the seconds of each method add to, and where another sum is printed."""
    parts = []
    for row in published.rows("13 sums"):
        hours = published.column("13", "seconds", method=row["method"]).value.sum() / 3600
        digits = -int(row["hours"].as_tuple().exponent)
        text = f"{row['method']} {hours:.3f} h"
        misprint = f" (printed as {row['hours']}, a misprint)"
        parts.append(text + misprint * (f"{hours:.{digits}f}" != f"{row['hours']}"))
    return f"The paper's seven merges of each method add to {words.joined(parts)}."


def merge_grid(study: Study, tables: Tables) -> Grid:
    """Tabulate the seconds of a merge by size and method, this study's and the paper's."""
    printed, measured = printed_times(study), merge_times(study, tables)
    methods = list(dict.fromkeys([*study.method_labels, *(time.method for time in printed)]))
    groups = (
        ("this study, in memory", [time for time in measured if not time.on_disk]),
        ("this study, to disk", [time for time in measured if time.on_disk]),
        ("the paper, to disk", printed),
    )
    body = [
        [
            name,
            size,
            words.count(n_params),
            *(_time_cell(times, size, method) for method in methods),
            words.joined(sorted({t.device for t in times if t.size == size and t.device}))
            or "not printed",
        ]
        for name, times in groups
        for size, n_params in dict.fromkeys((time.size, time.n_params) for time in times)
    ]
    return Grid(
        "Time of one merge. In brackets, where it differs: with the merge's share of what its "
        "job prepared once, from the reading of base and experts on. Hardware: devices of the "
        "jobs; the merges themselves are made by the processor of the host.",
        ("whose", "size", "N", *methods, "hardware"),
        body,
        2,
    )


def _time_cell(times: list[MergeTime], size: str, method: str) -> str:
    found = [time for time in times if (time.size, time.method) == (size, method)]
    if not found:
        return words.MISSING
    alone, whole = _time(found[0].seconds), _time(found[0].with_preparation)
    return alone if alone == whole else f"{alone} ({whole})"
