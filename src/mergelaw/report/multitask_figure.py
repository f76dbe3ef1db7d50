"""The figure of multitask training against merging: shares of the specialists' gains."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import MULTITASK
from mergelaw.report import style
from mergelaw.report.cases import name_rows
from mergelaw.report.colors import GRID, INK, MUTED, Look, method_look
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES

ROW = 0.32
"""Height of a domain in inches."""

SPREAD = 0.7
"""Part of a row that its marks take."""

Model = tuple[str, str | None, Look]
"""Kind and method of a row of the table, and how it is drawn."""


def multitask(study: Study, tables: Tables) -> Figure:
    """Draw the scores of the baseline and of merges: a panel per size, a row per domain."""
    frame = tables[MULTITASK.file].drop_nulls("score")
    sizes = present(study.ladder, frame, "size")
    title = FIGURES["multitask"].title
    if not sizes:
        return style.message(title, "No specialist is better than the base by a certain amount.")
    domains = present([MACRO, *study.domain_names], tables[MULTITASK.file], "domain")
    models = _models(study, frame)
    columns = min(len(sizes), 2)
    figure, axes = style.panels(len(sizes), 0.6 + ROW * len(domains), columns)
    for index, (panel, size) in enumerate(zip(axes, sizes, strict=True)):
        panel.set_title(size, loc="left")
        _domain_axis(panel, domains)
        if index % columns:
            panel.set_yticklabels([])
        for place, model in enumerate(models):
            shift = SPREAD * (place - (len(models) - 1) / 2) / len(models)
            _draw_scores(panel, rows(frame, size=size), model, domains, shift)
    style.label_outer(axes, "share of the specialist's gain", "")
    ends = (style.entry("the base (0) and the specialist (1)", **style.FLOOR),)
    return style.finish(figure, title, [_entry(model) for model in models], ends)


def _models(study: Study, frame: pl.DataFrame) -> list[Model]:
    """Return the baseline and the methods that merge its experts."""
    methods = present(study.method_labels, frame, "method")
    merges: list[Model] = [("merge", method, method_look(study, method)) for method in methods]
    return [("multitask", None, Look(INK.light, "*")), *merges]


def _entry(model: Model) -> Line2D:
    kind, method, look = model
    return style.series(method or f"{kind} baseline", look, **_size(look), **style.MEASURED)


def _size(look: Look) -> dict[str, Any]:
    """Return a size at which a star looks as large as other markers."""
    return {"markersize": 7 if look.marker == "*" else 4}


def _domain_axis(panel: Axes, domains: Sequence[str]) -> None:
    """Make y the domains with macro set apart, and mark what scores are measured between."""
    name_rows(panel, domains)
    for edge in range(1, len(domains)):
        first = domains[edge - 1] == MACRO
        color, width = (MUTED.light, 0.8) if first else (GRID.light, 0.6)
        panel.axhline(edge - 0.5, color=color, linewidth=width, zorder=0)
    for end in (0, 1):
        panel.axvline(end, color=MUTED.light, zorder=1, **style.FLOOR)
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _draw_scores(
    panel: Axes, frame: pl.DataFrame, model: Model, domains: Sequence[str], shift: float
) -> None:
    kind, method, look = model
    found = rows(frame, kind=kind, method=method)
    panel.errorbar(
        found["score"],
        [domains.index(domain) + shift for domain in found["domain"]],
        xerr=found["score_se"].fill_null(0.0),
        color=look.color,
        marker=look.marker,
        elinewidth=0.9,
        zorder=3,
        **_size(look),
        **style.MEASURED,
    )
