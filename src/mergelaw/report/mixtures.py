"""Figures of which subsets: from how many blocks, and how well few of them stand for all."""

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import DESIGNS, MIXING
from mergelaw.report import style
from mergelaw.report.colors import MUTED, method_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.subset_words import DESIGN_NAMES

DASHES: tuple[Any, ...] = ((0, (1, 1.5)), (0, (4, 2)), "-", (0, (6, 2, 1, 2)))
"""Lines of one, two, three and more blocks."""


def mixing(study: Study, tables: Tables) -> Figure:
    """Draw the loss by number of blocks less the mean of k at the largest size, by method."""
    frame = rows(tables[MIXING.file], domain=MACRO).drop_nulls("against_k")
    sizes = present(study.size_names, frame, "size")
    title = FIGURES["mixing"].title
    if not sizes:
        return style.message(title, "No subset's experts all belong to a block.")
    frame = rows(frame, size=sizes[-1])
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.k_panels(methods, 2.4, share_y=True)
    counts = sorted(set(frame["n_blocks"].to_list()))
    for panel, method in zip(axes, methods, strict=True):
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
        color = method_look(study, method).color
        for count in counts:
            curve = rows(frame, method=method, n_blocks=count)
            panel.plot(curve["k"], curve["against_k"], color=color, **_block_look(count))
    style.label_outer(axes, MERGED_K, "less the mean of k (nats/token)")
    kinds = [
        style.entry(f"{count} block{'' if count == 1 else 's'}", **_block_look(count))
        for count in counts
    ]
    return style.finish(figure, f"{title} ({sizes[-1]})", (), kinds)


def _block_look(count: int) -> dict[str, Any]:
    dashes = DASHES[min(count, len(DASHES)) - 1]
    return {
        "linestyle": dashes,
        "linewidth": 0.8,
        "marker": f"${count}$",
        "markersize": 6,
        "markeredgewidth": 0.5,
    }


DESIGN_LOOKS: dict[str, dict[str, Any]] = {
    "uniform": {"linestyle": (0, (1, 1.5)), "marker": "o"},
    "max_min_hamming": {"linestyle": "-", "marker": "s", "markerfacecolor": "none"},
    "cyclic": {"linestyle": (0, (4, 2)), "marker": "^"},
    "two_design": {"linestyle": (0, (6, 2, 1, 2)), "marker": "D"},
}


def designs(study: Study, tables: Tables) -> Figure:
    """Draw the relative error of every design against k at the largest size, by method."""
    frame = tables[DESIGNS.file].filter(pl.col("relative_rmse") > 0)
    sizes = present(study.size_names, frame, "size")
    title = FIGURES["designs"].title
    if not sizes:
        return style.message(title, "No design has fewer subsets than the pool.")
    frame = rows(frame, size=sizes[-1])
    methods = present(study.method_labels, frame, "method")
    names = present(DESIGN_LOOKS, frame, "design")
    figure, axes = style.k_panels(methods, 2.6, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        _percent_log(panel)
        for name in names:
            curve = rows(frame, method=method, design=name)
            panel.plot(
                curve["k"],
                curve["relative_rmse"],
                color=method_look(study, method).color,
                linewidth=0.9,
                markersize=4,
                **DESIGN_LOOKS[name],
            )
    style.label_outer(axes, MERGED_K, "error of the mean loss (log scale)")
    kinds = [
        style.entry(DESIGN_NAMES[name], linewidth=0.9, markersize=4, **DESIGN_LOOKS[name])
        for name in names
    ]
    return style.finish(figure, f"{title} ({sizes[-1]})", (), kinds)


def _percent_log(panel: Axes) -> None:
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
