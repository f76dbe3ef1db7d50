"""The figure of training settings: loss of the pool, floor and tail against training tokens."""

from itertools import product
from typing import Any, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.capacity import CAPACITY
from mergelaw.laws.training_settings import same_but_longer
from mergelaw.report import style
from mergelaw.report.colors import GRID, INK, method_look
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import count

QUANTITIES = ("loss_pool", "floor", "tail")
LONGER: dict[str, Any] = {"linewidth": 1.1}
RING: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "alpha": 0.8}
ASIDE = 1.7
"""Factor in tokens from one place to the next beyond the largest, where other settings stand."""


class Places(NamedTuple):
    """Where settings stand on a panel's x, by name of the size."""

    longer: dict[str, float]  # training tokens
    others: dict[str, float]  # beyond these, side by side


def capacity(study: Study, tables: Tables) -> Figure:
    """Draw L(M), floor and tail of every setting: a row of panels each, a column per base."""
    frame = rows(tables[CAPACITY.file], domain=MACRO)
    frame = frame.filter(pl.col("identified").fill_null(value=True))
    bases = present(study.ladder, frame, "base_size")
    title = FIGURES["capacity"].title
    if not bases:
        return style.message(title, "The experts were trained in one way.")
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.panels(len(QUANTITIES) * len(bases), 1.75, columns=len(bases))
    names = {"loss_pool": f"L({len(study.experts)})", "floor": "floor", "tail": "tail"}
    for panel, (quantity, base) in zip(axes, product(QUANTITIES, bases), strict=True):
        part = rows(frame, base_size=base)
        places = _places(study, part, base)
        panel.set_title(f"{names[quantity]}, {base}", loc="left")
        _setting_axis(panel, study, places)
        for method in methods:
            points = rows(part, quantity=quantity, method=method)
            _draw_settings(panel, points, places, *method_look(study, method))
    style.label_outer(
        axes, "training tokens of an expert (log scale); other settings", "nats/token"
    )
    return style.finish(
        figure,
        title,
        [style.series(method, method_look(study, method)) for method in methods],
        (
            style.entry("differ in length alone", marker="o", **LONGER),
            style.entry("LoRA, another rate or batch", marker="o", **style.UNUSED),
            style.entry("the reference", color=INK.light, linestyle="none", **RING),
        ),
    )


def _places(study: Study, part: pl.DataFrame, base: str) -> Places:
    tokens = dict(part.select("size", "training_tokens").unique().iter_rows())
    alone = [size for size in same_but_longer(study, base) if size in tokens]
    beside = [size.name for size in study.sizes if size.name in tokens.keys() - set(alone)]
    last = max(tokens[size] for size in alone)
    return Places(
        {size: tokens[size] for size in alone},
        {size: last * ASIDE ** (place + 1.5) for place, size in enumerate(beside)},
    )


def _setting_axis(panel: Axes, study: Study, places: Places) -> None:
    """Make x the tokens on a log scale, and the names of other settings beyond them."""
    panel.set_xscale("log")
    ticks = {tokens: count(float(f"{tokens:.2g}")) for tokens in places.longer.values()}
    ticks |= {place: study.size(size).setting for size, place in places.others.items()}
    panel.xaxis.set_major_locator(FixedLocator(list(ticks)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: ticks.get(x, "")))
    if places.others:
        edge = max(places.longer.values()) * ASIDE**0.75
        panel.axvline(edge, color=GRID.light, linewidth=1.2)


def _draw_settings(
    panel: Axes, points: pl.DataFrame, places: Places, color: str, marker: str
) -> None:
    look: dict[str, Any] = {"color": color, "marker": marker, "zorder": 3}
    for at, kind in ((places.longer, LONGER), (places.others, style.UNUSED)):
        x = pl.col("size").replace_strict(at, default=None, return_dtype=pl.Float64)
        mine = points.with_columns(x=x).drop_nulls("x").sort("x")
        panel.plot(mine["x"], mine["value"], **kind, **look)
        reference = mine.filter(pl.col("setting").is_null())
        ring = RING | {"linestyle": "none", "zorder": 4, "color": INK.light}
        panel.plot(reference["x"], reference["value"], **ring)
        known = mine.drop_nulls(["stderr", "identified"])  # a loss's error is common to settings
        bars: dict[str, Any] = {"fmt": "none", "ecolor": color, "elinewidth": 0.9, "capsize": 1.8}
        panel.errorbar(known["x"], known["value"], known["stderr"], **bars)
