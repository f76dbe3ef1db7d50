"""The figure of a balanced design against all subsets."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import BALANCED
from mergelaw.report import style
from mergelaw.report.balanced_words import with_error
from mergelaw.report.colors import MUTED, method_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES


def balanced(study: Study, tables: Tables) -> Figure:
    """Draw the design's macro curve less the exhaustive one at the largest size, by method."""
    frame = with_error(rows(tables[BALANCED.file], domain=MACRO))
    sizes, title = present(study.size_names, frame, "size"), FIGURES["balanced"].title
    if not sizes:
        return style.message(title, "No size has all subsets to compare with.")
    frame = rows(frame, size=sizes[-1])
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.k_panels(methods, 2.4, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        _draw(panel, rows(frame, method=method), method_look(study, method).color)
    style.label_outer(axes, MERGED_K, "against all subsets")
    kinds = [
        style.entry("k of the design", linestyle="none", marker="o", markersize=4),
        style.entry(
            "k between", linestyle="none", marker="o", markersize=4, markerfacecolor="none"
        ),
    ]
    return style.finish(figure, f"{title} ({sizes[-1]})", (), kinds)


def _draw(panel: Axes, curve: pl.DataFrame, color: str) -> None:
    """Draw a curve's intervals, and its points: filled where the design has their k."""
    known = curve.drop_nulls("low")
    low, high = (known[name] / known["loss"] - 1 for name in ("low", "high"))
    panel.vlines(known["k"], low, high, color=color, linewidth=1.1, zorder=2)
    for part, face in (
        (curve.filter(pl.col("n_subsets") > 0), color),
        (curve.filter(pl.col("n_subsets") == 0), "white"),
    ):
        panel.plot(
            part["k"],
            part["error"],
            color=color,
            marker="o",
            markersize=4,
            markerfacecolor=face,
            linestyle="none",
            zorder=3,
        )
