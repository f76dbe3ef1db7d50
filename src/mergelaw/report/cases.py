"""A row per method and size: the axis that figures of many fits share."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mergelaw.config import Study
from mergelaw.report import style
from mergelaw.report.colors import GRID, MUTED

ROW = 0.24
"""Height of a row in inches."""


class Case(NamedTuple):
    """One row: a method at one size."""

    method: str
    size: str


def cases_of(study: Study, frame: pl.DataFrame) -> list[Case]:
    """Return the methods and sizes of a table in the study's order."""
    known = set(frame.select("method", "size").iter_rows())
    every = [Case(method, size) for method in study.method_labels for size in study.size_names]
    return [case for case in every if case in known]


def case_panels(cases: Sequence[Case], titles: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with a panel per title, which share the rows `cases`, first at the top."""
    figure, axes = style.panels(len(titles), 0.5 + ROW * len(cases), columns=len(titles))
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title, loc="left")
        name_rows(panel, [f"{case.method}, {case.size}" for case in cases])
        _part_methods(panel, cases)
        if panel is not axes[0]:
            panel.set_yticklabels([])
    return figure, axes


def name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Make y rows with names, the first at the top."""
    panel.set_yticks(range(len(names)), list(names))
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")


def _part_methods(panel: Axes, cases: Sequence[Case]) -> None:
    """Draw a line between the rows of two methods."""
    for index in range(1, len(cases)):
        if cases[index].method != cases[index - 1].method:
            panel.axhline(index - 0.5, color=GRID.light, linewidth=0.8, zorder=0)


def zero_line(panel: Axes) -> None:
    """Mark 0, from which a panel's values are measured, and keep the ticks few."""
    panel.axvline(0, color=MUTED.light, linewidth=0.9, zorder=1)
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
