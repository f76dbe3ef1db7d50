"""Figures of what one merge predicts of single subsets: losses, ranks, and who helps whom."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.report import style
from mergelaw.report.captions.figure import CROSS_CURVATURE, PREDICTED_SUBSETS, RANKINGS
from mergelaw.report.colors import MUTED, PAPER, SIZES, method_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.maps import color_bar, draw_map, matrix
from mergelaw.report.registry import FIGURES
from mergelaw.report.synergy_figures import gain_axes
from mergelaw.report.theory_choice import LOOKS, ROUTES, of_main_route

DOMAIN: dict[str, Any] = {"color": MUTED.light, "linewidth": 0.6, "alpha": 0.55, "zorder": 1}


def theory_subsets(study: Study, tables: Tables) -> Figure:
    """Draw measured against predicted losses of all subsets, for the reference method."""
    method = study.reference_label
    frame = rows(tables[PREDICTED_SUBSETS], domain=MACRO, method=method).drop_nulls("loss")
    frame = of_main_route(study, frame)
    title = f"{FIGURES['theory_subsets'].title} ({method})"
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(title, "No subset is both predicted and measured.")
    ks = sorted(set(frame["k"].to_list()))
    looks = {k: {**_look_of_k(k, ks), "marker": "o", "markersize": 3.2} for k in ks}
    figure, axes = style.panels(len(sizes), 2.6)
    for panel, size in zip(axes, sizes, strict=True):
        panel.set_title(size, loc="left")
        part = rows(frame, size=size)
        start = float(part["loss"].min())  # type: ignore[arg-type]
        panel.axline((start, start), slope=1, color=MUTED.light, linewidth=0.9, zorder=1)
        for k in ks:
            found = rows(part, k=k)
            panel.plot(found["loss_predicted"], found["loss"], zorder=3, **looks[k], **PLAIN)
    style.label_outer(axes, "predicted (nats/token)", "measured (nats/token)")
    kinds = [style.entry("both agree", linewidth=0.9)]
    series = [style.entry(f"k = {k}", **looks[k], **PLAIN) for k in ks]
    return style.finish(figure, title, (), [*series, *kinds])


PLAIN: dict[str, Any] = {"linestyle": "none"}


def _look_of_k(k: int, ks: list[int]) -> dict[str, Any]:
    """Return the colour of a k, darker for more experts; open for single ones."""
    place = ks.index(k) / max(len(ks) - 1, 1)
    color = SIZES[round(place * (len(SIZES) - 1))].light
    return {"color": color, "markerfacecolor": PAPER.light if k == 1 else color}


def theory_rankings(study: Study, tables: Tables) -> Figure:
    """Draw rank correlations by k, a panel per size, for the reference method."""
    method = study.reference_label
    frame = rows(tables[RANKINGS], method=method).filter(pl.col("k") > 0)
    frame = frame.drop_nulls("rank_correlation")
    title = f"{FIGURES['theory_rankings'].title} ({method})"
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(title, "No k has three subsets, predicted and measured.")
    figure, axes = style.k_panels(sizes, 2.2, share_y=True)
    for panel, size in zip(axes, sizes, strict=True):
        part = rows(frame, size=size)
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
        main = of_main_route(study, part)
        for domain in present(study.domain_names, main, "domain"):
            found = rows(main, domain=domain)
            panel.plot(found["k"], found["rank_correlation"], **DOMAIN)
        for route in present(ROUTES, part, "route"):
            found, (color, marker) = rows(part, route=route, domain=MACRO), LOOKS[route]
            panel.plot(found["k"], found["rank_correlation"], color=color, marker=marker, zorder=3)
    axes[0].set_ylim(max(-1.05, min(frame["rank_correlation"].to_list()) - 0.06), 1.04)
    style.label_outer(axes, MERGED_K, "rank correlation")
    kinds = [
        style.entry(ROUTES[route], LOOKS[route].color, marker=LOOKS[route].marker)
        for route in present(ROUTES, frame, "route")
    ]
    return style.finish(figure, title, (), [*kinds, style.entry("single domains", **DOMAIN)])


def theory_synergy(study: Study, tables: Tables) -> Figure:
    """Draw the predicted and the measured map of gains at the largest size, side by side."""
    method = study.reference_label
    frame = of_main_route(study, rows(tables[CROSS_CURVATURE], method=method))
    frame = frame.drop_nulls(["gain", "gain_predicted"])
    title = FIGURES["theory_synergy"].title
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(f"{title} ({method})", "No gain is both predicted and measured.")
    frame = rows(frame, size=sizes[-1])
    donors = present(study.expert_names, frame, "donor")
    receivers = present([*study.domain_names, MACRO], frame, "receiver")
    figure, axes = style.panels(2, 1.3 + 0.24 * len(donors), columns=2)
    columns = {"gain_predicted": "predicted from one merge", "gain": "measured"}
    largest = max(float(np.max(np.abs(frame[name].to_numpy()))) for name in columns) or 1e-9
    for panel, (column, label) in zip(axes, columns.items(), strict=True):
        values = matrix(frame, "donor", "receiver", column, donors, receivers)
        size = 5.2 if len(receivers) > 8 else 7
        ends = {"vmin": -largest, "vmax": largest}
        draw_map(panel, values, donors, receivers, size, cmap="RdBu", center=0, **ends)
        for text in panel.texts:
            text.set_text(text.get_text().replace("0.", ".").replace("-", "−"))
        panel.set_title(label, loc="left")
    axes[1].set_yticklabels([])
    style.label_outer(axes, "domain that is scored", "expert that joins")
    color_bar(figure, axes, "fall of the loss (nats/token)")
    return style.finish(figure, f"{title} ({method}, {sizes[-1]})")


def theory_synergy_pairs(study: Study, tables: Tables) -> Figure:
    """Draw measured against predicted gains, a panel per size, for the reference method."""
    method = study.reference_label
    frame = of_main_route(study, rows(tables[CROSS_CURVATURE], method=method))
    frame = frame.drop_nulls(["gain", "gain_predicted"]).filter(pl.col("receiver") != MACRO)
    title = f"{FIGURES['theory_synergy_pairs'].title} ({method})"
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(title, "No gain is both predicted and measured.")
    color, marker = method_look(study, method)
    homes = {(expert.name, expert.domain) for expert in study.experts}
    figure, axes = style.panels(len(sizes), 2.4)
    for panel, size in zip(axes, sizes, strict=True):
        panel.set_title(size, loc="left")
        gain_axes(panel)
        part = rows(frame, size=size)
        home = [pair in homes for pair in part.select("donor", "receiver").iter_rows()]
        for flag, face in ((False, PAPER.light), (True, color)):
            found = part.filter(pl.Series(home, dtype=pl.Boolean) == flag)
            panel.plot(
                found["gain_predicted"],
                found["gain"],
                color=color,
                marker=marker,
                markerfacecolor=face,
                markersize=3.6,
                zorder=3,
                **PLAIN,
            )
    style.label_outer(axes, "predicted gain (nats/token)", "measured gain (nats/token)")
    kinds = (
        style.entry("own domain", color, marker=marker, **style.MEASURED),
        style.entry("another domain", color, marker=marker, **style.UNUSED),
        style.entry("both agree", linewidth=0.9),
    )
    return style.finish(figure, title, (), kinds)
