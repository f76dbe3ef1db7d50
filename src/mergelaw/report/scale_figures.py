"""Figures of the scale axis: loss against scale, the best scale and what it gains."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.scales import BEST_SCALES, SCALE_CURVES, SCALE_FITS
from mergelaw.report import style
from mergelaw.report.colors import MUTED, PAPER, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES

MOST_K = 6
"""Panels of loss against scale; of more k, the first and last are kept."""


def scale_curves(study: Study, tables: Tables) -> Figure:
    """Draw loss against scale with the surface, a panel per k, for the first method with one."""
    frame = rows(tables[SCALE_CURVES.file], domain=MACRO).drop_nulls("loss")
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["scale_curves"].title
    if not methods:
        return style.message(title, "No merge was scored at several scales.")
    frame = rows(frame, method=methods[0])
    fits = rows(tables[SCALE_FITS.file], domain=MACRO, method=methods[0])
    ks = sorted(set(frame["k"].to_list()))
    ks = ks if len(ks) <= MOST_K else [*ks[: MOST_K - 1], ks[-1]]
    sizes = present(study.size_names, frame, "size")
    figure, axes = style.panels(len(ks), 2.4, share_y=True)
    for panel, k in zip(axes, ks, strict=True):
        panel.set_title(f"k = {k}", loc="left")
        for size in sizes:
            found = rows(fits, size=size).drop_nulls("value")
            values = dict(found.select("parameter", "value").iter_rows())
            part = rows(frame, k=k, size=size).sort("scale")
            _draw_scales(panel, part, k, values, *size_look(study, size))
    _keep_to_points(axes[0], frame)
    style.label_outer(axes, "scale", "macro loss (nats/token)")
    return style.finish(
        figure,
        f"{title} ({methods[0]})",
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        (
            style.entry("measured, fitted", marker="o", **style.MEASURED),
            style.entry("measured, not fitted", marker="o", **style.UNUSED),
            style.entry("fitted surface", **style.FITTED),
            style.entry("beyond the fitted scales", **style.EXTRAPOLATED),
        ),
    )


def _draw_scales(
    panel: Axes, part: pl.DataFrame, k: int, values: Mapping[str, float], color: str, marker: str
) -> None:
    for flag, kind in ((True, style.MEASURED), (False, style.UNUSED)):
        points = part.filter(pl.col("fitted") == flag)
        panel.plot(points["scale"], points["loss"], color=color, marker=marker, zorder=3, **kind)
    inner = part.filter("fitted")["scale"].to_list()
    if not inner or values.keys() < PARAMETERS:
        return
    ends = [part["scale"].to_list()[0], min(inner), max(inner), part["scale"].to_list()[-1]]
    lines: tuple[dict[str, Any], ...] = (style.EXTRAPOLATED, style.FITTED, style.EXTRAPOLATED)
    for low, high, line in zip(ends[:-1], ends[1:], lines, strict=True):
        scale = np.linspace(low, high, 40)
        bend = values["curvature"] + values["spread"] / k
        loss = values["level"] + scale * values["slope"] + scale**2 / 2 * bend
        panel.plot(scale, loss, color=color, **{**line, "linewidth": 1.0})


PARAMETERS = frozenset({"level", "slope", "curvature", "spread"})


def _keep_to_points(panel: Axes, frame: pl.DataFrame) -> None:
    """Give the loss axis, which all panels share, the room of the measured points."""
    losses = frame["loss"].to_list()
    room = 0.06 * (max(losses) - min(losses)) or 0.05
    panel.set_ylim(min(losses) - room, max(losses) + room)


def best_scales(study: Study, tables: Tables) -> Figure:
    """Draw the best scale against k, a panel per method."""
    title = FIGURES["best_scales"].title
    frame = tables[BEST_SCALES.file].drop_nulls("scale")
    if frame.is_empty():
        return style.message(title, "No best scale is identified.")
    figure, axes = _by_k(study, frame, "scale", None)
    reference = frame["reference_scale"].drop_nulls().to_list()
    for panel in axes if reference else ():
        panel.axhline(reference[0], color=MUTED.light, **style.FLOOR)
    return _finish(study, figure, axes, title, frame, "best scale, macro loss")


def scale_gains(study: Study, tables: Tables) -> Figure:
    """Draw the gain of the best scale, measured and predicted, a panel per method."""
    title = FIGURES["scale_gains"].title
    frame = tables[BEST_SCALES.file].drop_nulls("gain")
    if frame.is_empty():
        return style.message(title, "No real merge was made at a best scale.")
    figure, axes = _by_k(study, frame, "gain", "gain_predicted")
    for panel in axes:
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
    return _finish(study, figure, axes, title, frame, "gain, macro loss (nats/token)", True)


def _by_k(
    study: Study, frame: pl.DataFrame, points: str, line: str | None
) -> tuple[Figure, list[Axes]]:
    """Draw points, open outside the fitted scales, and a line against k, a panel per method."""
    methods = present(study.method_labels, frame, "method")
    figure, panels = style.k_panels(methods, 2.4, share_y=True)
    for panel, method in zip(panels, methods, strict=True):
        for size in present(study.size_names, frame, "size"):
            curve, (color, marker) = rows(frame, method=method, size=size), size_look(study, size)
            panel.plot(curve["k"], curve[line or points], color=color, linewidth=0.9)
            for flag, face in ((True, color), (False, PAPER.light)):
                found = curve.filter(pl.col("inside") == flag)
                panel.plot(
                    found["k"],
                    found[points],
                    color=color,
                    marker=marker,
                    markerfacecolor=face,
                    linestyle="none",
                    zorder=3,
                )
    return figure, list(panels)


def _finish(
    study: Study,
    figure: Figure,
    axes: list[Axes],
    title: str,
    frame: pl.DataFrame,
    label: str,
    lines: bool = False,
) -> Figure:
    style.label_outer(axes, MERGED_K, label)
    sizes = present(study.size_names, frame, "size")
    kinds = [
        style.entry("measured" if lines else "from the surface", marker="o", **style.MEASURED),
        style.entry("outside the fitted scales", marker="o", **style.UNUSED),
        style.entry("predicted", linewidth=0.9)
        if lines
        else style.entry("reference scale", **style.FLOOR),
    ]
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        kinds,
    )
