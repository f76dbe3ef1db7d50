"""How well a law's predictions are known: their standard errors and 95% intervals.

What is predicted is the mean loss over all subsets of this pool, on new text of the same domains.
Three things stand between it and the fitted law: the evaluation items, subsets that were not
measured, and what the law itself misses (its lack of fit, taken as independent from point to
point). The fit follows the points ``d loss = H d points`` to first order ("delta method"), H being
the matrix of weighted least squares, ``H = G (J' W J)^-1 J' W`` with J and G the law's derivatives
by its free parameters at the points and where it predicts (Bates & Watts 1988, Nonlinear
Regression Analysis, section 2.3).

Nothing here knows of a wrong law far from the points, nor of other experts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from mergelaw.laws.forms import Array
from mergelaw.laws.law import Law
from mergelaw.laws.point_noise import Noise
from mergelaw.laws.projection import Problem
from mergelaw.laws.resampling import LEVEL

STEP = 1e-6
"""Of the derivatives, in units of the parameter."""

RANK = 1e-9
"""Directions of the parameters that move the points by a smaller share than this are not used."""


class PredictionErrors(NamedTuple):
    """What is known of predictions: arrays of shape (predictions,).

    Attributes
    ----------
    stderr, freedom
        Standard errors, and the degrees of freedom that they were estimated with.
    covariance : array, shape (predictions, predictions)
        How they err together.
    """

    stderr: Array
    freedom: Array
    covariance: Array

    @property
    def half(self) -> Array:
        """How far the interval reaches to each side: Student's t times the standard error."""
        reach: Array = student.ppf((1 + LEVEL) / 2, self.freedom) * self.stderr
        return reach

    @property
    def gain_stderr(self) -> Array:
        """Standard errors of each prediction less the next, shape (predictions - 1,)."""
        variances, shared = np.diag(self.covariance), np.diag(self.covariance, 1)
        gains: Array = np.sqrt(np.maximum(variances[:-1] + variances[1:] - 2 * shared, 0))
        return gains


def prediction_errors(
    problem: Problem,
    values: Mapping[str, float],
    noises: Sequence[Noise],
    misfit: float | None,
    at: Mapping[str, Array],
) -> PredictionErrors | None:
    """Return the standard errors of a fitted law's predictions.

    Parameters
    ----------
    problem : Problem
        The points, and the weights that the law was fitted with.
    values : mapping of str to float
        The fitted parameters. Those at a bound are taken as known.
    noises : sequence of Noise
        Independent sources of error of the points, from `mergelaw.laws.point_noise`.
    misfit : float or None
        The lack of fit that the weights allow for, in nats per token; None: from the residuals.
    at : mapping of str to array, shape (predictions,)
        Where the law predicts.

    Returns
    -------
    PredictionErrors or None
        None with no degree of freedom left, where the lack of fit cannot be seen. The degrees of
        freedom are Satterthwaite's (1946, Biometrics Bulletin 2): ``V^2 / sum (V_i^2 / f_i)`` over
        the parts V_i of the variance.
    """
    law = problem.law
    inside = [s.name for s in law.parameters if s.minimum < values[s.name] < s.maximum]
    freedom = len(problem.loss) - len(inside)
    if freedom < 1:
        return None
    follow = _follow(problem, values, inside, at)
    if misfit is None:
        residuals = law.function(**problem.variables, **values) - problem.loss
        misfit = float(np.sqrt(residuals @ residuals / freedom))
    parts = [np.einsum("ij,jk,ik->i", follow, noise.covariance, follow) for noise in noises]
    parts.append(misfit**2 * _missed(follow, problem.variables, at))
    # Covariances of sizes with different subsets can be a little negative.
    variances = np.maximum(parts, 0)
    freedoms = np.array([*(noise.freedom for noise in noises), freedom])
    total = variances.sum(axis=0)
    shares = variances / np.where(total > 0, total, 1)
    uncertain = np.sum(shares**2 / freedoms[:, None], axis=0)
    least = np.where(uncertain > 0, uncertain, 1)
    together = [follow @ noise.covariance @ follow.T for noise in noises]
    together.append(misfit**2 * _missed_together(follow, problem.variables, at))
    return PredictionErrors(np.sqrt(total), 1 / least, np.sum(together, axis=0))


def _follow(
    problem: Problem, values: Mapping[str, float], inside: list[str], at: Mapping[str, Array]
) -> Array:
    """Return how predictions follow the points, shape (predictions, points)."""
    weight = problem.root_weight
    slopes = _slopes(problem.law, values, inside, problem.variables) * weight[:, None]
    lengths = np.linalg.norm(slopes, axis=0)
    lengths[lengths == 0] = 1
    inverse = np.linalg.pinv(slopes / lengths, rcond=RANK) * weight
    there = _slopes(problem.law, values, inside, at)
    follow: Array = (there / lengths) @ inverse
    return follow


def _slopes(
    law: Law, values: Mapping[str, float], names: list[str], at: Mapping[str, Array]
) -> Array:
    """Return the law's derivatives by some parameters, shape (predictions, parameters)."""
    columns = []
    for name in names:
        change = STEP * max(abs(values[name]), 1e-3)
        ends = [law.function(**at, **{**values, name: values[name] + s * change}) for s in (1, -1)]
        columns.append((ends[0] - ends[1]) / (2 * change))
    return np.array(columns).T.reshape(-1, len(names))


def _missed(follow: Array, variables: Mapping[str, Array], at: Mapping[str, Array]) -> Array:
    """Return the variance from a lack of fit of 1, shape (predictions,).

    What the law misses at a point moves the fit, and is missed there still: ``|h - e|^2`` with e
    the point itself, and ``|h|^2 + 1`` where nothing was measured.
    """
    same = _same(variables, at)
    missed: Array = np.sum((follow - same) ** 2, axis=1) + 1 - same.sum(axis=1)
    return missed


def _missed_together(
    follow: Array, variables: Mapping[str, Array], at: Mapping[str, Array]
) -> Array:
    """Return the covariance of the same, shape (predictions, predictions).

    Where nothing was measured, what is missed is each prediction's own.
    """
    same = _same(variables, at)
    apart = follow - same
    together: Array = apart @ apart.T + np.diag(1.0 - same.sum(axis=1))
    return together


def _same(variables: Mapping[str, Array], at: Mapping[str, Array]) -> Array:
    """Return which prediction is at which point, shape (predictions, points)."""
    same: Array = np.all([at[name][:, None] == variables[name] for name in variables], axis=0)
    return same
