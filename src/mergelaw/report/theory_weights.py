"""Figures of the best weights: what each way gains and costs, what overfits, the weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.report import style
from mergelaw.report.captions.figure import WEIGHTS
from mergelaw.report.cases import ROW, name_rows, zero_line
from mergelaw.report.colors import METHODS, MUTED, PAPER
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.maps import color_bar, draw_map
from mergelaw.report.registry import FIGURES
from mergelaw.report.theory_choice import (
    FULL_AVERAGE,
    NEWTON,
    WAYS,
    searched,
    way_of,
    way_words,
)

NOTHING = "No weights were searched for."
NEWTON_COLOR, OTHER_COLOR = METHODS[1].light, METHODS[0].light
Row = tuple[str, pl.DataFrame, str]
"""A row of a panel: its label, the rows of its size and objective, and its way."""


def theory_weights(study: Study, tables: Tables) -> Figure:
    """Draw what each way gains over the full average, for the first objective, a panel a size."""
    frame, title = tables[WEIGHTS], FIGURES["theory_weights"].title
    objectives = searched(study, frame)
    if not objectives:
        return style.message(title, NOTHING)
    frame = rows(frame, objective=objectives[0])
    ways = [*present(WAYS, frame, "way")]
    ways += sorted(set(frame["way"].to_list()) - set(ways))
    panels = {
        size: [(way_words(way), rows(frame, size=size), way) for way in ways]
        for size in present(study.size_names, frame, "size")
    }
    return _gains(panels, f"{title} ({objectives[0]})")


def theory_objectives(study: Study, tables: Tables) -> Figure:
    """Draw what Newton's way gains for each objective, a panel per size."""
    frame, title = tables[WEIGHTS], FIGURES["theory_objectives"].title
    objectives = searched(study, rows(frame, way=NEWTON))
    if not objectives:
        return style.message(title, NOTHING)
    panels = {
        size: [(label, rows(frame, size=size, objective=label), NEWTON) for label in objectives]
        for size in present(study.size_names, frame, "size")
    }
    return _gains(panels, title)


def _gains(panels: dict[str, list[Row]], title: str) -> Figure:
    """Draw rows of differences from the full average, a panel per size."""
    longest = max(map(len, panels.values()))
    figure, axes = style.panels(len(panels), 0.55 + ROW * longest, columns=min(2, len(panels)))
    for panel, (size, found) in zip(axes, panels.items(), strict=True):
        panel.set_title(size, loc="left")
        name_rows(panel, [label for label, _, _ in found])
        zero_line(panel)
        panel.set_title("forwards", loc="right", fontsize=8, color=MUTED.light, weight="normal")
        for place, (_, part, way) in enumerate(found):
            _draw_gain(panel, place, part, way)
        panel.margins(x=0.12)
    for panel in axes[1 :: min(2, len(panels))] if len(panels) > 1 else []:
        panel.set_yticklabels([])
    style.label_outer(axes, "loss less the full average's (nats/token)", "")
    marks = (
        style.entry("other text, ± standard error", marker="o", **style.MEASURED),
        style.entry("text that weights were chosen on", marker="o", **style.UNUSED),
    )
    return style.finish(figure, title, (), marks)


def _draw_gain(panel: Axes, place: int, part: pl.DataFrame, way: str) -> None:
    """Draw one way's differences from the full average, and its cost at the right."""
    row, reference = way_of(part, way), way_of(part, FULL_AVERAGE)
    if not row or not reference:
        return
    color = NEWTON_COLOR if way == NEWTON else OTHER_COLOR
    other, chosen = (row[name] - reference[name] for name in ("heldout", "calibration"))
    if row["heldout_stderr"] is not None:
        panel.errorbar(
            other, place, xerr=row["heldout_stderr"], fmt="none", ecolor=color, elinewidth=0.9
        )
    face: dict[str, Any] = {"markerfacecolor": PAPER.light, "linestyle": "none"}
    panel.plot(chosen, place, color=color, marker="o", zorder=2, **face)
    panel.plot(other, place, color=color, marker="o", zorder=3, **style.MEASURED)
    if row["forwards"] is not None:
        panel.annotate(
            f"{row['forwards']:.0f}",
            (1.0, place),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="center",
            fontsize=8,
            color=MUTED.light,
        )


class _Map:
    """One map of weights: title, names of its rows, and a matrix of rows by experts."""

    def __init__(self, title: str, names: Sequence[str], values: np.ndarray) -> None:
        self.title, self.names, self.values = title, list(names), values


def theory_weights_found(study: Study, tables: Tables) -> Figure:
    """Draw the weights of Newton's way, a map per objective."""
    frame, title = rows(tables[WEIGHTS], way=NEWTON), FIGURES["theory_weights_found"].title
    maps = [_map(study, label, rows(frame, objective=label)) for label in searched(study, frame)]
    if not maps:
        return style.message(title, NOTHING)
    experts = list(study.expert_names)
    heights = [len(found.names) + 1.6 for found in maps]
    figure = Figure(figsize=(style.WIDTH, 1.6 + 0.27 * sum(heights)), layout="constrained")
    axes = list(figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights).flat)
    equal = 1 / len(experts)
    far = max(float(np.nanmax(np.abs(found.values - equal))) for found in maps) or 1e-9
    options: dict[str, Any] = {"center": equal, "vmin": equal - far, "vmax": equal + far}
    for panel, found in zip(axes, maps, strict=True):
        draw_map(panel, found.values, found.names, experts, cmap="RdBu", **options)
        for text in panel.texts:
            text.set_text(text.get_text().replace("-", "−"))
        panel.set_title(found.title, loc="left")
        if panel is not axes[-1]:
            panel.set_xticklabels([])
    style.label_outer(axes, "expert", "")
    color_bar(figure, axes, "weight")
    return style.finish(figure, title)


def _map(study: Study, label: str, frame: pl.DataFrame) -> _Map:
    """Return an objective's weights: a row per size, or per group of layers at the largest."""
    sizes = present(study.size_names, frame, "size")
    found = {row["size"]: row for row in frame.to_dicts()}
    if all(len(row["groups"]) == 1 for row in found.values()):
        weights = [_by_expert(study, found[size])[0] for size in sizes]
        return _Map(label, sizes, np.array(weights))
    last = found[sizes[-1]]
    return _Map(f"{label}, {sizes[-1]}", last["groups"], _by_expert(study, last))


def _by_expert(study: Study, row: dict[str, Any]) -> np.ndarray:
    """Return weights by group and expert of the pool, in the config's order."""
    values = np.full((len(row["groups"]), len(study.experts)), np.nan)
    places = [study.expert_names.index(name) for name in row["experts"]]
    values[:, places] = np.reshape(row["weights"], (len(row["groups"]), -1))
    return values
