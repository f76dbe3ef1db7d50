"""A search for weights with the other ways beside it, on one surface."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mergelaw.config.theory import Objective
from mergelaw.laws.forms import Array
from mergelaw.theory import baselines, ways
from mergelaw.theory.counted import Counted
from mergelaw.theory.found import Found
from mergelaw.theory.goal import Goal
from mergelaw.theory.search import DEFAULT, Settings, optimise
from mergelaw.theory.surface import Spent

LONGER, DESCENT = 3.0, 2.0
"""Cost of the long evolution and of gradient descent, in that of the search."""

Way = Callable[[Counted, Goal], Found]


@dataclass(frozen=True)
class Compared:
    """What every way has found for one objective.

    Attributes
    ----------
    objective : Objective
    goal : Goal
    experts, groups : tuple of str
        What the weights are of.
    found : tuple of Found
        The search first.
    """

    objective: Objective
    goal: Goal
    experts: tuple[str, ...]
    groups: tuple[str, ...]
    found: tuple[Found, ...]


def compare(
    surface: Counted,
    objective: Objective,
    chosen: tuple[str, ...] = ways.WAYS,
    settings: Settings = DEFAULT,
    seed: str = "0",
) -> Compared:
    """Search for the best weights, and choose them in other ways on the same text.

    Parameters
    ----------
    surface : Counted
        Its answers are shared; each way pays for its own.
    objective : Objective
    chosen : tuple of str
        Ways, values of `mergelaw.theory.ways.WAYS`; the search is always made.
    settings : Settings
        Of the search.
    seed : str
        Names the random numbers of CMA-ES.
    """
    mine = surface.fresh()
    goal = Goal.of(objective, mine)
    base = replace(mine.spent)  # the base's loss, which limits take, is every way's price
    newton = optimise(mine, goal, settings=settings)
    others = _others(newton.spent.forwards, seed)
    found = [newton]
    for way in chosen:
        if way in others:
            found.append(_run(surface, goal, others[way], base))
    return Compared(objective, goal, surface.experts, surface.groups, tuple(found))


def _others(forwards: float, seed: str) -> dict[str, Way]:
    """Return the ways beside the search, by name."""

    def evolve(way: str, share: float) -> Way:
        return lambda s, goal: baselines.cma_es(s, goal, share * forwards, seed, way)

    return {
        ways.FULL_AVERAGE: baselines.full_average,
        ways.BEST_SCALE: baselines.best_scale,
        ways.BEST_SUBSET: baselines.best_subset,
        ways.GREEDY_SOUP: baselines.greedy_soup,
        ways.GRADIENT: lambda s, goal: baselines.gradient(s, goal, DESCENT * forwards),
        ways.CMA_ES: evolve(ways.CMA_ES, 1.0),
        ways.CMA_ES_LONG: evolve(ways.CMA_ES_LONG, LONGER),
        ways.QUADRATIC: baselines.quadratic,
    }


def _run(surface: Counted, goal: Goal, way: Way, base: Spent) -> Found:
    own = surface.fresh()
    own.spent = replace(base)
    return way(own, goal)


def forwards_to_reach(
    surface: Counted,
    goal: Goal,
    judged: Callable[[Array], float],
    value: float,
    most: float,
    seed: str,
) -> float:
    """Return the cost at which CMA-ES' best weights first reach a value on other text.

    Parameters
    ----------
    judged : callable
        Returns the objective of weights on the other text.
    value : float
        What is to be reached.
    most : float
        Forward passes, at most; infinity is returned where they do not suffice.
    """
    reached = [np.inf]

    def watch(forwards: float, weights: Array) -> bool:
        if judged(weights) <= value:
            reached.append(forwards)
        return len(reached) > 1

    baselines.cma_es(surface.fresh(), goal, most, seed, watch=watch)
    return float(reached[-1])
