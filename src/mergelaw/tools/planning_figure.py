"""The figure of a plan: curves with their bands, the target and the experts chosen; costs."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mergelaw.errors import ConfigError
from mergelaw.files import atomic_file, write_text
from mergelaw.planning.choices import Bought
from mergelaw.planning.plan_result import LawPlan, Plan, SizePlan
from mergelaw.planning.question import Question
from mergelaw.report import style
from mergelaw.report.colors import MARKERS, MUTED, SIZES, Look
from mergelaw.tools.planning import figure_problems

MOST = 12
"""Laws that one figure has panels for."""


def write_plan_figure(found: Plan, path: Path) -> None:
    """Draw a plan to an .svg or .png file: a panel per law, and one more for its costs.

    Raises
    ------
    ConfigError
        If the file's name ends otherwise, or the plan has more laws than a figure shows.
    """
    problems = figure_problems(path)
    if len(found.laws) > MOST:
        problems.append(
            f"--figure: {len(found.laws)} laws are too many for one figure; name a --method or a "
            f"--domain, {MOST} at most"
        )
    if problems:
        raise ConfigError("; ".join(problems))
    with style.settings():
        figure = plan_figure(found)
        if path.suffix.lower() == ".svg":
            write_text(path, style.to_svg(figure))
        else:
            with atomic_file(path) as part:
                part.write_bytes(style.to_png(figure))


def plan_figure(found: Plan) -> Figure:
    """Return the figure of a plan."""
    bought = [law.bought is not None and bool(law.bought.choices) for law in found.laws]
    figure, axes = style.panels(len(found.laws) + sum(bought), 2.9)
    places = iter(axes)
    looks = _looks([size.size for law in found.laws for size in law.sizes])
    for law, costed in zip(found.laws, bought, strict=True):
        _curves(next(places), law, looks, found.question)
        if costed and law.bought is not None:
            _costs(next(places), law, law.bought, looks, found.question)
    series = [style.series(size, look) for size, look in looks.items()]
    return style.finish(figure, f"Plan from {found.name}", series, _kinds(found.question))


def _kinds(asked: Question) -> list[Line2D]:
    """Return the legend of what is drawn beside the sizes."""
    kinds = [style.entry("95% interval, where known", alpha=0.3, linewidth=6)]
    if asked.target is not None:
        chosen: dict[str, Any] = {"marker": "o", "markersize": 7, "linestyle": "none"}
        kinds.append(style.entry("experts chosen", **chosen))
    if asked.prices is not None:
        kinds.append(style.entry("best for its cost", linewidth=0.9))
    limits = {"target": asked.target, "budget": asked.budget}
    if given := [name for name, value in limits.items() if value is not None]:
        kinds.append(style.entry(" and ".join(given), **style.FLOOR))
    return kinds


def _looks(sizes: list[str]) -> dict[str, Look]:
    """Return the look of each size, the palette spread over them as in the report's figures."""
    sizes = list(dict.fromkeys(sizes))
    last = max(len(sizes) - 1, 1)
    return {
        size: Look(SIZES[round(i * (len(SIZES) - 1) / last)].light, MARKERS[i % len(MARKERS)])
        for i, size in enumerate(sizes)
    }


def _curves(axes: Axes, law: LawPlan, looks: dict[str, Look], asked: Question) -> None:
    axes.set_title(f"{law.method}, {law.domain}", loc="left")
    for size in law.sizes:
        _curve(axes, size, looks[size.size])
    if asked.target is not None:
        axes.axhline(asked.target, color=MUTED.light, **style.FLOOR)
    style.k_axis(axes)
    axes.set_ylabel("loss, nats per token")


def _curve(axes: Axes, size: SizePlan, look: Look) -> None:
    ks = [point.k for point in size.points]
    axes.plot(
        ks,
        [point.loss for point in size.points],
        color=look.color,
        marker=look.marker,
        markersize=3,
    )
    if all(point.low is not None for point in size.points):
        low, high = ([getattr(p, end) for p in size.points] for end in ("low", "high"))
        axes.fill_between(ks, low, high, color=look.color, alpha=0.15, linewidth=0)
    for needed in size.needed[:1]:
        if needed.status == "met" and needed.k is not None:
            _mark(axes, needed.k, size.points[needed.k - 1].loss, look)


def _mark(axes: Axes, x: float, y: float, look: Look) -> None:
    axes.plot([x], [y], color=look.color, marker="o", markersize=7, linestyle="none")


WIDE = 10
"""Costs that differ by more have a logarithmic axis; of less its labels would meet."""


def _costs(
    axes: Axes, law: LawPlan, bought: Bought, looks: dict[str, Look], asked: Question
) -> None:
    axes.set_title(f"{law.method}, {law.domain}: cost", loc="left")
    for name, look in looks.items():
        mine = [choice for choice in bought.choices if choice.size == name]
        xs, ys = [c.cost for c in mine], [c.loss for c in mine]
        axes.plot(xs, ys, color=look.color, marker=look.marker, markersize=3, linewidth=0.7)
    xs, ys = [c.cost for c in bought.front], [c.loss for c in bought.front]
    axes.step(xs, ys, where="post", color=MUTED.light, linewidth=0.9)
    if asked.budget is not None:
        axes.axvline(asked.budget, color=MUTED.light, **style.FLOOR)
    if bought.best is not None:
        _mark(axes, bought.best.cost, bought.best.loss, looks[bought.best.size])
    if 0 < min(xs, default=0) * WIDE < max(xs, default=0):
        axes.set_xscale("log")
    axes.set_xlabel(bought.currency)
    axes.set_ylabel("loss, nats per token")
