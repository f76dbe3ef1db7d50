"""Figures of curves predicted from one merge: beside measured ones, their errors, the scale."""

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.report import style
from mergelaw.report.captions.figure import PREDICTED_CURVES
from mergelaw.report.colors import INK, MUTED, method_look, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.theory_choice import (
    LOOKS,
    ROUTES,
    at_own_scale,
    few,
    of_main_route,
    own_scale,
)

BAND: dict[str, Any] = {"alpha": 0.25, "linewidth": 0}
LAW: dict[str, Any] = {"color": MUTED.light, "linestyle": (0, (4, 3)), "linewidth": 1.0}
NOTHING = "No curve is predicted."


def theory_curves(study: Study, tables: Tables) -> Figure:
    """Draw predicted, fitted and measured curves, a panel per method and size."""
    frame = at_own_scale(study, rows(tables[PREDICTED_CURVES], domain=MACRO))
    title = FIGURES["theory_curves"].title
    methods = present(study.method_labels, frame, "method")
    if not methods:
        return style.message(title, NOTHING)
    sizes = few(present(study.size_names, frame, "size"))
    figure, axes = style.panels(len(methods) * len(sizes), 1.75, columns=len(sizes))
    cells = [(method, size) for method in methods for size in sizes]
    for panel, (method, size) in zip(axes, cells, strict=True):
        panel.set_title(f"{_short(method, len(sizes))}, {size}", loc="left")
        style.k_axis(panel, label=False)
        panel.yaxis.set_major_locator(MaxNLocator(4))
        part = of_main_route(study, rows(frame, method=method, size=size))
        _draw_curve(panel, part, len(study.experts), *method_look(study, method))
    style.label_outer(axes, MERGED_K, "nats/token")
    kinds = (
        style.entry("measured", marker="o", **style.MEASURED),
        style.entry("predicted from the ringed merge", **style.FITTED),
        style.entry("its interval on this text", linewidth=7, alpha=BAND["alpha"]),
        style.entry("law fitted to all points", **LAW),
    )
    return style.finish(figure, title, (), kinds)


def _short(method: str, columns: int) -> str:
    """Return a method's label, cut where panels are narrow."""
    return method if columns < 3 or len(method) < 12 else f"{method[:10]}…"


def _draw_curve(panel: Axes, part: pl.DataFrame, pool: int, color: str, marker: str) -> None:
    known = part.drop_nulls(["low", "high"])
    panel.fill_between(known["k"], known["low"], known["high"], color=color, **BAND)
    panel.plot(part["k"], part["loss_fitted"], zorder=2, **LAW)
    panel.plot(part["k"], part["loss_predicted"], color=color, linewidth=1.2, zorder=2)
    panel.plot(
        part["k"],
        part["loss"],
        color=color,
        marker=marker,
        markersize=3.4,
        zorder=3,
        **style.MEASURED,
    )
    end = rows(part, k=pool)
    ring: dict[str, Any] = {
        "color": INK.light,
        "markerfacecolor": "none",
        "markersize": 8,
        "linestyle": "none",
    }
    panel.plot(end["k"], end["loss_predicted"], marker="o", zorder=4, **ring)


LINEAR = 0.001
"""Share of the loss up to which the axis of errors is linear."""


def theory_errors(study: Study, tables: Tables) -> Figure:
    """Draw errors by k of every route and of the law, for the reference method, a panel a size."""
    method = study.reference_label
    frame = at_own_scale(study, rows(tables[PREDICTED_CURVES], domain=MACRO, method=method))
    frame = frame.drop_nulls("relative_error")
    title = f"{FIGURES['theory_errors'].title} ({method})"
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(title, "No prediction has a measured loss beside it.")
    routes = present(ROUTES, frame, "route")
    figure, axes = style.k_panels(sizes, 2.3, share_y=True)
    for panel, size in zip(axes, sizes, strict=True):
        part = rows(frame, size=size)
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
        law = part.unique("k").sort("k")
        panel.plot(law["k"], law["relative_error_fitted"], **LAW)
        for route in routes:
            found, (color, marker) = rows(part, route=route), LOOKS[route]
            panel.plot(found["k"], found["relative_error"], color=color, marker=marker)
    _error_axis(axes[0], frame)
    style.label_outer(axes, MERGED_K, "error (share of the loss)")
    kinds = [
        style.entry(ROUTES[route], *LOOKS[route][:1], marker=LOOKS[route].marker)
        for route in routes
    ]
    return style.finish(figure, title, (), [*kinds, style.entry("law fitted to the points", **LAW)])


