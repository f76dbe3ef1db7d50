"""Figures of intervals and of smaller pools: what the numbers of the fits are about."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import INTERVALS, POOLS
from mergelaw.report import style
from mergelaw.report.cases import Case, case_panels, cases_of, zero_line
from mergelaw.report.colors import method_look
from mergelaw.report.inputs import Tables, rows
from mergelaw.report.registry import FIGURES

QUANTITIES = {"floor": "floor", "tail": "tail", "loss_pool": "loss at the pool"}
"""Quantities of a fit that have a panel, and the panel's title."""

FROM_ESTIMATE = "less the estimate (nats/token)"


class Target(NamedTuple):
    """What an interval is about, how it is found, and how it is drawn."""

    target: str
    how: str
    label: str
    line: dict[str, Any]


TARGETS = (
    Target("pool", "profile", "this pool", {"linewidth": 3.2, "alpha": 0.55}),
    Target("text", "items", "new text", {"linewidth": 1.3}),
    Target(
        "experts", "delete_1", "new experts", {"linewidth": 0.9, "marker": "|", "markersize": 5.5}
    ),
)

OUTER = 1.08
"""Half-width of a panel over the largest end that it holds."""


def intervals(study: Study, tables: Tables) -> Figure:
    """Draw the intervals of floor, tail and loss at the pool, a row per method and size."""
    frame = rows(tables[INTERVALS.file], law="floor_tail", domain=MACRO)
    cases = cases_of(study, frame)
    title = FIGURES["intervals"].title
    if not cases:
        return style.message(title, "No fit of one size to the macro loss has an interval.")
    figure, axes = case_panels(cases, list(QUANTITIES.values()))
    for panel, quantity in zip(axes, QUANTITIES, strict=True):
        zero_line(panel)
        part = rows(frame, quantity=quantity)
        _set_width(panel, part)
        for place, target in enumerate(TARGETS):
            found = rows(part, target=target.target, how=target.how)
            _draw_intervals(panel, study, found, cases, target, 0.27 * (place - 1))
    style.label_outer(axes, FROM_ESTIMATE, "")
    return style.finish(
        figure, title, (), [style.entry(target.label, **target.line) for target in TARGETS]
    )


def _set_width(panel: Axes, frame: pl.DataFrame) -> None:
    """Give a panel the width of its intervals, alike on both sides of 0."""
    ends = [
        abs(end - estimate)
        for low, high, estimate in frame.select("low", "high", "estimate").iter_rows()
        for end in (low, high)
        if end is not None and estimate is not None
    ]
    width = OUTER * (max(ends, default=0) or 1e-3)
    panel.set_xlim(-width, width)


def _draw_intervals(
    panel: Axes,
    study: Study,
    frame: pl.DataFrame,
    cases: Sequence[Case],
    target: Target,
    shift: float,
) -> None:
    """Draw one interval per row, up to the panel's edge where an end is missing."""
    left, right = panel.get_xlim()
    for row in frame.drop_nulls("estimate").to_dicts():
        place = cases.index(Case(row["method"], row["size"])) + shift
        color = method_look(study, row["method"]).color
        low, high = (row[end] if row[end] is None else row[end] - row["estimate"] for end in ENDS)
        if low is None and high is None:
            continue
        line = (left if low is None else low, right if high is None else high)
        panel.plot(line, [place, place], color=color, solid_capstyle="butt", **target.line)
        for end, mark, edge in ((low, "<", left), (high, ">", right)):
            if end is None:
                panel.plot([edge], [place], color=color, marker=mark, clip_on=False, markersize=4)


ENDS = ("low", "high")

SMALLER = {"floor": "floor", "tail": "tail", "loss_pool": "loss of the whole pool"}


def pools(study: Study, tables: Tables) -> Figure:
    """Draw floors, tails and whole-pool losses of smaller pools against the full pool's."""
    frame = rows(tables[POOLS.file], domain=MACRO)
    cases, title = cases_of(study, frame), FIGURES["pools"].title
    if not cases:
        return style.message(title, "No pool of fewer experts has a curve of the macro loss.")
    figure, axes = case_panels(cases, list(SMALLER.values()))
    for panel, quantity in zip(axes, SMALLER, strict=True):
        zero_line(panel)
        for index, case in enumerate(cases):
            color = method_look(study, case.method).color
            _draw_pools(panel, rows(frame, **case._asdict()), quantity, index, color)
    style.label_outer(axes, "less the full pool's (nats/token)", "")
    kinds = [
        style.entry(f"a pool that lacks {label}", **look, **style.MEASURED)
        for label, look in (("one expert", ONE_OUT), ("two experts", TWO_OUT))
    ]
    return style.finish(figure, title, (), kinds)


ONE_OUT: dict[str, Any] = {"marker": "o", "markersize": 4, "alpha": 0.85, "markeredgewidth": 0}
TWO_OUT: dict[str, Any] = {"marker": "o", "markersize": 2.6, "alpha": 0.35, "markeredgewidth": 0}


def _draw_pools(panel: Axes, frame: pl.DataFrame, quantity: str, place: int, color: str) -> None:
    full = rows(frame, left_out="none")[quantity].drop_nulls().to_list()
    if not full:
        return
    most = frame["n_experts"].max()
    for out, shift, look in ((2, 0.18, TWO_OUT), (1, -0.18, ONE_OUT)):
        left = frame.filter(pl.col("n_experts") == pl.lit(most) - out)
        values = [value - full[0] for value in left[quantity].drop_nulls().to_list()]
        panel.plot(values, [place + shift] * len(values), color=color, **look, **style.MEASURED)
