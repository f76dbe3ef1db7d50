"""Figures of what k buys: variance over subsets, share of the improvement, gaps between methods."""

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mergelaw.config import Study
from mergelaw.laws.schemas import GAPS, MACRO, RETURNS, VARIANCE
from mergelaw.report import style
from mergelaw.report.colors import MUTED, method_look, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES


def variance_by_k(study: Study, tables: Tables) -> Figure:
    """Draw the variance over subsets against k on a log scale, with the finite-pool law."""
    frame = rows(tables[VARIANCE.file], domain=MACRO).filter(pl.col("variance") > 0)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["variance_by_k"].title
    if not methods:
        return style.message(title, "No k has two or more subsets, or all of them score the same.")
    figure, axes = style.panels(len(methods), 2.6, share_y=True)
    sizes = present(study.size_names, frame, "size")
    for panel, method in zip(axes, methods, strict=True):
        panel.set_title(method, loc="left")
        panel.set_yscale("log")
        style.k_axis(panel, label=False)
        for size in sizes:
            curve, look = rows(frame, method=method, size=size), size_look(study, size)
            panel.plot(
                curve["k"],
                curve["variance"],
                color=look.color,
                marker=look.marker,
                zorder=3,
                **style.MEASURED,
            )
            fitted = curve.filter(pl.col("variance_fitted") > 0)
            panel.plot(fitted["k"], fitted["variance_fitted"], color=look.color, **style.FITTED)
    style.label_outer(axes, MERGED_K, "variance (nats/token)²")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size)) for size in sizes],
        (
            style.entry("measured", marker="o", **style.MEASURED),
            style.entry("V0 (1/k − 1/M), fitted", **style.FITTED),
        ),
    )


def return_by_k(study: Study, tables: Tables) -> Figure:
    """Draw the share of the realized improvement against k, a panel per method."""
    frame = rows(tables[RETURNS.file], domain=MACRO).drop_nulls("return")
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["return_by_k"].title
    if not methods:
        return style.message(title, "No curve has both ends and a fall between them.")
    figure, axes = style.k_panels(methods, 2.4, share_y=True)
    sizes = present(study.size_names, frame, "size")
    for panel, method in zip(axes, methods, strict=True):
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for share in (0.85, 0.9):
            panel.axhline(share, color=MUTED.light, **style.FLOOR)
        for size in sizes:
            curve, look = rows(frame, method=method, size=size), size_look(study, size)
            panel.plot(
                curve["k"], curve["return"], color=look.color, marker=look.marker, linewidth=0.8
            )
    style.label_outer(axes, MERGED_K, "share of the fall from k = 1 to M")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size)) for size in sizes],
        (
            style.entry("measured (points joined)", marker="o", linewidth=0.8),
            style.entry("85% and 90%", **style.FLOOR),
        ),
    )


def method_gap(study: Study, tables: Tables) -> Figure:
    """Draw each method's gap to the reference in percent against k, a panel per size."""
    frame = rows(tables[GAPS.file], domain=MACRO).drop_nulls("gap_percent").filter(pl.col("k") > 0)
    others = frame.filter(pl.col("method") != pl.col("reference"))
    sizes = present(study.size_names, others, "size")
    title = FIGURES["method_gap"].title
    if not sizes:
        return style.message(title, "The study has one method, so there is nothing to compare.")
    reference = others["reference"][0]
    methods = present(study.method_labels, others, "method")
    figure, axes = style.k_panels(sizes, 2.4, share_y=True)
    for panel, size in zip(axes, sizes, strict=True):
        panel.yaxis.set_major_formatter(PercentFormatter(100.0))
        panel.axhline(0, color=method_look(study, reference).color, linewidth=1.2)
        for method in methods:
            curve, look = rows(others, size=size, method=method), method_look(study, method)
            panel.plot(
                curve["k"],
                curve["gap_percent"],
                color=look.color,
                marker=look.marker,
                linewidth=0.8,
            )
    style.label_outer(axes, MERGED_K, f"macro loss against {reference}")
    entries = [
        style.series(method, method_look(study, method), linewidth=0.8) for method in methods
    ]
    zero = style.entry(f"{reference} (reference)", method_look(study, reference).color)
    return style.finish(figure, title, [zero, *entries], ())
