"""What a fit is given: points checked, the law that they can determine, and their weights."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from mergelaw.errors import FitError
from mergelaw.laws.forms import Array
from mergelaw.laws.law import WORDS, Law
from mergelaw.laws.projection import Problem, descend, solve_linear
from mergelaw.laws.search import best, ends

Weights = Literal["uniform", "k", "measured"]

LEAST_MISFIT = 1e-6
"""Least lack of fit, as a share of the mean loss: no point is known better than this."""

SETTLED = 1e-6
"""The lack of fit is found when it moves by less than this share."""

ROUNDS = 50
"""Rounds of weights and fits, at most; the lack of fit settles in about ten."""


class Posed(NamedTuple):
    """A problem, the weights it has (which may not be those asked for), and why not."""

    problem: Problem
    weights: Weights
    misfit: float | None  # nats per token, None unless the weights are "measured"
    note: str | None


def pose(
    law: Law,
    variables: Mapping[str, ArrayLike],
    loss: ArrayLike,
    weights: Weights = "uniform",
    errors: ArrayLike | None = None,
) -> Posed:
    """Return the weighted problem of a fit (its arguments are those of `mergelaw.laws.fit`).

    Raises
    ------
    FitError
        If the points are too few to determine the law, a loss is not a positive number, or a law
        without k is weighed by k.
    """
    arrays = {name: np.ascontiguousarray(variables[name], float) for name in law.variables}
    losses = np.ascontiguousarray(loss, float)
    law = _determinable(law, arrays, losses)
    problem = Problem(law, arrays, losses, np.ones_like(losses))
    if weights == "k":
        if "k" not in arrays:
            raise FitError(f"the law {law.name} has no k to weigh by: use uniform weights")
        return Posed(problem._replace(root_weight=np.sqrt(arrays["k"])), "k", None, None)
    if weights == "uniform":
        return Posed(problem, "uniform", None, None)
    return _measured(problem, errors)


def _determinable(law: Law, variables: Mapping[str, Array], loss: Array) -> Law:
    """Return the law that the points can determine: with two distinct k the offset is held at 0."""
    if not np.all(np.isfinite(loss) & (loss > 0)):
        raise FitError(f"the law {law.name} needs losses that are positive numbers")
    distinct = {name: len(np.unique(variables[name])) for name in law.variables}
    has_offset = any(s.name == "offset" and s.minimum < s.maximum for s in law.parameters)
    held = has_offset and distinct["k"] == 2
    for name, (fewest, _) in law.variables.items():
        if distinct[name] < fewest - (held and name == "k"):
            raise FitError(
                f"the law {law.name} needs {fewest} {WORDS.get(name, f'distinct {name}')} "
                f"and there are {distinct[name]}"
            )
    n_free = law.n_free - held
    if len(loss) < n_free:
        raise FitError(
            f"the law {law.name} has {n_free} parameters and there are {len(loss)} points"
        )
    return law.holding("offset", 0.0) if held else law


def _measured(problem: Problem, errors: ArrayLike | None) -> Posed:
    """Weigh by measured errors, where all are known."""
    known = np.full_like(problem.loss, np.nan) if errors is None else np.asarray(errors, float)
    if not np.all(np.isfinite(known) & (known >= 0)):
        unknown = int(np.sum(~np.isfinite(known)))
        of_all = f"{unknown} of {len(known)} points"
        note = f"the sampling error of {of_all} is not known: all points weigh the same"
        return Posed(problem, "uniform", None, note)
    if not known.any():
        return Posed(problem, "measured", None, None)
    misfit = _lack_of_fit(problem, known)
    return Posed(weighed(problem, known, misfit), "measured", misfit, None)


def weighed(problem: Problem, errors: Array, misfit: float) -> Problem:
    """Return the problem with the weights 1/(errors^2 + misfit^2), their mean square being 1."""
    root_weight = 1 / np.hypot(errors, misfit)
    return problem._replace(root_weight=root_weight / np.sqrt(np.mean(root_weight**2)))


def _lack_of_fit(problem: Problem, errors: Array) -> float:
    """Return t in the weights 1/(errors^2 + t^2), in nats per token.

    t^2 is what the law misses beside the sampling errors: ``sum r^2 / (errors^2 + t^2) = n - p``
    (the moment equation of Paule and Mandel 1982), r being the residuals of the fit with these
    weights, found by turns. 0 or below (the errors alone explain the residuals) gives the least
    value, and so do as many parameters as points.
    """
    least = LEAST_MISFIT * float(problem.loss.mean())
    freedom = len(problem.loss) - problem.law.n_free
    if freedom < 1:
        return least
    node = _node(problem)
    misfit = np.inf
    posed = problem
    for _ in range(ROUNDS):
        node = descend(posed, node)
        residuals = solve_linear(posed, node)[1] / posed.root_weight
        before, misfit = misfit, _balanced(residuals, errors, freedom, least)
        posed = weighed(problem, errors, misfit)
        if abs(misfit - before) <= SETTLED * misfit:
            break
    return misfit


def _node(problem: Problem) -> Array:
    values = best(ends(problem)).values
    return np.array([values[spec.name] for spec in problem.law.searched], float)


def _balanced(residuals: Array, errors: Array, freedom: int, least: float) -> float:
    """Return t >= least with ``sum r^2 / (errors^2 + t^2) = freedom``, or the least."""

    def excess(misfit: float) -> float:
        return float(np.sum(residuals**2 / (errors**2 + misfit**2))) - freedom

    if excess(least) <= 0:
        return least
    return float(brentq(excess, least, np.sqrt(residuals @ residuals / freedom) + least))
