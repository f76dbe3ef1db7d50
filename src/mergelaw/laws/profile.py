"""Profile intervals: the values of a parameter that the points do not contradict."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from mergelaw.laws.law import Law
from mergelaw.laws.profile_path import Path, ProfileInterval, law_at, parameter
from mergelaw.laws.projection import Problem
from mergelaw.laws.search import End, basins, best, ends
from mergelaw.laws.weighting import Weights, pose

__all__ = ["LOSS_AT", "ProfileInterval", "profile_intervals"]

LOSS_AT = "loss_at"
"""Name of the law's value at the point asked for."""

EXACT = 1e-9
"""Residuals below this share of the losses are rounding: there is no scatter to judge by."""

BROADEST = 1e6
"""First step of a parameter that the points hardly depend on, at most."""


def profile_intervals(
    law: Law,
    variables: Mapping[str, ArrayLike],
    loss: ArrayLike,
    weights: Weights = "uniform",
    errors: ArrayLike | None = None,
    level: float = 0.95,
    at: Mapping[str, float] | None = None,
) -> dict[str, ProfileInterval]:
    """Return the profile interval of every free parameter.

    The interval of a quantity q holds the values v with ``RSS(v) <= RSS_min (1 + F / (n - p))``,
    where RSS(v) is the least weighted sum of squares of all parameters with q = v, and F the
    quantile of the F distribution with 1 and n - p degrees of freedom (Bates & Watts 1988,
    Nonlinear Regression Analysis, section 6.1). Unlike a standard error it knows of bounds and
    curvature. p counts all free parameters, those at a bound as well. The points' errors are taken
    as independent, and the weights as known. Where minima are about equally good, the interval
    spans them.

    Parameters
    ----------
    law, variables, loss, weights, errors
        As for `mergelaw.laws.fitting.fit`.
    level : float
        Share of intervals that hold the truth.
    at : mapping of str to float, optional
        A point; the interval of the law's value there is added under the name "loss_at".

    Returns
    -------
    dict of str to ProfileInterval
        By parameter, in the law's order. An end is None where values up to the parameter's bound
        fit as well, and both are None with no degree of freedom or no scatter.

    Raises
    ------
    FitError
        If the points are too few to determine the law, or a loss is not a positive number.
    """
    problem = pose(law, variables, loss, weights, errors).problem
    freedom = len(problem.loss) - problem.law.n_free
    if freedom < 1:
        return _none(problem.law, at, "as many free parameters as points: nothing to judge by")
    found = ends(problem)
    rss = best(found).rss
    if rss <= (EXACT * np.linalg.norm(problem.y)) ** 2:
        return _none(problem.law, at, "the law goes through every point: no scatter to judge by")
    rise = float(np.sqrt(f_distribution.ppf(level, 1, freedom) / freedom))
    near = [end for end in basins(found, len(problem.loss)) if end.rss < rss * (1 + rise**2)]
    return _profiles(problem, near, rise, at)


def _none(law: Law, at: Mapping[str, float] | None, reason: str) -> dict[str, ProfileInterval]:
    names = [spec.name for spec in law.parameters if spec.minimum < spec.maximum]
    return dict.fromkeys([*names, *([LOSS_AT] if at else [])], ProfileInterval(None, None, reason))


def _profiles(
    problem: Problem, minima: list[End], rise: float, at: Mapping[str, float] | None
) -> dict[str, ProfileInterval]:
    steps = _steps(problem, minima[0])
    result = {}
    for spec in problem.law.parameters:
        if spec.minimum < spec.maximum:
            path = Path(parameter(problem, spec), minima, rise)
            values = [end.values[spec.name] for end in minima]
            bounds = spec.minimum, spec.maximum
            result[spec.name] = path.interval(values, steps[spec.name], bounds)
    if at:
        point = {name: np.array([float(at[name])]) for name in problem.law.variables}
        path = Path(law_at(problem, point), minima, rise)
        values = [float(problem.law.function(**point, **end.values)[0]) for end in minima]
        scatter = float(np.sqrt(minima[0].rss / np.sum(problem.root_weight**2)))
        result[LOSS_AT] = path.interval(values, scatter, (0.0, np.inf))
    return result


def _steps(problem: Problem, end: End) -> dict[str, float]:
    """Return rough standard errors, the first steps of the profiles; positive in any case.

    Beside the parameter itself, those at a bound are held there: they would stretch its step.
    """
    law = problem.law
    base = law.function(**problem.variables, **end.values)
    slopes = {}
    for spec in law.parameters:
        value = end.values[spec.name]
        reach = 1e-6 * max(abs(value), 1e-3)
        moved = law.function(**problem.variables, **end.values | {spec.name: value + reach})
        slopes[spec.name] = (moved - base) / reach * problem.root_weight
    inside = [s.name for s in law.parameters if s.minimum < end.values[s.name] < s.maximum]
    scatter = np.sqrt(end.rss / (len(problem.loss) - law.n_free))
    result = {}
    for spec in law.parameters:
        others = [slopes[name] for name in inside if name != spec.name]
        slope = slopes[spec.name]
        if others:
            slope = slope - np.array(others).T @ np.linalg.lstsq(np.array(others).T, slope)[0]
        steepness = np.linalg.norm(slope)
        least = 1e-6 * (abs(end.values[spec.name]) + float(problem.loss.mean()))
        most = 0.05 * (spec.maximum - spec.minimum)
        step = scatter / steepness if steepness > 0 else most
        result[spec.name] = float(np.clip(step, min(least, most), min(most, BROADEST)))
    return result
