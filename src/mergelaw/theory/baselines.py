"""Other ways to choose weights, on the same text and for the same goal, with their cost."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from mergelaw.laws.forms import Array
from mergelaw.theory import ways
from mergelaw.theory.counted import Counted
from mergelaw.theory.differences import pair_differences
from mergelaw.theory.found import Found
from mergelaw.theory.goal import Goal
from mergelaw.theory.penalty import Strength, cross_validate, penalty_matrix
from mergelaw.theory.quadratic import Quadratics
from mergelaw.theory.steps import Box, Problem

SCALES = (0.0, 3.0)
"""Scales that the best one is sought between."""

ALL_SUBSETS = 12
"""Experts of which every subset is ranked; of more, those that leaving out leads to."""

CHECKED = 5
"""Subsets whose predicted loss is checked by an exact one."""

ADAM_RATE = 0.05
"""Step of Adam in the weights. Measured on the default study at width 32: after 8 steps the losses
of 0.01 and 0.02 are 0.0024 nats above that of 0.05, after 16 all three are within 0.0004."""

CMA_SPREAD = 0.3
"""First standard deviation of CMA-ES' draws of a weight, in shares of an equal one, 1 / experts.
Measured on the default study, one run each: loss on the text that is searched after 48
evaluations, in nats above the least of any after 150. Width 32: 0.2 of an equal weight 0.004, 0.5
0.003, 0.9 0.009; 1.8 is above the full average after 39. Width 128: 0.3 0.003, 0.5 0.005."""


QUADRATIC_STEP = 0.5
"""Distance of the points of the quadratic through losses, in shares of an equal weight. Measured on
the default study at width 32, in nats from what Newton steps reach on the same text: 0.3 and 0.5
-0.0007, 0.9 -0.0006, 1.8 -0.0004, 3 0.0006. ASSUME losses of float32: those of bfloat16 are too
noisy for it."""


@dataclass
class Best:
    """The best point that was tried so far.

    Attributes
    ----------
    surface : Counted
    goal : Goal
    """

    surface: Counted
    goal: Goal
    merit: float = np.inf
    weights: Array | None = None
    nll: Array | None = None

    def losses(self, weights: Array) -> float:
        """Score a point; return its merit."""
        return self.saw(weights, self.surface.losses(weights))

    def saw(self, weights: Array, nll: Array) -> float:
        """Note a point that is scored; return its merit."""
        merit = self.goal.merit(self.surface.folds.per_token(nll))
        if merit < self.merit:
            self.merit, self.weights, self.nll = merit, np.array(weights), nll
        return merit

    @property
    def point(self) -> Array:
        """The weights."""
        if self.weights is None:
            raise RuntimeError("no point was scored")
        return self.weights

    def found(self, way: str, converged: bool = True, *notes: str) -> Found:
        """Return it as what a way has found."""
        nll = np.asarray(self.nll)
        value = self.goal.value_of(self.surface.folds, nll)
        return Found(way, self.point, value, nll, self.surface.spent, converged, notes)


def full_average(surface: Counted, goal: Goal) -> Found:
    """Return the merge of the whole pool with weights 1 / experts."""
    best = Best(surface, goal)
    best.losses(_shares(surface, np.ones(len(surface.experts))))
    return best.found(ways.FULL_AVERAGE)


def best_scale(surface: Counted, goal: Goal) -> Found:
    """Return equal weights with the best scale c, each c / experts (Brent's bounded search)."""
    best, one = Best(surface, goal), _shares(surface, np.ones(len(surface.experts)))
    best.losses(one)
    if goal.sums_to_one:
        return best.found(ways.BEST_SCALE, True, "c = 1, as weights sum to 1")
    allowed = np.array([goal.lower, goal.upper]) * len(surface.experts)
    result = minimize_scalar(
        lambda scale: best.losses(scale * one),
        bounds=np.clip(SCALES, *allowed).tolist(),
        method="bounded",
        options={"xatol": 0.02, "maxiter": 12},
    )
    scale = float(best.point[: len(surface.experts)].sum())
    return best.found(ways.BEST_SCALE, bool(result.success), f"c* = {scale:.2f}")


def best_subset(surface: Counted, goal: Goal) -> Found:
    """Return the average of the best subset: ranked by quadratic models, the first few scored.

    The models are those at the full average.
    """
    models = Quadratics.of(surface.curvature(_shares(surface, np.ones(len(surface.experts)))))
    members = np.array(list(_subsets(len(surface.experts), goal, models, surface)))
    if goal.max_experts is not None:
        members = members[members.sum(axis=1) <= goal.max_experts]
    points = np.array([_shares(surface, row) for row in members])
    merits = [goal.merit(losses) for losses in models.at(points)]
    best = Best(surface, goal)
    for row in np.argsort(merits, kind="stable")[:CHECKED]:
        best.losses(points[row])
    return best.found(ways.BEST_SUBSET, True, f"of {len(members)} ranked, {CHECKED} scored")


def _subsets(n: int, goal: Goal, models: Quadratics, surface: Counted) -> Iterator[Array]:
    """Yield subsets as 0 and 1; of many experts those that leaving one out after another gives."""
    if n <= ALL_SUBSETS:
        for k in range(1, n + 1):
            for chosen in combinations(range(n), k):
                yield np.isin(np.arange(n), chosen).astype(float)
        return
    members = np.ones(n)
    while members.any():
        yield members
        fewer = [members * (np.arange(n) != out) for out in np.flatnonzero(members)]
        yield from (row for row in fewer if row.any())
        members = min(
            fewer,
            key=lambda row: goal.merit(models.at(_shares(surface, row))) if row.any() else np.inf,
        )


def greedy_soup(surface: Counted, goal: Goal) -> Found:
    """Add experts to an average, the best alone first, each if the loss falls.

    Source: Wortsman et al., "Model soups", arXiv 2203.05482, recipe 1 (which takes an expert that
    changes nothing; here it stays out).
    """
    best, n = Best(surface, goal), len(surface.experts)
    alone = [best.losses(_shares(surface, row)) for row in np.eye(n)]
    order = np.argsort(alone, kind="stable")
    members = np.eye(n)[order[0]]
    for one in order[1:]:
        if goal.max_experts is not None and members.sum() >= goal.max_experts:
            break
        before, wider = best.merit, np.maximum(members, np.eye(n)[one])
        if best.losses(_shares(surface, wider)) < before:
            members = wider
    return best.found(ways.GREEDY_SOUP)


def gradient(surface: Counted, goal: Goal, forwards: float) -> Found:
    """Descend from equal weights by Adam, on the same loss, until that many forward passes.

    AdaMerging (Yang et al., arXiv 2310.02575) with the labelled loss in place of the entropy of
    unlabelled outputs, which needs more steps than this; betas 0.9 and 0.999 as there.
    """
    best = Best(surface, goal)
    weights = _equal(surface, goal)
    mean, square, number = np.zeros_like(weights), np.zeros_like(weights), 0
    while surface.spent.forwards + 3 <= max(forwards, 3):
        nll, slopes = surface.gradient(weights)
        best.saw(weights, nll)
        losses = surface.folds.per_token(nll)
        slope = goal.shares(losses) @ surface.folds.per_token(slopes)
        number += 1
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        step = mean / (1 - 0.9**number) / (np.sqrt(square / (1 - 0.999**number)) + 1e-8)
        weights = goal.inside(weights - ADAM_RATE * step, len(surface.groups))
    return best.found(ways.GRADIENT, False, f"{number} steps of Adam")


def cma_es(
    surface: Counted,
    goal: Goal,
    forwards: float,
    seed: str,
    way: str = ways.CMA_ES,
    watch: Callable[[float, Array], bool] | None = None,
) -> Found:
    """Evolve weights from equal ones until that many forward passes (pycma's CMA-ES).

    Source: Hansen and Ostermeier 2001, Evolutionary Computation 9:159.

    Parameters
    ----------
    forwards : float
        Evaluations of the text, at most.
    seed : str
        Names its random numbers.
    watch : callable, optional
        Called with the forward passes and the best weights whenever these change; true ends the
        search.
    """
    from cma import CMAEvolutionStrategy

    best, start = Best(surface, goal), _equal(surface, goal)
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "little") % (2**31) or 1
    options: dict[str, Any] = {"seed": number, "verbose": -9, "verb_log": 0, "verb_disp": 0}
    options["bounds"] = [goal.lower, goal.upper]
    strategy = CMAEvolutionStrategy(start, CMA_SPREAD / len(surface.experts), options)
    while not strategy.stop():
        points, merits = strategy.ask(), list[float]()
        for point in points:
            if surface.spent.forwards + 1 > max(forwards, 1):
                return best.found(way, False, f"{surface.spent.n_losses} evaluations")
            before = best.merit
            merits.append(best.losses(goal.inside(np.asarray(point), len(surface.groups))))
            if best.merit < before and watch and watch(surface.spent.forwards, best.point):
                return best.found(way, True, f"{surface.spent.n_losses} evaluations")
        strategy.tell(points, merits)
    return best.found(way, True, f"{surface.spent.n_losses} evaluations")


