"""Figures of the experts' task vectors: how alike they are, what each method keeps of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mergelaw.config import Study
from mergelaw.report import style
from mergelaw.report.captions.figure import MERGED_TENSORS, TASK_VECTORS
from mergelaw.report.colors import GRID, MUTED, size_look
from mergelaw.report.inputs import Tables, cosines, experts_at, present, rows, whole_model
from mergelaw.report.maps import color_bar, draw_map, text_size
from mergelaw.report.registry import FIGURES

SIDE_BY_SIDE = 12
"""Experts up to which two maps stand side by side."""

NARROWEST = 0.1
"""Least range of the colours of cosines: experts that hardly differ look alike."""


def task_vectors(study: Study, tables: Tables) -> Figure:
    """Draw the cosines between experts, a map per size, with their norms on the diagonal."""
    frame = whole_model(tables[TASK_VECTORS])
    sizes = present(study.size_names, frame, "size")
    title = FIGURES["task_vectors"].title
    if not sizes:
        return style.message(title, "No task vectors were measured.")
    experts = present(study.expert_names, frame, "expert")
    maps = [_cosine_matrix(experts_at(frame, size), experts) for size in sizes]
    columns = 2 if len(sizes) > 1 and len(experts) <= SIDE_BY_SIDE else 1
    points = 6.5 if columns == 2 else text_size(len(experts))
    figure, axes = style.panels(len(sizes), 0.4 + 0.24 * len(experts), columns)
    low, high = _range(maps)
    for panel, size, values in zip(axes, sizes, maps, strict=True):
        draw_map(panel, values, experts, experts, points, cmap="crest", vmin=low, vmax=high)
        _write_norms(panel, experts_at(frame, size), experts, points)
        panel.set_title(size, loc="left")
    _name_sides(axes, columns)
    if np.isfinite(maps).any():
        color_bar(figure, axes, "cosine")
    return style.finish(figure, title)


def _name_sides(axes: Sequence[Axes], columns: int) -> None:
    """Name experts at the left and below the last row only: a map's columns are as its rows."""
    for index, panel in enumerate(axes):
        if index % columns:
            panel.set_yticklabels([])
        else:
            panel.set_ylabel("expert")
        if index // columns < (len(axes) - 1) // columns:
            panel.set_xticklabels([])
        else:
            panel.set_xlabel("expert")


def _cosine_matrix(frame: pl.DataFrame, experts: list[str]) -> np.ndarray:
    """Return the cosines of one size, with an empty diagonal and NaN where none is defined."""
    cells = cosines(frame)
    values = [[cells.get((one, other)) for other in experts] for one in experts]
    return np.array(values, dtype=float)


def _range(maps: list[np.ndarray]) -> tuple[float, float]:
    """Return the lowest and highest cosine of all maps, which share one scale of colours."""
    known = np.concatenate([values[np.isfinite(values)] for values in maps])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return low, max(high, low + NARROWEST)


def _write_norms(panel: Axes, frame: pl.DataFrame, experts: list[str], size: float) -> None:
    """Write the norm of each task vector into the diagonal's empty cells."""
    for expert, norm in frame.select("expert", "norm").iter_rows():
        place = experts.index(expert) + 0.5
        panel.text(
            place,
            place,
            _three_digits(norm),
            ha="center",
            va="center",
            size=size,
            weight="bold",
            in_layout=False,
        )


def _three_digits(value: float) -> str:
    """Return a number with three significant digits: 4.70, 123."""
    return f"{value:#.3g}".removesuffix(".")


class Quantity(NamedTuple):
    """What one panel draws: a column of a table, and its value where a merge changes nothing.

    Attributes
    ----------
    table, column
        Where it stands.
    title, label
        What it is.
    unchanged
        Its value where nothing is changed and all experts agree.
    is_share
        Whether it is written in percent.
    """

    table: str
    column: str
    title: str
    label: str
    unchanged: float
    is_share: bool


QUANTITIES = (
    Quantity(TASK_VECTORS, "density", "entries kept", "of each task vector", 1, True),
    Quantity(
        TASK_VECTORS, "squared_norm_kept", "squared norm", "over that of the task vector", 1, False
    ),
    Quantity(MERGED_TENSORS, "sign_agreement", "sign agreement", "of what is kept", 1, True),
    Quantity(
        MERGED_TENSORS, "norm_over_mean", "merged norm", "over that of the plain mean", 1, False
    ),
    Quantity(
        MERGED_TENSORS, "cosine_with_mean", "merged direction", "cosine with the mean", 1, False
    ),
    Quantity(MERGED_TENSORS, "rounding_loss", "rounding loss", "of the merged norm", 0, True),
)


def merged_task_vectors(study: Study, tables: Tables) -> Figure:
    """Draw what each method keeps of the pool's task vectors: a panel per quantity."""
    frames = {file: whole_model(tables[file]) for file in (TASK_VECTORS, MERGED_TENSORS)}
    merged = frames[MERGED_TENSORS]
    methods = present(study.method_labels, merged, "method")
    sizes = present(study.size_names, merged, "size")
    title = FIGURES["merged_task_vectors"].title
    if not methods:
        return style.message(title, "No method merged the whole pool.")
    height = 0.75 + len(methods) * max(0.26, 0.09 * len(sizes))
    figure, axes = style.panels(len(QUANTITIES), height, columns=3, share_y=True)
    for panel, quantity in zip(axes, QUANTITIES, strict=True):
        _method_axis(panel, methods)
        _draw_quantity(panel, study, frames[quantity.table], quantity, methods, sizes)
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes],
        (style.entry("nothing changed, all experts agree", **style.FLOOR),),
    )


def _method_axis(panel: Axes, methods: list[str]) -> None:
    """Make y the methods, from the top, with lines between them."""
    panel.set_yticks(range(len(methods)), methods)
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    for edge in range(1, len(methods)):
        panel.axhline(edge - 0.5, color=GRID.light, linewidth=0.6, zorder=0)


def _draw_quantity(
    panel: Axes,
    study: Study,
    frame: pl.DataFrame,
    quantity: Quantity,
    methods: list[str],
    sizes: list[str],
) -> None:
    panel.set_title(quantity.title, loc="left")
    panel.set_xlabel(quantity.label)
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if quantity.is_share:
        panel.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    panel.axvline(quantity.unchanged, color=MUTED.light, zorder=1, **style.FLOOR)
    known = frame.drop_nulls(quantity.column).sort("method", "size", quantity.column)
    for place, size in enumerate(sizes):
        shift = (place - (len(sizes) - 1) / 2) * 0.7 / len(sizes)
        part, look = rows(known, size=size), size_look(study, size)
        panel.plot(
            part[quantity.column],
            [methods.index(method) + shift for method in part["method"]],
            color=look.color,
            marker=look.marker,
            markersize=4,
            zorder=3,
            **style.MEASURED,
        )
    _set_limits(panel, [quantity.unchanged, *known[quantity.column]])


def _set_limits(panel: Axes, values: list[float]) -> None:
    """Show all values with a margin; of values that hardly differ, a range of 0.05."""
    low, high = min(values), max(*values, min(values) + 0.05)
    margin = 0.06 * (high - low)
    panel.set_xlim(low - margin, high + margin)
