"""Figures of what more experts buy: the gain of one more, and the way to the floor."""

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import GAINS, NEAR_FLOOR
from mergelaw.report import style
from mergelaw.report.colors import MUTED, PAPER, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES


def gains(study: Study, tables: Tables) -> Figure:
    """Draw the gain of one more expert against k, measured and of the law, a panel per method."""
    frame = rows(tables[GAINS.file], domain=MACRO)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["gains"].title
    if not methods:
        return style.message(title, "No two neighbouring k were measured.")
    figure, axes = style.k_panels(methods, 2.5, share_y=True)
    sizes = present(study.size_names, frame, "size")
    ks = sorted(set(frame["k"].to_list()))
    for panel, method in zip(axes, methods, strict=True):
        _log_axes(panel, ks)
        for size in sizes:
            _draw_gains(panel, rows(frame, method=method, size=size), *size_look(study, size))
    style.label_outer(axes, f"{MERGED_K} (log scale)", "gain L(k) − L(k + 1), nats/token")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        (
            style.entry("measured", marker="o", **style.MEASURED),
            style.entry("law fitted to the size", **style.FITTED),
        ),
    )


def _log_axes(panel: Axes, ks: list[int]) -> None:
    """Make both axes logarithmic, with a tick at every k."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:g}"))


def _draw_gains(panel: Axes, curve: pl.DataFrame, color: str, marker: str) -> None:
    points = curve.filter(pl.col("gain") > 0)
    panel.plot(points["k"], points["gain"], color=color, marker=marker, zorder=3, **style.MEASURED)
    law = curve.filter(pl.col("gain_law") > 0)
    panel.plot(law["k"], law["gain_law"], color=color, linewidth=1.2)
    sampled = points.filter(pl.col("gain_se") > 0)
    panel.errorbar(
        sampled["k"],
        sampled["gain"],
        sampled["gain_se"],
        fmt="none",
        ecolor=color,
        elinewidth=0.9,
        capsize=1.8,
    )


CROSS: dict[str, Any] = {"marker": "x", "markersize": 4, "alpha": 0.8}


def near_floor(study: Study, tables: Tables) -> Figure:
    """Draw the experts needed against the distance from the floor, a panel per method."""
    frame = rows(tables[NEAR_FLOOR.file], domain=MACRO).sort("gap")
    methods = present(study.method_labels, frame, "method")
    title, pool = FIGURES["near_floor"].title, len(study.experts)
    if not methods:
        return style.message(title, "No fit of one size to the macro loss tells its floor.")
    figure, axes = style.panels(len(methods), 2.5, share_y=True)
    sizes = present(study.size_names, frame, "size")
    for panel, method in zip(axes, methods, strict=True):
        panel.set_title(method, loc="left")
        _gap_axes(panel, sorted(set(frame["gap"].to_list())))
        panel.axhline(pool, color=MUTED.light, **style.FLOOR)
        for size in sizes:
            _draw_near(panel, rows(frame, method=method, size=size).sort("gap"), study, size)
    style.label_outer(axes, "distance (nats/token, log scale)", "experts needed (log scale)")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size)) for size in sizes],
        (
            style.entry("to the floor, by the law", marker="o", linewidth=0.8),
            style.entry("more than the pool has", marker="o", **style.UNUSED),
            style.entry(f"to L({pool}), measured", **CROSS, **style.MEASURED),
            style.entry(f"the pool, {pool}", **style.FLOOR),
        ),
    )


def _gap_axes(panel: Axes, gaps: list[float]) -> None:
    """Make both axes logarithmic, with a tick at every distance and whole numbers of experts."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(FixedLocator(gaps))
    panel.yaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_near(panel: Axes, part: pl.DataFrame, study: Study, size: str) -> None:
    color, marker = size_look(study, size)
    known = part.drop_nulls("k_floor")
    panel.plot(known["gap"], known["k_floor"], color=color, linewidth=0.8)
    for reachable, face in ((True, color), (False, PAPER.light)):
        points = known.filter(pl.col("reachable") == reachable)
        panel.plot(
            points["gap"],
            points["k_floor"],
            color=color,
            marker=marker,
            markerfacecolor=face,
            zorder=3,
            **style.MEASURED,
        )
    panel.plot(part["gap"], part["k_pool"], color=color, **CROSS, **style.MEASURED)