def _error_axis(panel: Axes, frame: pl.DataFrame) -> None:
    """Make the axis, which all panels share, linear near 0 and logarithmic beyond."""
    panel.set_yscale("symlog", linthresh=LINEAR)
    names = ("relative_error", "relative_error_fitted")
    largest = max(float(frame[name].abs().max() or 0.0) for name in names)  # type: ignore[arg-type]
    steps = [step for step in (0.001, 0.01, 0.1, 1.0) if step <= 3 * largest] or [LINEAR]
    panel.set_yticks([*(-step for step in reversed(steps)), 0.0, *steps])
    panel.set_yticks([], minor=True)
    panel.yaxis.set_major_formatter(FuncFormatter(_percent))
    room = 1.6 * max(largest, LINEAR)
    panel.set_ylim(-room, room)


def _percent(share: float, _: object) -> str:
    return f"{100 * share:g}%".replace("-", "−")


MOST_K = 6
"""Panels of loss against scale; of more k, the first and last are kept."""


def theory_scales(study: Study, tables: Tables) -> Figure:
    """Draw loss against scale, a panel per k, for the first method measured at several scales."""
    frame = rows(tables[PREDICTED_CURVES], domain=MACRO, masks="these").drop_nulls("loss")
    title = FIGURES["theory_scales"].title
    frame = frame.filter(pl.col("k") > 0, pl.col("scale") > 0)
    methods = [
        label
        for label in present(study.method_labels, frame, "method")
        if (rows(frame, method=label)["scale"] != own_scale(study.method(label))).any()
    ]
    if not methods:
        return style.message(title, "No merge was scored at several scales.")
    frame = of_main_route(study, rows(frame, method=methods[0]))
    scaled = frame.filter(pl.col("scale") != own_scale(study.method(methods[0])))
    names = few([str(k) for k in sorted(set(scaled["k"].to_list()))], MOST_K)
    sizes = present(study.size_names, frame, "size")
    figure, axes = style.panels(len(names), 2.4, share_y=True)
    for panel, k in zip(axes, names, strict=True):
        panel.set_title(f"k = {k}", loc="left")
        for size in sizes:
            part = rows(frame, k=int(k), size=size).sort("scale")
            _draw_scales(panel, part, *size_look(study, size))
    _keep_to_points(axes[0], frame)
    style.label_outer(axes, "scale", "macro loss (nats/token)")
    looks = [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes]
    kinds = (
        style.entry("measured", marker="o", **style.MEASURED),
        style.entry("predicted", linewidth=1.0),
    )
    return style.finish(figure, f"{title} ({methods[0]})", looks, kinds)


def _draw_scales(panel: Axes, part: pl.DataFrame, color: str, marker: str) -> None:
    panel.plot(part["scale"], part["loss_predicted"], color=color, linewidth=1.0)
    panel.plot(part["scale"], part["loss"], color=color, marker=marker, zorder=3, **style.MEASURED)


def _keep_to_points(panel: Axes, frame: pl.DataFrame) -> None:
    """Give the loss axis, which all panels share, the room of what is measured and predicted."""
    losses = [*frame["loss"].to_list(), *frame["loss_predicted"].drop_nulls().to_list()]
    room = 0.06 * (max(losses) - min(losses)) or 0.05
    panel.set_ylim(min(losses) - room, max(losses) + room)
