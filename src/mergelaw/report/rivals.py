"""Figures of rival forms, and of the R² that curves without a law have."""

from collections.abc import Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import NULL_R2, RIVALS
from mergelaw.report import style
from mergelaw.report.cases import name_rows
from mergelaw.report.colors import GRID, MUTED, method_look, size_look
from mergelaw.report.doubt_words import INDISTINCT, law_words
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES

WIDE = 300
"""Ratio of the ends of a log scale from which only the powers of ten have a tick."""

SPREAD = 0.62
"""Share of a row's height over which its series are spread."""


def rivals(study: Study, tables: Tables) -> Figure:
    """Draw delta AICc and held-out error of every form, a row per form."""
    frame = rows(tables[RIVALS.file], domain=MACRO)
    laws = list(frame.select("over", "law").unique(maintain_order=True).sort("over").rows())
    title = FIGURES["rivals"].title
    if not laws:
        return style.message(title, "No curve of the macro loss was fitted by any form.")
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.panels(2, 0.5 + 0.36 * len(laws), columns=2)
    for panel in axes:
        name_rows(panel, [law_words(law) for _, law in laws])
        _part(panel, [over for over, _ in laws])
    axes[1].set_yticklabels([])
    axes[0].axvspan(0, INDISTINCT, color=GRID.light, alpha=0.6, zorder=0, linewidth=0)
    columns = ("delta_aicc", "heldout_error")
    for panel, column in zip(axes, columns, strict=True):
        _draw_forms(panel, study, frame.drop_nulls(column), column, laws, methods)
    _delta_axis(axes[0])
    _error_axis(axes[1])
    series = [
        style.series(method, method_look(study, method), **style.MEASURED) for method in methods
    ]
    return style.finish(figure, title, series, ())


def _part(panel: Axes, overs: Sequence[str]) -> None:
    """Part the forms of k from those of size and k."""
    for index in range(1, len(overs)):
        if overs[index] != overs[index - 1]:
            panel.axhline(index - 0.5, color=MUTED.light, linewidth=0.8, zorder=0)


def _draw_forms(
    panel: Axes,
    study: Study,
    frame: pl.DataFrame,
    column: str,
    laws: Sequence[tuple[str, str]],
    methods: Sequence[str],
) -> None:
    for index, (over, law) in enumerate(laws):
        for place, method in enumerate(methods):
            shift = SPREAD * (place - (len(methods) - 1) / 2) / len(methods)
            values = rows(frame, over=over, law=law, method=method)[column].to_list()
            look = method_look(study, method)
            panel.plot(
                values,
                [index + shift] * len(values),
                color=look.color,
                marker=look.marker,
                markersize=3.6,
                zorder=3,
                **style.MEASURED,
            )


def _delta_axis(panel: Axes) -> None:
    panel.set_xscale("symlog", linthresh=INDISTINCT, linscale=0.6)
    panel.xaxis.set_major_locator(FixedLocator([0, 2, 10, 30, 100, 300, 1000]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.set_xlim(left=-0.4)
    panel.set_xlabel("AICc less the lowest (log scale above 2)")


def _error_axis(panel: Axes) -> None:
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3) if high < WIDE * low else (1,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("largest held-out error (log scale)")


NULLS = {"falling": "any falling curve", "falling_convex": "falling, drops shrink with k"}


def null_r2(study: Study, tables: Tables) -> Figure:
    """Draw what the law leaves unexplained on measured and on drawn curves, a row per method."""
    frame = rows(tables[NULL_R2.file], domain=MACRO)
    nulls = [name for name in NULLS if name in frame["null"].to_list()]
    title = FIGURES["null_r2"].title
    if not nulls:
        return style.message(title, "No fit of one size to the macro loss has an R².")
    methods = present(study.method_labels, frame, "method")
    sizes = present(study.size_names, frame, "size")
    height = 0.5 + len(methods) * max(0.3, 0.1 * len(sizes))
    figure, axes = style.panels(len(nulls), height, columns=len(nulls))
    for panel, null in zip(axes, nulls, strict=True):
        panel.set_title(NULLS[null], loc="left")
        name_rows(panel, methods)
        panel.set_xscale("log")
        part = rows(frame, null=null)
        for place, size in enumerate(sizes):
            shift = SPREAD * (place - (len(sizes) - 1) / 2) / len(sizes)
            _draw_nulls(panel, study, rows(part, size=size), methods, shift)
    for panel in axes[1:]:
        panel.set_yticklabels([])
    style.label_outer(axes, "share left unexplained, 1 − R² (log scale)", "")
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        (
            style.entry("measured", marker="o", **style.MEASURED),
            style.entry("drawn curves: middle 90%", linewidth=3, alpha=0.45),
            style.entry("their median", marker="|", **style.MEASURED),
        ),
    )


def _draw_nulls(
    panel: Axes, study: Study, frame: pl.DataFrame, methods: Sequence[str], shift: float
) -> None:
    for row in frame.to_dicts():
        place = [methods.index(row["method"]) + shift]
        look = size_look(study, row["size"])
        ends = [1 - row["null_q95"], 1 - row["null_q05"]]
        panel.plot(
            ends, place * 2, color=MUTED.light, linewidth=3, alpha=0.45, solid_capstyle="butt"
        )
        panel.plot([1 - row["null_median"]], place, "|", color=MUTED.light, markersize=6)
        if row["r2"] is not None and row["r2"] < 1:
            panel.plot(
                [1 - row["r2"]],
                place,
                color=look.color,
                marker=look.marker,
                markersize=4,
                zorder=3,
            )
