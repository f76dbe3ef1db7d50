"""A search for weights with the other ways beside it, on one surface."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mergelaw.config.theory import Objective
from mergelaw.laws.forms import Array
from mergelaw.theory import baselines, ways
from mergelaw.theory.counted import Counted
from mergelaw.theory.found import Found
from mergelaw.theory.goal import Goal
from mergelaw.theory.search import DEFAULT, Settings, optimise
from mergelaw.theory.surface import Spent

BREAKS = "breaks a limit: "
"""What a note begins with about a way that does not keep the objective's limits."""

Path = list[tuple[float, Array]]
"""The best weights of a search each time they changed, with what was spent by then."""

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
        The search first. What another way has found notes which limits it breaks.
    notes : tuple of str
        What was measured otherwise than asked, and why.
    """

    objective: Objective
    goal: Goal
    experts: tuple[str, ...]
    groups: tuple[str, ...]
    found: tuple[Found, ...]
    notes: tuple[str, ...] = ()


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
    found = way(own, goal)
    losses = surface.folds.per_token(found.nll)
    broken = tuple(
        f"{BREAKS}{words}" for words in goal.broken(found.weights, losses, len(surface.groups))
    )
    return replace(found, notes=found.notes + broken)


def evolved(surface: Counted, goal: Goal, most: float, seed: str) -> Path:
    """Return how CMA-ES goes on until a number of forward passes, longer than in `compare`."""
    path = Path()

    def watch(forwards: float, weights: Array) -> bool:
        path.append((forwards, weights))
        return False

    baselines.cma_es(surface.fresh(), goal, most, seed, watch=watch)
    return path


def forwards_to_reach(path: Path, judged: Callable[[Array], float], value: float) -> float | None:
    """Return the cost at which a search's best weights first reach a value on other text.

    Parameters
    ----------
    path : list of (float, array)
        See `evolved`.
    judged : callable
        Returns the objective of weights on the other text.
    value : float
        What is to be reached.

    Returns
    -------
    float, optional
        None if it is not reached to the end.
    """
    return next((forwards for forwards, weights in path if judged(weights) <= value), None)
