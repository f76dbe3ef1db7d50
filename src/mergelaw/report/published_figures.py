"""Figures of the paper's own numbers: laws, curves, downstream scores, and claims checked."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.published import (
    PUBLISHED_CHECKS,
    PUBLISHED_CURVES,
    PUBLISHED_DOWNSTREAM,
    PUBLISHED_LAWS,
)
from mergelaw.report import style
from mergelaw.report.cases import name_rows
from mergelaw.report.colors import INK, MARKERS, MUTED, PAPER, SIZES, Look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, rows
from mergelaw.report.maps import draw_map, matrix
from mergelaw.report.registry import FIGURES

NOTHING = "The table of published numbers is empty."


def published_laws(study: Study, tables: Tables) -> Figure:
    """Draw the printed macro laws against k, a panel per method and a line per size."""
    frame = rows(tables[PUBLISHED_LAWS.file], domain=MACRO)
    methods = frame["method"].unique(maintain_order=True).to_list()
    title = FIGURES["published_laws"].title
    if not methods:
        return style.message(title, NOTHING)
    sizes = sorted(set(frame["n_params_billions"].to_list()))
    figure, axes = style.k_panels(methods, 2.7, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        for n in sizes:
            curve = rows(frame, method=method).filter(pl.col("n_params_billions") == n)
            color, marker = _n_look(sizes, n)
            panel.plot(curve["k"], curve["loss"], color=color, marker=marker, markersize=3)
    style.label_outer(axes, MERGED_K, "macro loss (nats/token)")
    entries = [style.series(f"{n:g}B", _n_look(sizes, n), markersize=3) for n in sizes]
    return style.finish(figure, title, entries)


def _n_look(sizes: Sequence[float], n: float) -> Look:
    place, last = sizes.index(n), max(len(sizes) - 1, 1)
    color = SIZES[round(place * (len(SIZES) - 1) / last)].light
    return Look(color, MARKERS[place % len(MARKERS)])


SMALL: dict[str, Any] = {"linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.1}


def published_curves(study: Study, tables: Tables) -> Figure:
    """Draw printed points and laws, a panel per table of the paper."""
    frame = tables[PUBLISHED_CURVES.file]
    sources = frame["source"].unique(maintain_order=True).to_list()
    title = FIGURES["published_curves"].title
    if not sources:
        return style.message(title, NOTHING)
    figure, axes = style.k_panels(sources, 2.7)
    for panel, source in zip(axes, sources, strict=True):
        part = rows(frame, source=source)
        names = part["series"].unique(maintain_order=True).to_list()
        for place, name in enumerate(sorted(names)):
            look = Look(INK.light if place % 2 == 0 else MUTED.light, MARKERS[place % 7])
            _draw_printed(panel, rows(part, series=name), name, look)
        if len(names) == 1:
            panel.set_title(f"{source}, {names[0]}", loc="left")
        else:
            panel.legend(fontsize=7.5, handlelength=1.2, loc="best")
    style.label_outer(axes, MERGED_K, "loss (nats/token)")
    kinds = (
        style.entry("printed, ± sd over subsets", marker="o", **style.MEASURED),
        style.entry("law, offset free", linewidth=1.1),
        style.entry("law, offset at most 1", **SMALL),
    )
    return style.finish(figure, title, (), kinds)


def _draw_printed(panel: Axes, curve: pl.DataFrame, name: str, look: Look) -> None:
    color, marker = look
    points = curve.drop_nulls("loss")
    panel.plot(
        points["k"], points["loss"], color=color, marker=marker, label=name, zorder=3, **PLAIN
    )
    spread = points.drop_nulls("sd")
    panel.errorbar(
        spread["k"],
        spread["loss"],
        spread["sd"],
        fmt="none",
        ecolor=color,
        elinewidth=0.8,
        capsize=1.8,
    )
    for column, line in (("loss_fitted", {"linewidth": 1.1}), ("loss_small_offset", SMALL)):
        law = curve.drop_nulls(column)
        panel.plot(law["k"], law[column], color=color, **line)


PLAIN: dict[str, Any] = {"linestyle": "none"}

PLAIN_MEAN = "plain mean of all columns"


def published_downstream(study: Study, tables: Tables) -> Figure:
    """Draw the oriented scores of the kept metrics by k, and both means, as a map."""
    frame = tables[PUBLISHED_DOWNSTREAM.file].filter("kept")
    series = frame["series"].unique(maintain_order=True).to_list()
    title = FIGURES["published_downstream"].title
    if not series:
        return style.message(title, NOTHING)
    frame = rows(frame, series=series[0])
    lower = set(frame.filter(~pl.col("higher_is_better"))["metric"].to_list())
    names = {name: f"1 − {name}" if name in lower else name for name in _metrics(frame)}
    cells = frame.select(pl.col("metric").replace(names), "k", "oriented")
    printed = rows(frame, metric="mean").select(
        pl.lit(PLAIN_MEAN).alias("metric"), "k", pl.col("value").alias("oriented")
    )
    ks = sorted(set(frame["k"].to_list()))
    labels = [*names.values(), PLAIN_MEAN]
    values = matrix(pl.concat([cells, printed]), "metric", "k", "oriented", labels, ks)
    figure, (panel,) = style.panels(1, 0.4 + 0.27 * len(labels))
    draw_map(panel, values, labels, [str(k) for k in ks], 8, cmap="crest")
    panel.set_xticklabels([str(k) for k in ks], rotation=0, ha="center")
    panel.axhline(len(labels) - 2, color=PAPER.light, linewidth=4)
    panel.set_xlabel(MERGED_K)
    panel.set_title(series[0], loc="left")
    return style.finish(figure, title)


def _metrics(frame: pl.DataFrame) -> list[str]:
    """Return the metrics in the paper's order, their mean last."""
    names = frame["metric"].unique(maintain_order=True).to_list()
    return [*(name for name in names if name != "mean"), "mean"]


def published_checks(study: Study, tables: Tables) -> Figure:
    """Draw a mark per claim, a row per place of the paper."""
    frame, title = tables[PUBLISHED_CHECKS.file], FIGURES["published_checks"].title
    places = frame["place"].unique(maintain_order=True).to_list()
    if not places:
        return style.message(title, NOTHING)
    figure, (panel,) = style.panels(1, 0.4 + 0.2 * len(places))
    name_rows(panel, places)
    for row, place in enumerate(places):
        flags = sorted(rows(frame, place=place)["agrees"].to_list(), reverse=True)
        for flag, face in ((True, INK.light), (False, PAPER.light)):
            found = [index for index, agrees in enumerate(flags, 1) if agrees == flag]
            panel.plot(
                found, [row] * len(found), "o", color=INK.light, markerfacecolor=face, markersize=6
            )
    panel.set_xlabel("claims checked")
    panel.set_xlim(0.4, None)
    panel.xaxis.set_major_locator(MultipleLocator(1))
    panel.grid(visible=False, axis="x")
    kinds = (
        style.entry("agrees", INK.light, marker="o", markersize=6, **style.MEASURED),
        style.entry("does not", INK.light, marker="o", markersize=6, **style.UNUSED),
    )
    return style.finish(figure, title, (), kinds)
