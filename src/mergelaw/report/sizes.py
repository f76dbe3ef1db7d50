"""Figures across sizes and beyond the fitted points: floors and tails, held-out size, forecast."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from mergelaw.config import Study
from mergelaw.laws.forms import size_floor, size_tail
from mergelaw.laws.schemas import CURVES, FITS, FORECAST, HELDOUT, MACRO
from mergelaw.report import style
from mergelaw.report.colors import PAPER, method_look, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, n_by_size, parameters, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import count, joined

DODGE = 1.025
"""Factor in N between neighbouring methods, so that their error bars do not hide each other."""


def joint_part(
    part: str, n_params: NDArray[np.float64], fit: Mapping[str, Mapping[str, Any]]
) -> NDArray[np.float64]:
    """Return the joint law's floor or tail at N billion parameters."""
    value = {name: row["value"] for name, row in fit.items()}
    if part == "floor":
        return size_floor(
            n_params, value["floor_limit"], value["size_scale"], value["size_exponent"]
        )
    return size_tail(n_params, value["tail_scale"], value["tail_exponent"])


def n_axis(axes: Axes, study: Study, n_params: Mapping[str, float]) -> None:
    """Make x the parameter count on a log scale, with a tick at every size."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(n_params.values()))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: count(n * 1e9)))
    kind = {"nonembedding": "non-embedding", "total": "total"}[study.laws.n_params]
    axes.set_xlabel(f"N, {kind} parameters (log scale)")


def floor_tail_by_n(study: Study, tables: Tables) -> Figure:
    """Draw floors and tails of the per-size fits against N, with the joint law's, per method."""
    fits = rows(tables[FITS.file], domain=MACRO)
    methods = present(study.method_labels, fits, "method")
    n_params = n_by_size(rows(tables[CURVES.file], domain=MACRO))
    title = FIGURES["floor_tail_by_n"].title
    if not methods:
        return style.message(title, "No law could be fitted: see the refused fits.")
    figure, axes = style.panels(2, 3.0)
    for panel, part in zip(axes, ("floor", "tail"), strict=True):
        panel.set_title(part, loc="left")
        n_axis(panel, study, n_params)
        panel.set_ylabel(f"{part} of macro loss (nats/token)")
        for index, method in enumerate(methods):
            shift = DODGE ** (index - (len(methods) - 1) / 2)
            _draw_sizes(panel, study, fits, method, part, n_params, shift)
            joint = parameters(fits, "joint", method, MACRO)
            if joint:
                line = np.geomspace(min(n_params.values()), max(n_params.values()), 60)
                panel.plot(
                    line,
                    joint_part(part, line, joint),
                    linewidth=1.2,
                    color=method_look(study, method).color,
                )
    return style.finish(
        figure,
        title,
        [style.series(method, method_look(study, method)) for method in methods],
        (
            style.entry("fitted to one size, ± standard error", marker="o", **style.MEASURED),
            style.entry("at a bound of the fit", marker="o", **style.UNUSED),
            style.entry("joint law of all sizes"),
        ),
    )


def _draw_sizes(
    panel: Axes,
    study: Study,
    fits: pl.DataFrame,
    method: str,
    part: str,
    n_params: Mapping[str, float],
    shift: float,
) -> None:
    look = method_look(study, method)
    found = rows(fits, law="floor_tail", method=method, parameter=part)
    for row in found.to_dicts():
        n = n_params[row["size"]] * shift
        face = PAPER.light if row["at_bound"] else look.color
        panel.plot(
            [n],
            [row["value"]],
            color=look.color,
            marker=look.marker,
            linestyle="none",
            markerfacecolor=face,
            zorder=3,
        )
        if row["stderr"] is not None:
            panel.errorbar(
                [n],
                [row["value"]],
                [row["stderr"]],
                fmt="none",
                ecolor=look.color,
                elinewidth=1,
                capsize=2,
            )


def heldout(study: Study, tables: Tables) -> Figure:
    """Draw the largest size against the joint law fitted without it, a panel per method."""
    frame = rows(tables[HELDOUT.file], law="joint", left_out="largest_size", domain=MACRO)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["heldout"].title
    if not methods:
        return style.message(title, "No prediction: the joint law needs more sizes than are left.")
    figure, axes = style.panels(len(methods), 2.2, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        curve, look = rows(frame, method=method), method_look(study, method)
        panel.set_title(f"{method}, {curve['size'][0]}", loc="left")
        style.k_axis(panel, label=False)
        panel.plot(curve["k"], curve["loss"], color=look.color, marker=look.marker, **style.UNUSED)
        panel.plot(curve["k"], curve["loss_predicted"], color=look.color, **style.EXTRAPOLATED)
    style.label_outer(axes, MERGED_K, "macro loss (nats/token)")
    return style.finish(
        figure,
        title,
        (),
        (
            style.entry("measured, not used by the fit", marker="o", **style.UNUSED),
            style.entry("joint law fitted to the smaller sizes", **style.EXTRAPOLATED),
        ),
    )


def forecast(study: Study, tables: Tables) -> Figure:
    """Draw the law through three small k and the measured losses, a panel per method."""
    frame = rows(tables[FORECAST.file], domain=MACRO)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["forecast"].title
    if not methods:
        return style.message(title, "No forecast: its three k were not all measured.")
    figure, axes = style.k_panels(methods, 2.6, share_y=True)
    sizes = present(study.size_names, frame, "size")
    for panel, method in zip(axes, methods, strict=True):
        refused = []
        for size in sizes:
            curve = rows(frame, method=method, size=size)
            _draw_forecast(panel, curve, *size_look(study, size))
            refused += [size] if "not_identified" in curve["case"].to_list() else []
        if refused:
            panel.text(
                0.98,
                0.97,
                f"no forecast: {joined(refused)}",
                transform=panel.transAxes,
                ha="right",
                va="top",
                fontsize=8,
            )
    style.label_outer(axes, MERGED_K, "macro loss (nats/token)")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size)) for size in sizes],
        (
            style.entry("measured, used", marker="o", **style.MEASURED),
            style.entry("measured, not used", marker="o", **style.UNUSED),
            style.entry("law through the used points", **style.FITTED),
            style.entry("its extrapolation", **style.EXTRAPOLATED),
        ),
    )


def _draw_forecast(panel: Axes, curve: pl.DataFrame, color: str, marker: str) -> None:
    if curve.is_empty():
        return
    used = [int(k) for k in curve["points"][0].split(",")]
    within, beyond = pl.col("k") <= max(used), pl.col("k") >= max(used)
    for part, kind in ((within, style.FITTED), (beyond, style.EXTRAPOLATED)):
        line = curve.filter(part)
        panel.plot(line["k"], line["loss_predicted"], color=color, **kind)
    for part, kind in (
        (pl.col("k").is_in(used), style.MEASURED),
        (~pl.col("k").is_in(used), style.UNUSED),
    ):
        points = curve.filter(part)
        panel.plot(points["k"], points["loss"], color=color, marker=marker, zorder=3, **kind)
