"""Figures of what the study's jobs took, and of merge times beside the paper's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mergelaw.config import Study
from mergelaw.costs.sums import rows_of, summed
from mergelaw.jobs.rules import RULES
from mergelaw.report import style
from mergelaw.report.captions.figure import COSTS
from mergelaw.report.cases import name_rows
from mergelaw.report.colors import INK, METHODS, PAPER, Color, Look, method_look
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.merge_times import MergeTime, merge_times, printed_times
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import count

NO_SIZE = "no one size"

SWEEP = tuple(name for name, rule in RULES.items() if rule.stage == "sweep")


class Kind(NamedTuple):
    """Jobs that are drawn as one part of a bar."""

    label: str
    rules: tuple[str, ...]
    color: Color


KINDS = (
    Kind("bases", ("base",), METHODS[0]),
    Kind("experts", ("expert",), METHODS[1]),
    Kind("multitask baseline", ("multitask",), METHODS[2]),
    Kind("merges, scored", SWEEP, METHODS[3]),
)
OTHERS = Kind(
    "other",
    tuple(name for name in RULES if not any(name in kind.rules for kind in KINDS)),
    METHODS[5],
)
QUANTITIES = {"cpu_seconds": "processor cores", "device_hours": "devices that ran models"}
"""What has a panel, and the panel's title."""

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def costs(study: Study, tables: Tables) -> Figure:
    """Draw a bar of the time of each size, in parts by kind of job; a panel per quantity."""
    frame, title = tables[COSTS], FIGURES["costs"].title
    sizes: list[str | None] = [*present(study.size_names, frame, "size"), None]
    if frame.is_empty():
        return style.message(title, "No job has told what it took.")
    figure, axes = style.panels(2, 0.6 + 0.24 * len(sizes), columns=2)
    known = set(frame["rule"].to_list())
    kinds = [kind for kind in (*KINDS, OTHERS) if known & set(kind.rules)]
    for panel, (column, name) in zip(axes, QUANTITIES.items(), strict=True):
        parts = [[_seconds(frame, size, kind, column) for kind in kinds] for size in sizes]
        unit = _draw_bars(panel, parts, kinds)
        panel.set_title(name, loc="left")
        panel.set_xlabel(unit)
        name_rows(panel, [size or NO_SIZE for size in sizes])
    axes[1].set_yticklabels([])
    figure = style.finish(figure, title)
    patches = [Patch(color=kind.color.light, label=kind.label) for kind in kinds]
    figure.legend(handles=patches, loc="outside lower left", ncols=len(patches))
    return figure


def _seconds(frame: pl.DataFrame, size: str | None, kind: Kind, column: str) -> float:
    """Return the seconds of a kind of job at a size; 0 where they are not told."""
    total = summed(rows(rows_of(frame, *kind.rules), size=size))[column]
    return (total or 0.0) * (3600 if column == "device_hours" else 1)


def _draw_bars(panel: Axes, parts: Sequence[Sequence[float]], kinds: Sequence[Kind]) -> str:
    """Draw stacked bars, a row each; return the unit of their length."""
    longest = max(map(sum, parts))
    unit, length = next((u for u in UNITS if longest >= 2 * u[1]), UNITS[-1])
    for row, seconds in enumerate(parts):
        start = 0.0
        for kind, part in zip(kinds, seconds, strict=True):
            panel.barh(row, part / length, 0.7, left=start, color=kind.color.light, linewidth=0)
            start += part / length
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.set_xlim(0, 1.04 * longest / length if longest else 1)
    return unit


def merge_seconds(study: Study, tables: Tables) -> Figure:
    """Draw the seconds of a merge against N, a panel for this study and one for the paper."""
    title = FIGURES["merge_seconds"].title
    figure, axes = style.panels(2, 2.9, columns=2)
    own = [(time, "left" if time.on_disk else "full") for time in merge_times(study, tables)]
    printed = [(time, "none") for time in printed_times(study)]
    for panel, name, times in zip(axes, ("this study", "the paper"), (own, printed), strict=True):
        panel.set_title(name, loc="left")
        _time_axes(panel, {time.n_params for time, _ in times})
        for method in dict.fromkeys(time.method for time, _ in times):
            known = method in study.method_labels
            look = method_look(study, method) if known else Look(INK.light, "x")
            for fill in ("full", "left", "none"):
                found = [time for time, its in times if (time.method, its) == (method, fill)]
                _draw_times(panel, found, look, fill)
    style.label_outer(axes, "N, parameters (log scale)", "seconds of one merge (log scale)")
    series = [style.series(label, method_look(study, label)) for label in study.method_labels]
    kinds = [
        style.entry("in memory, measured", marker="o", **style.MEASURED),
        style.entry("to disk, measured", marker="o", fillstyle="left", **style.MEASURED),
        style.entry("to disk, printed", marker="o", **style.UNUSED),
    ]
    return style.finish(figure, title, series, kinds)


def _time_axes(panel: Axes, n_params: set[float]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(FixedLocator(sorted(n_params)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: count(n)))


def _draw_times(panel: Axes, times: Sequence[MergeTime], look: Look, fill: str) -> None:
    """Draw the times of one method; a mean of 0 has no place on a log scale."""
    points = sorted((time.n_params, time.seconds) for time in times if time.seconds > 0)
    if points:
        x, y = zip(*points, strict=True)
        faces: dict[str, Any] = {"markerfacecoloralt": PAPER.light, "fillstyle": fill}
        panel.plot(x, y, color=look.color, marker=look.marker, linewidth=0.9, **faces)
