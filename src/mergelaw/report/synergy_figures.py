"""Figures of who helps whom: estimators beside each other, strengths, and blocks of domains."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.laws.schemas.subsets import SYNERGY_BLOCKS, SYNERGY_ESTIMATORS, SYNERGY_STRENGTHS
from mergelaw.report import style
from mergelaw.report.cases import name_rows, zero_line
from mergelaw.report.colors import MUTED, PAPER, method_look, size_look
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.maps import color_bar, draw_map, matrix
from mergelaw.report.registry import FIGURES
from mergelaw.report.synergy_words import ESTIMATORS, MAIN, beside_main, block_names

LINEAR = 0.05
"""Gain up to which the axes of estimators are linear, in nats per token."""


def synergy_estimators(study: Study, tables: Tables) -> Figure:
    """Draw every other estimator against the balanced one, for the reference method."""
    method = study.reference_label
    frame = rows(tables[SYNERGY_ESTIMATORS.file], method=method).drop_nulls("gain")
    sizes = present(study.size_names, rows(frame, estimator=MAIN), "size")
    title = f"{FIGURES['synergy_estimators'].title} ({method}"
    part = rows(frame, size=sizes[-1]) if sizes else frame.clear()
    others = [name for name in present(ESTIMATORS, part, "estimator") if name != MAIN]
    if not others:
        return style.message(f"{title})", "No two estimators have gains of the same experts.")
    figure, axes = style.panels(len(others), 2.6, share_y=True)
    color, marker = method_look(study, method)
    homes = {(expert.name, expert.domain) for expert in study.experts}
    for panel, estimator in zip(axes, others, strict=True):
        panel.set_title(ESTIMATORS[estimator], loc="left")
        gain_axes(panel)
        pairs = beside_main(part, estimator)
        is_home = [pair in homes for pair in pairs.select("donor", "receiver").iter_rows()]
        for flag, face in ((True, color), (False, PAPER.light)):
            found = pairs.filter(pl.Series(is_home, dtype=pl.Boolean) == flag)
            _draw_pairs(panel, found, {"color": color, "marker": marker, "markerfacecolor": face})
    style.label_outer(axes, f"gain, {ESTIMATORS[MAIN]}", "gain (nats/token)")
    kinds = (
        style.entry("own domain", color, marker=marker, **style.MEASURED),
        style.entry("another domain", color, marker=marker, **style.UNUSED),
        style.entry("both agree", linewidth=0.9),
    )
    return style.finish(figure, f"{title}, {sizes[-1]})", (), kinds)


def gain_axes(panel: Axes) -> None:
    """Make both axes linear near 0 and logarithmic beyond, with the line where they agree."""
    ticks = (-0.5, -0.1, 0.0, 0.1, 0.5)
    for set_scale, set_ticks in (
        (panel.set_xscale, panel.set_xticks),
        (panel.set_yscale, panel.set_yticks),
    ):
        set_scale("symlog", linthresh=LINEAR)
        set_ticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        set_ticks([], minor=True)
    panel.axline((0, 0), (1, 1), color=MUTED.light, linewidth=0.9, zorder=1)


def _draw_pairs(panel: Axes, pairs: pl.DataFrame, look: dict[str, Any]) -> None:
    known = pairs.drop_nulls("stderr")
    panel.errorbar(
        known["main"],
        known["gain"],
        known["stderr"],
        fmt="none",
        ecolor=look["color"],
        elinewidth=0.6,
        alpha=0.5,
    )
    panel.plot(pairs["main"], pairs["gain"], markersize=3.4, zorder=3, **look, **PLAIN)


PLAIN: dict[str, Any] = {"linestyle": "none"}
ROLES = {"donor": "expert gives", "receiver": "domain receives"}


def synergy_strengths(study: Study, tables: Tables) -> Figure:
    """Draw donors and receivers, a row per name and a mark per size, for the reference method."""
    method = study.reference_label
    frame = rows(tables[SYNERGY_STRENGTHS.file], method=method, estimator=MAIN)
    frame = frame.drop_nulls("strength")
    sizes = present(study.size_names, frame, "size")
    title = f"{FIGURES['synergy_strengths'].title} ({method})"
    if not sizes:
        return style.message(title, "No expert's or domain's gains are all known.")
    names = {
        "donor": present(study.expert_names, rows(frame, role="donor"), "name"),
        "receiver": present(study.domain_names, rows(frame, role="receiver"), "name"),
    }
    figure, axes = style.panels(2, 0.5 + 0.24 * max(map(len, names.values())), columns=2)
    for panel, (role, label) in zip(axes, ROLES.items(), strict=True):
        panel.set_title(label, loc="left")
        name_rows(panel, names[role])
        zero_line(panel)
        panel.set_xlabel("sum of gains (nats/token)")
        for size in sizes:
            found, (color, marker) = rows(frame, role=role, size=size), size_look(study, size)
            places = [names[role].index(name) for name in found["name"]]
            panel.plot(found["strength"], places, color=color, marker=marker, **style.MEASURED)
    looks = [style.series(size, size_look(study, size), **style.MEASURED) for size in sizes]
    return style.finish(figure, title, looks)


MEANS = {"mean_gain": "own domains included", "mean_gain_cross": "own domains left out"}


def synergy_blocks(study: Study, tables: Tables) -> Figure:
    """Draw mean gains of donor blocks against receiver blocks, for the reference method."""
    method = study.reference_label
    frame = rows(tables[SYNERGY_BLOCKS.file], method=method, estimator=MAIN)
    sizes = present(study.size_names, frame, "size")
    title = FIGURES["synergy_blocks"].title
    known = rows(frame, size=sizes[-1]) if sizes else frame.clear()
    values = [value for name in MEANS for value in known[name].drop_nulls().to_list()]
    if not values:
        return style.message(f"{title} ({method})", "No gain is between domains with a block.")
    donors, receivers = (
        block_names(study, known, role) for role in ("donor_block", "receiver_block")
    )
    figure, axes = style.panels(2, 0.9 + 0.36 * len(donors), columns=2)
    largest = max(float(np.max(np.abs(values))), 1e-9)
    for panel, (column, label) in zip(axes, MEANS.items(), strict=True):
        cells = matrix(known, "donor_block", "receiver_block", column, donors, receivers)
        draw_map(
            panel, cells, donors, receivers, 8, cmap="RdBu", center=0, vmin=-largest, vmax=largest
        )
        for text in panel.texts:
            text.set_text(text.get_text().replace("-", "−"))
        panel.set_title(label, loc="left")
        panel.set_xticklabels(receivers, rotation=0, ha="center")
    style.label_outer(axes, "block that is scored", "block of the expert that joins")
    color_bar(figure, axes, "fall of the loss (nats/token)")
    return style.finish(figure, f"{title} ({method}, {sizes[-1]})")
