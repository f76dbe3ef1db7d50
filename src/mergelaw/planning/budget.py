"""What a plan costs, the best one within a budget, and the front of cost against loss.

    cost(k) = price of a device-hour x (k train_expert + merge(k) + evaluations evaluate
              + billions of tokens served x serve_per_billion_tokens)

The same at every k: evaluation, serving. Experts at hand train for nothing. Every (size, k) is
looked at; no optimum is searched for by its first-order condition.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mergelaw.planning.law_file import Costs
from mergelaw.planning.prices import Prices, hours_of

PARTS = ("train", "merge", "evaluate", "serve")


@dataclass(frozen=True)
class Choice:
    """A base size and a number of experts.

    Attributes
    ----------
    cost
        In the prices' currency.
    loss
        By the law, nats per token.
    chance
        That the target is met, where one is asked for and the errors are known.
    """

    size: str
    n_params_billions: float | None
    k: int
    cost: float
    loss: float
    stderr: float | None = None
    chance: float | None = None


class Priced(NamedTuple):
    """What a size costs, or why that is not known."""

    costs: Costs | None
    lacking: tuple[str, ...]


def priced(prices: Prices, size: str, costs: Costs | None, method: str) -> Priced:
    """Return the hours of a size, and the parts that are not known and that the plan needs."""
    hours = hours_of(prices, size, costs)
    if hours is None:
        return Priced(None, ())
    lacking = []
    if prices.experts == "to_train" and hours.train_expert is None:
        lacking.append("train_expert")
    if hours.merge is None and method not in hours.merge_by_method:
        lacking.append("merge")
    if prices.evaluations and hours.evaluate is None:
        lacking.append("evaluate")
    if prices.serve_billions_of_tokens and hours.serve_per_billion_tokens is None:
        lacking.append("serve_per_billion_tokens")
    return Priced(hours, tuple(lacking))


def cost_parts(prices: Prices, hours: Costs, method: str, k: int) -> dict[str, float]:
    """Return the cost of k experts by part, in the prices' currency; every part must be known."""
    price = prices.device_hour.get(hours.device, 1.0)
    train = 0.0 if prices.experts == "at_hand" else k * (hours.train_expert or 0.0)
    parts = {
        "train": train,
        "merge": merge_hours(hours, method, k),
        "evaluate": prices.evaluations * (hours.evaluate or 0.0),
        "serve": prices.serve_billions_of_tokens * (hours.serve_per_billion_tokens or 0.0),
    }
    return {name: price * value for name, value in parts.items()}


def merge_hours(hours: Costs, method: str, k: int) -> float:
    """Return the device-hours of one merge of k experts."""
    if method in hours.merge_by_method:
        return hours.merge_by_method[method]
    return (hours.merge or 0.0) + k * (hours.merge_per_expert or 0.0)


def multitask_cost(prices: Prices, hours: Costs) -> float | None:
    """Return the cost of training on all domains at once, scored and served; None: not known."""
    if hours.train_multitask is None:
        return None
    price = prices.device_hour.get(hours.device, 1.0)
    same = prices.evaluations * (hours.evaluate or 0.0)
    same += prices.serve_billions_of_tokens * (hours.serve_per_billion_tokens or 0.0)
    return price * (hours.train_multitask + same)


def best_within(choices: Iterable[Choice], budget: float) -> Choice | None:
    """Return the choice of least loss that costs at most the budget; the cheapest of equals."""
    inside = [choice for choice in choices if choice.cost <= budget]
    return min(inside, key=lambda choice: (choice.loss, choice.cost), default=None)


def front(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return the Pareto front: choices that none is both as cheap and as good as, by cost."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.cost, choice.loss)):
        if not kept or choice.loss < kept[-1].loss:
            kept.append(choice)
    return tuple(kept)


def cheapest(choices: Iterable[Choice], target: float, probability: float | None) -> Choice | None:
    """Return the cheapest choice that meets the target, with the probability where it is known."""
    meets = [
        choice
        for choice in choices
        if (
            choice.loss <= target
            if probability is None or choice.chance is None
            else choice.chance >= probability
        )
    ]
    return min(meets, key=lambda choice: (choice.cost, choice.loss), default=None)
