"""Figures that check forecasts: their intervals, the choice of three k, transfer over sizes."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import FORECAST_INTERVALS, TRANSFER, TRIPLE_ERRORS
from mergelaw.report import style
from mergelaw.report.colors import INK, PAPER, method_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.maps import draw_map, matrix
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import triple_words

NEW_TEXT: dict[str, Any] = {"alpha": 0.28}
NEW_EXPERTS: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.1}
THIS_POOL: dict[str, Any] = {"linestyle": ":", "linewidth": 1.0}


def forecast_intervals(study: Study, tables: Tables) -> Figure:
    """Draw the forecast of the largest size with bands by target, a panel per method."""
    frame = rows(tables[FORECAST_INTERVALS.file], domain=MACRO).drop_nulls("loss_predicted")
    sizes = present(study.size_names, frame, "size")
    title = FIGURES["forecast_intervals"].title
    if not sizes:
        return style.message(title, "No forecast of the macro loss has an interval.")
    frame = rows(frame, size=sizes[-1])
    methods = present(study.method_labels, frame, "method")
    sampled = "pool" in frame["target"].to_list()
    names = [f"{method}, {sizes[-1]}" for method in methods]
    figure, axes = style.k_panels(names, 2.4, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        _draw_bands(panel, rows(frame, method=method), *method_look(study, method))
    style.label_outer(axes, MERGED_K, "macro loss (nats/token)")
    return style.finish(
        figure,
        title,
        (),
        (
            style.entry("forecast", **style.EXTRAPOLATED),
            style.entry("new text", linewidth=7, **NEW_TEXT),
            style.entry("new experts", **NEW_EXPERTS),
            *([style.entry("this pool", **THIS_POOL)] if sampled else []),
            style.entry("measured", marker="o", **style.UNUSED),
        ),
    )


def _draw_bands(panel: Axes, frame: pl.DataFrame, color: str, marker: str) -> None:
    text = rows(frame, target="text").drop_nulls(["low", "high"])
    panel.fill_between(text["k"], text["low"], text["high"], color=color, linewidth=0, **NEW_TEXT)
    for target, line in (("experts", NEW_EXPERTS), ("pool", THIS_POOL)):
        part = rows(frame, target=target).drop_nulls(["low", "high"])
        for end in ("low", "high"):
            panel.plot(part["k"], part[end], color=color, **line)
    curve = frame.unique("k").sort("k")
    panel.plot(curve["k"], curve["loss_predicted"], color=color, **style.EXTRAPOLATED)
    panel.plot(curve["k"], curve["loss"], color=color, marker=marker, zorder=3, **style.UNUSED)


NAMED = ("1,2,4", "1,3,6")
"""Triples that are named in every panel: the paper's, and a wider one."""


def triples(study: Study, tables: Tables) -> Figure:
    """Draw every triple's median error against its largest k, a panel per method."""
    frame = tables[TRIPLE_ERRORS.file].drop_nulls("median_error").filter(pl.col("median_error") > 0)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["triples"].title
    if not methods:
        return style.message(title, "No triple of k has a forecast with an error.")
    figure, axes = style.k_panels(methods, 2.6, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(_percent))
        part = rows(frame, method=method).sort("median_error")
        color = method_look(study, method).color
        for refused, face in ((False, color), (True, PAPER.light)):
            points = part.filter((pl.col("n_refused") > 0) == refused)
            panel.plot(
                [_largest(name) for name in points["points"]],
                points["median_error"],
                color=color,
                marker="o",
                markerfacecolor=face,
                markersize=3.4,
                alpha=0.75,
                **style.MEASURED,
            )
        _name_triples(panel, part)
    style.label_outer(axes, "largest k of the three", "median error at k = M (log scale)")
    return style.finish(
        figure,
        title,
        (),
        (
            style.entry("a triple of k", marker="o", **style.MEASURED),
            style.entry("no forecast for some curves", marker="o", **style.UNUSED),
        ),
    )


def _largest(points: str) -> int:
    return max(int(k) for k in points.split(","))


def _percent(share: float, _: object) -> str:
    return f"{100 * share:g}%"


def _name_triples(panel: Axes, part: pl.DataFrame) -> None:
    """Ring and name the triples of `NAMED` and the one with the lowest error."""
    errors = dict(part.select("points", "median_error").iter_rows())
    lowest = part["points"][0]
    for name in dict.fromkeys((*NAMED, lowest)):
        if name in errors:
            place = (_largest(name), errors[name])
            panel.plot(*place, "o", color=INK.light, markersize=6.5, markerfacecolor="none")
            at_end = name == lowest
            panel.annotate(
                triple_words(name),
                place,
                xytext=(-7 if at_end else 7, -3),
                ha="right" if at_end else "left",
                textcoords="offset points",
                fontsize=8,
                path_effects=[withStroke(linewidth=2.5, foreground=PAPER.light)],
            )


def transfer(study: Study, tables: Tables) -> Figure:
    """Draw the error of every source against every target size, a map per method."""
    frame = rows(tables[TRANSFER.file], domain=MACRO).drop_nulls("relative_error")
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["transfer"].title
    if not methods:
        return style.message(title, "No size's offset could be carried to another size.")
    sources = list(dict.fromkeys([*present(study.size_names, frame, "source")]))
    sources += [name for name in frame["source"].unique().sort() if name not in sources]
    targets = present(study.size_names, frame, "target")
    columns = 2 if len(methods) > 1 else 1
    figure, axes = style.panels(len(methods), 0.5 + 0.26 * len(sources), columns)
    percent = frame.with_columns(percent=100 * pl.col("relative_error"))
    largest = max(float(np.max(np.abs(percent["percent"].to_numpy()))), 1e-6)
    for panel, method in zip(axes, methods, strict=True):
        values = matrix(
            rows(percent, method=method), "source", "target", "percent", sources, targets
        )
        draw_map(
            panel, values, sources, targets, 8, cmap="RdBu_r", center=0, vmin=-largest, vmax=largest
        )
        for text in panel.texts:
            text.set_text(f"{text.get_text().replace('-', '−')}%")
        panel.set_xticklabels(targets, rotation=0, ha="center")
        panel.set_title(method, loc="left")
    style.label_outer(axes, "size that is predicted", "offset from")
    return style.finish(figure, title)
