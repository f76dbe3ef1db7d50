"""Figures of the experts' trainings: their losses as they went, and what more tokens bring."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mergelaw.config import Study
from mergelaw.design import MULTITASK
from mergelaw.laws.forms import post_training as law
from mergelaw.laws.rows import BILLION
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import POST_TRAINING, POST_TRAINING_FITS, TRAINING_CURVES
from mergelaw.report import style
from mergelaw.report.colors import INK, size_look
from mergelaw.report.curves import LOSS, size_entries
from mergelaw.report.inputs import Tables, n_by_size, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.words import count, scientific

ONE: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.45}
MEAN: dict[str, Any] = {"linewidth": 2.0, "zorder": 3}
TOGETHER: dict[str, Any] = {"color": INK.light, "linewidth": 1.1, "zorder": 4}
TOKENS, FLOPS = "training tokens (log scale)", "FLOPs of training (log scale)"


def training_curves(study: Study, tables: Tables) -> Figure:
    """Draw the training losses against the share that is done, a panel per size."""
    frame = tables[TRAINING_CURVES.file]
    sizes = present(study.ladder, frame, "size")
    title = FIGURES["training_curves"].title
    if not sizes:
        return style.message(title, "No training of an expert has a log.")
    figure, axes = style.panels(len(sizes), 2.4, share_y=True)
    for panel, size in zip(axes, sizes, strict=True):
        panel.set_title(size, loc="left")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        part, color = rows(frame, size=size), size_look(study, size).color
        for expert in present(study.expert_names, part, "expert"):
            _draw_training(panel, rows(part, expert=expert), color=color, **ONE)
        _draw_training(panel, rows(part, expert=None), color=color, **MEAN)
        _draw_training(panel, rows(part, expert=MULTITASK), **TOGETHER)
    style.label_outer(axes, "share of the training", f"training {LOSS}")
    kinds = [style.entry("an expert", **ONE), style.entry("mean of the experts", **MEAN)]
    kinds += [style.entry("multitask baseline", **TOGETHER)] * (MULTITASK in set(frame["expert"]))
    return style.finish(figure, title, kinds=kinds)


def _draw_training(panel: Axes, curve: pl.DataFrame, **look: Any) -> None:
    panel.plot(curve["share"], curve["loss"], **look)


def post_training(study: Study, tables: Tables) -> Figure:
    """Draw the mean loss on the own domains against tokens and against FLOPs."""
    frame = rows(tables[POST_TRAINING.file], domain=MACRO)
    title = FIGURES["post_training"].title
    if frame.is_empty():
        return style.message(title, "The experts of no size were kept equally often.")
    fits = rows(tables[POST_TRAINING_FITS.file], domain=MACRO).drop_nulls("value")
    values = dict(fits.select("parameter", "value").iter_rows())
    n_params = n_by_size(frame)
    figure, axes = style.panels(2, 3.0, columns=2, share_y=True)
    for panel, (column, label) in zip(
        axes, (("training_tokens", TOKENS), ("training_flops", FLOPS)), strict=True
    ):
        _amount_axis(panel, column)
        panel.set_xlabel(label)
        for size in n_params:
            curve = rows(frame, size=size).sort("point")
            _draw_kept(panel, study, curve, column)
            _draw_law(panel, study, curve, column, values)
    axes[0].set_ylabel(f"mean {LOSS}")
    line = [style.entry("fitted law", **style.JOINT)] if values else []
    return style.finish(figure, title, size_entries(study, n_params), [*KEPT, *line])


def post_training_domains(study: Study, tables: Tables) -> Figure:
    """Draw the loss of each expert against its training tokens, a panel per expert."""
    frame = tables[POST_TRAINING.file]
    experts = present(study.expert_names, frame, "expert")
    title = FIGURES["post_training_domains"].title
    if not experts:
        return style.message(title, "No expert was trained here.")
    n_params = n_by_size(frame)
    figure, axes = style.panels(len(experts), 1.8 if len(experts) > 4 else 2.5)
    for panel, expert in zip(axes, experts, strict=True):
        panel.set_title(expert, loc="left")
        _amount_axis(panel, "training_tokens")
        for size in n_params:
            curve = rows(frame, size=size, expert=expert).sort("point")
            _draw_kept(panel, study, curve, "training_tokens")
    style.label_outer(axes, TOKENS, LOSS)
    return style.finish(figure, title, size_entries(study, n_params), KEPT)


KEPT: Sequence[Any] = (
    style.entry("snapshot or expert, ± token standard error", marker="o", linewidth=0.8),
    style.entry("the base", **style.FLOOR),
)


def _amount_axis(panel: Axes, column: str) -> None:
    """Make x logarithmic: tokens as they are spoken, FLOPs with a power of ten."""
    panel.set_xscale("log")
    of_tokens = column == "training_tokens"
    subs = (1, 2, 5) if of_tokens else (1, 3)  # powers of ten need more room
    panel.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    panel.xaxis.set_minor_locator(NullLocator())
    show = count if of_tokens else scientific
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show(value)))


def _draw_kept(panel: Axes, study: Study, curve: pl.DataFrame, column: str) -> None:
    """Draw one curve: points with their errors, and the base as a line, which has no tokens."""
    color, marker = size_look(study, curve["size"][0]) if curve.height else ("", "")
    points = curve.filter(pl.col("point") > 0)
    panel.plot(points[column], points["loss"], color=color, marker=marker, linewidth=0.8, zorder=3)
    known = points.drop_nulls("token_se")
    panel.errorbar(
        known[column],
        known["loss"],
        known["token_se"],
        fmt="none",
        ecolor=color,
        elinewidth=0.9,
        capsize=1.8,
        alpha=0.7,
    )
    for loss in curve.filter(pl.col("point") == 0)["loss"]:
        panel.axhline(loss, color=color, **style.FLOOR)


def _draw_law(
    panel: Axes, study: Study, curve: pl.DataFrame, column: str, values: Mapping[str, float]
) -> None:
    """Draw the fitted law at the size of a curve, over its tokens."""
    trained = curve.filter(pl.col("point") > 0)
    if not values or trained.is_empty():
        return
    tokens = np.geomspace(trained["training_tokens"][0], trained["training_tokens"][-1], 40)
    per_token = trained[column][-1] / trained["training_tokens"][-1]
    loss = law(trained["n_params_billions"][0], tokens / BILLION, **values)
    color = size_look(study, curve["size"][0]).color
    panel.plot(tokens * per_token, loss, color=color, **style.JOINT)
