"""Figures of the spread over subsets: its form in k, and what orders and mask seeds add."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import DISPERSION, ORDER, VARIANCE_FITS
from mergelaw.report import style
from mergelaw.report.cases import name_rows, zero_line
from mergelaw.report.colors import method_look, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.subset_words import FORMS, PLAIN_FORM, form_rows

JOINT_FORM = "joint"


def variance_forms(study: Study, tables: Tables) -> Figure:
    """Draw AICc and the variance at the pool of every form, a row per form."""
    frame = rows(tables[VARIANCE_FITS.file], domain=MACRO)
    forms = present(FORMS, frame, "form")
    title = FIGURES["variance_forms"].title
    if not forms:
        return style.message(title, "No curve has two subsets at enough k for a form to be fitted.")
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.panels(2, 0.5 + 0.3 * len(forms), columns=2)
    labels = (f"AICc less that of the {FORMS[PLAIN_FORM]}", "variance at k = M (nats/token)²")
    for panel, column, label in zip(axes, ("against_plain", "at_pool"), labels, strict=True):
        name_rows(panel, [FORMS[form] for form in forms])
        zero_line(panel)
        panel.set_xlabel(label)
        for place, method in enumerate(methods):
            shift = 0.6 * (place - (len(methods) - 1) / 2) / len(methods)
            found = form_rows(rows(frame, method=method)).drop_nulls(column)
            color, marker = method_look(study, method)
            panel.plot(
                found[column],
                [forms.index(form) + shift for form in found["form"]],
                color=color,
                marker=marker,
                markersize=3.6,
                **style.MEASURED,
            )
    axes[1].set_yticklabels([])
    looks = [style.series(m, method_look(study, m), **style.MEASURED) for m in methods]
    return style.finish(figure, title, looks)


def dispersion(study: Study, tables: Tables) -> Figure:
    """Draw the standard deviation over subsets with both laws, a panel per method."""
    frame = rows(tables[DISPERSION.file], domain=MACRO).filter(pl.col("sd") > 0)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["dispersion"].title
    if not methods:
        return style.message(title, "No k has two subsets with different losses.")
    figure, axes = style.k_panels(methods, 2.5, share_y=True)
    sizes = present(study.size_names, frame, "size")
    for panel, method in zip(axes, methods, strict=True):
        _plain_log(panel)
        for size in sizes:
            curve, (color, marker) = rows(frame, method=method, size=size), size_look(study, size)
            panel.plot(curve["k"], curve["sd"], color=color, marker=marker, **style.MEASURED)
            for column, line in (("sd_fitted", PAPERS), ("sd_finite_pool", style.FLOOR)):
                law = curve.filter(pl.col(column) > 0)
                panel.plot(law["k"], law[column], color=color, **line)
    style.label_outer(axes, MERGED_K, "standard deviation (nats/token)")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        (
            style.entry("measured", marker="o", **style.MEASURED),
            style.entry("c₀ + c₁/(k + b), the paper's", **PAPERS),
            style.entry("finite pool", **style.FLOOR),
        ),
    )


def _plain_log(panel: Axes) -> None:
    """Make y logarithmic, with ticks at 1 and 3 of each decade as plain numbers."""
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


PAPERS: dict[str, Any] = {"linestyle": "-", "linewidth": 1.1}

SOURCES: Mapping[str, tuple[str, str]] = {
    "subset": ("between subsets", "o"),
    "mask_seed": ("over mask seeds", "D"),
    "order": ("over orders of summation", "x"),
}
"""Sources of spread: in words, and their marker."""


def order(study: Study, tables: Tables) -> Figure:
    """Draw the standard deviation by source against k, a panel per method."""
    frame = rows(tables[ORDER.file], domain=MACRO).filter(pl.col("sd") > 0)
    methods = present(study.method_labels, frame, "method")
    title = FIGURES["order"].title
    if not methods:
        return style.message(title, "Neither orders nor mask seeds nor subsets change a loss.")
    figure, axes = style.panels(len(methods), 2.5, share_y=True)
    sizes = present(study.size_names, frame, "size")
    ks = sorted(set(frame["k"].to_list()))
    for panel, method in zip(axes, methods, strict=True):
        panel.set_title(method, loc="left")
        _name_ks(panel, ks)
        for place, size in enumerate(sizes):
            shift = 0.5 * (place - (len(sizes) - 1) / 2) / len(sizes)
            part, color = rows(frame, method=method, size=size), size_look(study, size).color
            for source, (_, marker) in SOURCES.items():
                found = rows(part, source=source)
                places = [ks.index(k) + shift for k in found["k"]]
                panel.plot(places, found["sd"], color=color, marker=marker, **style.MEASURED)
    style.label_outer(axes, MERGED_K, "standard deviation (nats/token)")
    return style.finish(
        figure,
        title,
        [style.entry(size, size_look(study, size).color, linewidth=5) for size in sizes],
        [
            style.entry(label, marker=marker, **style.MEASURED)
            for source, (label, marker) in SOURCES.items()
            if source in frame["source"].to_list()
        ],
    )


def _name_ks(panel: Axes, ks: Sequence[int]) -> None:
    """Give every k the same room, and the losses a log scale."""
    panel.set_yscale("log")
    panel.set_xticks(range(len(ks)), [str(k) for k in ks])
    panel.set_xlim(-0.5, len(ks) - 0.5)
    panel.grid(visible=False, axis="x")
