"""Figures of the fits of single domains: floors, tails and exponents, with macro beside them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, FITS, MACRO
from mergelaw.laws.schemas.doubts import TWO_STAGE
from mergelaw.report import style
from mergelaw.report.cases import name_rows
from mergelaw.report.colors import GRID, PAPER, method_look, size_look
from mergelaw.report.inputs import Tables, n_by_size, parameters, present, rows
from mergelaw.report.registry import FIGURES
from mergelaw.report.sizes import joint_part

PARTS = ("floor", "tail")


def in_domain(study: Study, tables: Tables) -> Figure:
    """Draw floors and tails of every domain and size, with the joint law's, a row per domain."""
    method = study.reference_label
    fits = rows(tables[FITS.file], method=method)
    domains = present([MACRO, *study.domain_names], fits, "domain")
    title = f"{FIGURES['in_domain'].title} ({method})"
    if not domains:
        return style.message(title, "No law could be fitted: see the refused fits.")
    n_params = n_by_size(tables[CURVES.file])
    figure, axes = style.panels(2, 0.5 + 0.3 * len(domains), columns=2)
    for panel, part in zip(axes, PARTS, strict=True):
        _domain_rows(panel, domains)
        panel.set_xlabel(f"{part} (nats/token)")
        for row, domain in enumerate(domains):
            joint = bounded(parameters(fits, "joint", method, domain))
            for size, n in n_params.items():
                fit = bounded(parameters(fits, "floor_tail", method, domain, size)).get(part)
                value = joint_part(part, np.array([n]), joint)[0] if joint else None
                _draw_part(panel, row, fit, value, *size_look(study, size))
    axes[1].set_yticklabels([])
    return style.finish(
        figure,
        title,
        [style.series(size, size_look(study, size), **style.MEASURED) for size in n_params],
        (
            style.entry("fitted to one size", marker="o", **style.MEASURED),
            style.entry("at a bound of the fit", marker="o", **style.UNUSED),
            style.entry("joint law of all sizes", marker="|", markersize=9, **style.MEASURED),
        ),
    )


def bounded(fit: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a fit, or nothing where its offset ran to its largest allowed value.

    Floor and tail then grow without limit together, and the value of neither means anything.
    """
    offset = fit.get("offset")
    lost = offset and offset["at_bound"] and offset["value"] == offset["maximum"]
    return {} if lost else fit


def _domain_rows(panel: Axes, domains: Sequence[str]) -> None:
    """Make y the domains, with a line below the macro row."""
    name_rows(panel, domains)
    if domains[0] == MACRO:
        panel.axhline(0.5, color=GRID.light, linewidth=0.8, zorder=0)


def _draw_part(
    panel: Axes,
    row: int,
    fit: dict[str, Any] | None,
    joint: float | None,
    color: str,
    marker: str,
) -> None:
    """Draw one floor or tail of one size's fit, and what the joint law gives."""
    if joint is not None:
        panel.plot([joint], [row], color=color, marker="|", markersize=11, markeredgewidth=1.4)
    if fit is not None:
        face = PAPER.light if fit["at_bound"] else color
        panel.plot(
            [fit["value"]],
            [row],
            color=color,
            marker=marker,
            markerfacecolor=face,
            markersize=4.2,
            zorder=3,
        )


EXPONENTS = {"size_exponent": "floor's exponent β", "tail_exponent": "tail's exponent γ"}


def two_stage(study: Study, tables: Tables) -> Figure:
    """Draw both exponents of size, of two stages and of the joint fit, a row per domain."""
    frame, fits = tables[TWO_STAGE.file], rows(tables[FITS.file], law="joint")
    domains = present([MACRO, *study.domain_names], frame, "domain")
    title = FIGURES["two_stage"].title
    if not domains:
        return style.message(title, "No domain has floors and tails of enough sizes.")
    methods = present(study.method_labels, frame, "method")
    figure, axes = style.panels(2, 0.5 + 0.34 * len(domains), columns=2)
    for panel, exponent in zip(axes, EXPONENTS, strict=True):
        _domain_rows(panel, domains)
        panel.set_xlabel(EXPONENTS[exponent])
        joint = rows(fits, parameter=exponent)
        for place, method in enumerate(methods):
            shift = 0.62 * (place - (len(methods) - 1) / 2) / len(methods)
            look: dict[str, Any] = {"color": method_look(study, method).color, "markersize": 3.8}
            look["marker"] = method_look(study, method).marker
            for table, column, kind in (
                (frame, exponent, style.MEASURED),
                (joint, "value", style.UNUSED),
            ):
                _draw_exponents(
                    panel, rows(table, method=method), column, domains, shift, kind | look
                )
    axes[1].set_yticklabels([])
    return style.finish(
        figure,
        title,
        [style.series(m, method_look(study, m), **style.MEASURED) for m in methods],
        (
            style.entry("two stages", marker="o", **style.MEASURED),
            style.entry("one joint fit", marker="o", **style.UNUSED),
        ),
    )


def _draw_exponents(
    panel: Axes,
    frame: pl.DataFrame,
    column: str,
    domains: Sequence[str],
    shift: float,
    look: dict[str, Any],
) -> None:
    known = frame.drop_nulls(column).filter(pl.col("domain").is_in(domains))
    places = [domains.index(domain) + shift for domain in known["domain"]]
    panel.plot(known[column], places, **look)