def quadratic(surface: Counted, goal: Goal) -> Found:
    """Put quadratic models through losses alone, and minimise them as the search does.

    1 + 2 n + n (n - 1) / 2 evaluations for n weights, 55 for nine, and one of the result.
    """
    start = _equal(surface, goal)
    step, n_groups = QUADRATIC_STEP / len(surface.experts), len(surface.groups)
    found = pair_differences(
        surface.losses, surface.experts, surface.groups, surface.folds, start, step
    )
    models = Quadratics.of(found)
    used = np.ones(len(surface.experts), dtype=bool)
    box = Box.of(goal, np.tile(used, n_groups)).around(start, 1.0)

    def best_on(some: Quadratics, strength: Strength) -> Array:
        penalty = penalty_matrix(strength, models.unit(), n_groups, used)
        return Problem(goal, some, penalty, box, n_groups).best(start)

    choice = cross_validate(found, goal, best_on)
    best = Best(surface, goal)
    best.losses(best_on(models, choice.strength))
    best.saw(start, found.nll)
    return replace(best.found(ways.QUADRATIC), choice=choice)


def _equal(surface: Counted, goal: Goal) -> Array:
    """Return equal weights, brought within the bounds."""
    return goal.inside(_shares(surface, np.ones(len(surface.experts))), len(surface.groups))


def _shares(surface: Counted, members: Array) -> Array:
    """Return the weights of an average of some experts, shape (weights,)."""
    shares: Array = np.tile(members / members.sum(), len(surface.groups))
    return shares
