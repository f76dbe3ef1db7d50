"""Figures of loss against k: all methods, and all domains of the reference method."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, FITS, MACRO, PREDICTIONS
from mergelaw.report import style
from mergelaw.report.colors import size_look
from mergelaw.report.inputs import Tables, n_by_size, parameters, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import count

LOSS = "loss (nats/token)"
MERGED_K = "k, merged experts"


def draw_points(axes: Axes, curve: pl.DataFrame, color: str, marker: str) -> None:
    """Draw measured losses against k, with an error bar where a standard error is defined."""
    axes.plot(curve["k"], curve["loss"], color=color, marker=marker, zorder=3, **style.MEASURED)
    known = curve.drop_nulls("loss_se")
    if not known.is_empty():
        axes.errorbar(
            known["k"],
            known["loss"],
            known["loss_se"],
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            capsize=1.8,
            zorder=2,
            alpha=0.7,
        )


def size_entries(study: Study, n_params: dict[str, float]) -> list[Line2D]:
    """Return a legend entry per size, with its parameter count."""
    return [
        style.entry(
            f"{size} (N = {count(n_params[size] * 1e9)})",
            size_look(study, size).color,
            marker=size_look(study, size).marker,
        )
        for size in n_params
    ]


KINDS = (
    style.entry("measured, ± standard error", marker="o", **style.MEASURED),
    style.entry("law fitted to the size", **style.FITTED),
)


def loss_by_k(study: Study, tables: Tables) -> Figure:
    """Draw macro loss against k: a panel per method, points, both laws and floors per size."""
    curves = rows(tables[CURVES.file], domain=MACRO).filter(pl.col("k") > 0)
    predictions = rows(tables[PREDICTIONS.file], domain=MACRO)
    methods = present(study.method_labels, curves, "method")
    n_params = n_by_size(curves)
    figure, axes = style.k_panels(methods, 2.6, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        for size in n_params:
            look = size_look(study, size)
            draw_points(panel, rows(curves, method=method, size=size), *look)
            for law, kind in (("floor_tail", style.FITTED), ("joint", style.JOINT)):
                line = rows(predictions, law=law, method=method, size=size)
                panel.plot(line["k"], line["loss_predicted"], color=look.color, **kind)
            fit = parameters(tables[FITS.file], "floor_tail", method, MACRO, size)
            if "floor" in fit:
                panel.axhline(fit["floor"]["value"], color=look.color, **style.FLOOR)
    style.label_outer(axes, MERGED_K, f"macro {LOSS}")
    return style.finish(
        figure,
        FIGURES["loss_by_k"].title,
        size_entries(study, n_params),
        (
            *KINDS,
            style.entry("its floor, extrapolated", **style.FLOOR),
            style.entry("joint law of all sizes", **style.JOINT),
        ),
    )


def domains(study: Study, tables: Tables) -> Figure:
    """Draw each domain's loss against k for the reference method: a panel per domain."""
    method = study.reference_label
    curves = rows(tables[CURVES.file], method=method).filter(pl.col("k") > 0)
    predictions = rows(tables[PREDICTIONS.file], law="floor_tail", method=method)
    names = present(study.domain_names, curves, "domain")
    n_params = n_by_size(curves)
    title = f"{FIGURES['domains'].title} ({method})"
    figure, axes = style.k_panels(names, 1.75 if len(names) > 4 else 2.5)
    for panel, domain in zip(axes, names, strict=True):
        for size in n_params:
            look = size_look(study, size)
            draw_points(panel, rows(curves, domain=domain, size=size), *look)
            line = rows(predictions, domain=domain, size=size)
            panel.plot(line["k"], line["loss_predicted"], color=look.color, **style.FITTED)
    style.label_outer(axes, MERGED_K, LOSS)
    return style.finish(figure, title, size_entries(study, n_params), KINDS)
