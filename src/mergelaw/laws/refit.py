"""One law fitted to many draws of the same points at once: best parameters only, no errors.

The columns of the grid and their products are the same for all draws; the descents from the best
nodes are made side by side (Levenberg and Marquardt's steps on the projected problem, see
`mergelaw.laws.projection`).
"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.law import Law
from mergelaw.laws.projection import NEGLIGIBLE, RIDGE, Problem, solve_many
from mergelaw.laws.search import BOUND_TOLERANCE

BATCH = 256
"""Draws fitted side by side: their grids fit into memory."""

MAX_STEPS = 100
STEP = 1e-6
"""Of the derivatives, in units of a parameter's range or of its value, the smaller."""

STILL = 1e-9
"""A descent has ended when its steps are shorter, in the same units."""


class Points(NamedTuple):
    """Where descents are: the searched parameters, the linear ones there, what is left."""

    nodes: Array  # (draws, searched)
    linear: Array  # (draws, linear)
    residuals: Array  # (draws, points), weighted

    @property
    def rss(self) -> Array:
        """Weighted sums of squares, shape (draws,)."""
        total: Array = np.einsum("dp,dp->d", self.residuals, self.residuals)
        return total


def refit(problem: Problem, losses: Array, near: Array | None = None) -> Array:
    """Fit the problem's law to every row of losses, with the problem's weights.

    Parameters
    ----------
    problem : Problem
        From `mergelaw.laws.weighting.pose`: the law, where the points are, their weights. Its own
        losses are not used.
    losses : array, shape (draws, points)
        In nats per token.
    near : array, shape (searched,), optional
        Searched parameters to descend from as well as from the grid's best node: those of the fit
        to the measured losses, where the law searches more than one.

    Returns
    -------
    Array of shape (draws, parameters), in the law's order. NaN for a draw with a loss that is not
    finite.
    """
    result = np.full((len(losses), len(problem.law.parameters)), np.nan)
    usable = np.flatnonzero(np.isfinite(losses).all(axis=1))
    for first in range(0, len(usable), BATCH):
        rows = usable[first : first + BATCH]
        result[rows] = _refit(problem, losses[rows] * problem.root_weight, near)
    return result


def _refit(problem: Problem, y: Array, near: Array | None) -> Array:
    law = problem.law
    best = _descend(problem, y, _grid_best(problem, y))
    if near is not None and law.searched:
        other = _descend(problem, y, np.tile(near, (len(y), 1)))
        best = _chosen(other.rss < best.rss, other, best)
    order = [*law.linear, *(spec.name for spec in law.searched)]
    together = np.hstack([best.linear, best.nodes])
    return _settled(law, together[:, [order.index(spec.name) for spec in law.parameters]])


def _grid_best(problem: Problem, y: Array) -> Array:
    """Return the grid's best node for each draw, shape (draws, searched).

    The active sets are those of `solve_many`; their inverses serve all draws.
    """
    law = problem.law
    nodes = np.array(list(product(*(spec.grid for spec in law.searched))))
    columns = law.columns(problem.variables, nodes) * problem.root_weight[:, None]
    columns /= np.linalg.norm(columns, axis=1, keepdims=True)
    gram = np.einsum("npi,npj->nij", columns, columns)
    cross = np.einsum("npl,dp->dnl", columns, y, optimize=True)
    explained = np.zeros(cross.shape[:2])
    n_columns = len(law.linear)
    for size in range(1, n_columns + 1):
        for active in map(list, combinations(range(n_columns), size)):
            inverse = np.linalg.inv(gram[:, active][:, :, active] + RIDGE * np.eye(size))
            part = cross[:, :, active]
            w = (inverse[None] @ part[..., None])[..., 0]
            allowed = ((w >= 0) | np.isin(active, law.free)).all(axis=2)
            explained = np.maximum(explained, np.where(allowed, (w * part).sum(axis=2), 0))
    best: Array = nodes[explained.argmax(axis=1)]
    return best


