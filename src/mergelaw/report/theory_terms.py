"""Figures of the theorem's terms by size, and of how far elections of signs are from them."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.report import style
from mergelaw.report.captions.figure import TERMS, UPDATES
from mergelaw.report.colors import MUTED, method_look, size_look
from mergelaw.report.curves import MERGED_K
from mergelaw.report.inputs import Tables, n_by_size, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.theory_choice import of_main_route
from mergelaw.report.words import count

QUANTITIES = {
    "trace": "Tr(HΣ)",
    "mean_curvature": "μ′Hμ",
    "mean_slope": "g′μ",
    "tail": "tail A",
}
"""Columns that have a panel, and what they are."""


def theory_terms(study: Study, tables: Tables) -> Figure:
    """Draw the terms against the parameter count, a panel each, a line per method."""
    frame = of_main_route(study, rows(tables[TERMS], domain=MACRO))
    title = FIGURES["theory_terms"].title
    methods = present(study.method_labels, frame, "method")
    if not methods:
        return style.message(title, "No terms of the macro loss are known.")
    sizes = n_by_size(frame)
    figure, axes = style.panels(len(QUANTITIES), 2.3)
    for panel, (column, label) in zip(axes, QUANTITIES.items(), strict=True):
        panel.set_title(label, loc="left")
        panel.set_xscale("log")
        for method in methods:
            part = rows(frame, method=method).sort("n_params_billions")
            look: dict[str, Any] = dict(
                zip(("color", "marker"), method_look(study, method), strict=True)
            )
            n_params = [n * 1e9 for n in part["n_params_billions"]]
            panel.plot(n_params, part[column], linewidth=0.9, **look)
            if column == "tail":
                panel.plot(n_params, part["tail_fitted"], **look, **style.UNUSED)
        panel.axhline(0, color=MUTED.light, linewidth=0.9, zorder=1)
        panel.set_xticks([n * 1e9 for n in sizes.values()], _size_names(sizes))
        panel.xaxis.set_minor_formatter(NullFormatter())
    style.label_outer(axes, "parameters", "nats/token")
    looks = [style.series(method, method_look(study, method)) for method in methods]
    kinds = (
        style.entry("at the whole pool's merge", marker="o", **style.MEASURED),
        style.entry("tail fitted to the measured curve", marker="o", **style.UNUSED),
    )
    return style.finish(figure, title, looks, kinds)


def _size_names(sizes: dict[str, float]) -> list[str]:
    return [f"{name}\n{count(n * 1e9)}" for name, n in sizes.items()]


def theory_updates(study: Study, tables: Tables) -> Figure:
    """Draw the residual by k, a panel per method that elects signs and a line per size."""
    frame, title = tables[UPDATES].drop_nulls("residual"), FIGURES["theory_updates"].title
    methods = present(study.method_labels, frame, "method")
    if not methods:
        return style.message(title, "No method of the study elects signs.")
    figure, axes = style.k_panels(methods, 2.3, share_y=True)
    for panel, method in zip(axes, methods, strict=True):
        for size in present(study.size_names, frame, "size"):
            found, (color, marker) = rows(frame, method=method, size=size), size_look(study, size)
            panel.plot(found["k"], found["residual"], color=color, marker=marker, linewidth=0.9)
        panel.set_ylim(bottom=0)
    style.label_outer(axes, MERGED_K, "share of the merged norm")
    sizes = present(study.size_names, frame, "size")
    looks = [style.series(size, size_look(study, size)) for size in sizes]
    return style.finish(figure, title, looks)
