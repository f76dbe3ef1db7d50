"""Base size against experts: every (size, k) with its cost, and what to buy."""

from collections.abc import Sequence
from dataclasses import dataclass

from mergelaw.planning.answers import chance_of, stderr_of
from mergelaw.planning.budget import (
    Choice,
    best_within,
    cheapest,
    cost_parts,
    front,
    priced,
)
from mergelaw.planning.law_file import Costs, Curve, LawFile, Size
from mergelaw.planning.question import Question


@dataclass(frozen=True)
class Bought:
    """What to buy.

    Attributes
    ----------
    currency
        Of costs.
    choices
        Every (size, k) whose cost is known, by size, then k.
    front
        Those of them that none is both as cheap and as good as, by cost.
    best
        The least loss within the budget; None: no budget, or nothing within it.
    cheapest
        The least cost that meets the target; None: no target, or nothing that meets it.
    notes
        Where hours are from, what is left out, and why.
    """

    currency: str
    choices: tuple[Choice, ...]
    front: tuple[Choice, ...]
    best: Choice | None
    cheapest: Choice | None
    notes: tuple[str, ...]


def buy(file: LawFile, method: str, sizes: Sequence[tuple[Size, Curve]], asked: Question) -> Bought:
    """Return what to buy of some sizes of one law, under the question's prices."""
    if asked.prices is None:
        raise ValueError("no prices")
    choices: list[Choice] = []
    notes: list[str] = []
    for size, curve in sizes:
        costs, origin = hours_at(file, size)
        found = priced(asked.prices, size.name, costs, method)
        if found.costs is None or found.lacking:
            notes.append(_left_out(size, found.lacking))
            continue
        notes.append(f"{size.name}: {found.costs.source}{origin}")
        choices += _choices(size, curve, found.costs, method, asked)
    chance = asked.probability[0] if asked.probability else None
    if all(choice.cost == 0 for choice in choices) and choices:
        notes.append("every plan costs nothing: there is nothing to weigh")
    return Bought(
        asked.prices.currency,
        tuple(choices),
        front(choices),
        None if asked.budget is None else best_within(choices, asked.budget),
        None if asked.target is None else cheapest(choices, asked.target, chance),
        tuple(dict.fromkeys([*notes, *_budget_note(choices, asked)])),
    )


def _budget_note(choices: Sequence[Choice], asked: Question) -> list[str]:
    least = min(choices, key=lambda choice: choice.cost, default=None)
    if asked.budget is None or asked.prices is None or least is None or least.cost <= asked.budget:
        return []
    return [
        f"the budget of {asked.budget:g} {asked.prices.currency} buys nothing: the cheapest, "
        f"{least.size} with k = {least.k}, costs {least.cost:.4g}"
    ]


def _left_out(size: Size, lacking: Sequence[str]) -> str:
    way = "experts: at_hand, or " if "train_expert" in lacking else ""
    what = ", ".join(lacking) or "hours"
    return (
        f"{size.name} is left out, because its {what} {'is' if len(lacking) == 1 else 'are'} not "
        f"known; {way}hours.{size.name} in the prices tells them"
    )


def _choices(size: Size, curve: Curve, costs: Costs, method: str, asked: Question) -> list[Choice]:
    if asked.prices is None:
        raise ValueError("no prices")
    return [
        Choice(
            size.name,
            size.n_params_billions,
            k,
            sum(cost_parts(asked.prices, costs, method, k).values()),
            loss,
            stderr_of(curve, k),
            None if asked.target is None else chance_of(curve, k, asked.target),
        )
        for k, loss in enumerate(curve.loss, 1)
    ]


def hours_at(file: LawFile, size: Size) -> tuple[Costs | None, str]:
    """Return the hours of a size, off the ladder in proportion to N from the nearest size below.

    ASSUME hours grow with N: training takes 6 N D FLOPs, serving 2 N a token, merging moves N
    entries (`mergelaw.costs.model`). From the nearest size above where there is none below.
    """
    known = {s.name for s in file.sizes}
    if size.name in known or size.n_params_billions is None:
        return size.costs, ""
    n = size.n_params_billions
    with_costs = [(s.n_params_billions, s) for s in file.sizes if s.costs and s.n_params_billions]
    if not with_costs:
        return None, ""
    below = [pair for pair in with_costs if pair[0] <= n]
    start, near = max(below, key=_first) if below else min(with_costs, key=_first)
    costs = near.costs
    return costs and _scaled(costs, n / start), f", in proportion to N from {near.name}"


def _first(pair: tuple[float, Size]) -> float:
    return pair[0]


def _scaled(costs: Costs, factor: float) -> Costs:
    hours = {
        name: value * factor
        for name, value in costs.model_dump().items()
        if isinstance(value, float)
    }
    by_method = {method: hour * factor for method, hour in costs.merge_by_method.items()}
    return costs.model_copy(update={**hours, "merge_by_method": by_method})