def _solve(problem: Problem, y: Array, nodes: Array) -> Points:
    """Return the best linear parameters of each draw at a node of its own."""
    columns = problem.law.columns(problem.variables, nodes) * problem.root_weight[:, None]
    lengths = np.linalg.norm(columns, axis=1)
    columns /= lengths[:, None]
    gram = columns.transpose(0, 2, 1) @ columns
    share, _ = solve_many(gram, (y[:, None] @ columns)[:, 0], problem.law.free)
    share[np.abs(share) < NEGLIGIBLE * np.linalg.norm(y, axis=1)[:, None]] = 0
    return Points(nodes, share / lengths, (columns @ share[..., None])[..., 0] - y)


def _descend(problem: Problem, y: Array, nodes: Array) -> Points:
    """Return the local minimum next to each draw's node, within the bounds.

    Steps of Levenberg and Marquardt (More 1978), each draw with its own damping; a parameter at a
    bound that the sum of squares pushes against stays there.
    """
    low, high = np.array([(s.minimum, s.maximum) for s in problem.law.searched]).reshape(-1, 2).T
    here = _solve(problem, y, nodes)
    damping = np.full(len(y), 1e-3)
    going = np.arange(len(y) if (low < high).any() else 0)
    for _ in range(MAX_STEPS):
        if not going.size:
            break
        now = Points(*(part[going] for part in here))
        step = _step(problem, y[going], now, damping[going], (low, high))
        tried = _solve(problem, y[going], np.clip(now.nodes + step, low, high))
        better = tried.rss < now.rss
        for part, new in zip(here, tried, strict=True):
            part[going[better]] = new[better]
        damping[going] *= np.where(better, 0.1, 10)
        moved = np.abs(tried.nodes - now.nodes) > STILL * _unit(now.nodes, low, high)
        going = going[moved.any(axis=1) & (damping[going] < 1e12)]
    return here


def _step(
    problem: Problem, y: Array, now: Points, damping: Array, bounds: tuple[Array, Array]
) -> Array:
    """Return a damped Gauss-Newton step of each draw, shape (draws, searched)."""
    low, high = bounds
    jacobian = np.zeros((*now.residuals.shape, len(low)))
    for i in np.flatnonzero(low < high):
        change = STEP * _unit(now.nodes, low, high)[:, i]
        change = np.where(now.nodes[:, i] + change > high[i], -change, change)
        moved = now.nodes.copy()
        moved[:, i] += change
        jacobian[:, :, i] = (_solve(problem, y, moved).residuals - now.residuals) / change[:, None]
    gradient = np.einsum("dps,dp->ds", jacobian, now.residuals)
    pushed = ((now.nodes <= low) & (gradient > 0)) | ((now.nodes >= high) & (gradient < 0))
    jacobian *= ~pushed[:, None]
    gradient *= ~pushed
    gram = jacobian.transpose(0, 2, 1) @ jacobian
    diagonal = np.einsum("dss->ds", gram)
    diagonal += damping[:, None] * diagonal
    diagonal[diagonal == 0] = 1
    step: Array = -np.linalg.solve(gram, gradient[..., None])[..., 0]
    return step


def _unit(nodes: Array, low: Array, high: Array) -> Array:
    """Return the length that steps of each parameter are measured in."""
    unit: Array = np.minimum(high - low, np.maximum(np.abs(nodes), 0.01))
    return unit


def _chosen(first: Array, one: Points, other: Points) -> Points:
    pairs = zip(one, other, strict=True)
    return Points(*(np.where(first[:, None], a, b) for a, b in pairs))


def _settled(law: Law, values: Array) -> Array:
    """Put parameters on a bound where they are next to it, as `mergelaw.laws.search.settled`."""
    values = values.copy()
    names = [spec.name for spec in law.parameters]
    for i, spec in enumerate(law.parameters):
        reach = BOUND_TOLERANCE * (spec.maximum - spec.minimum) if spec.grid else 0.0
        values[values[:, i] >= spec.maximum - reach, i] = spec.maximum
        low = values[:, i] <= spec.minimum + reach
        if spec.needs:
            low |= values[:, names.index(spec.needs)] == 0
        values[low, i] = spec.minimum
    return values
