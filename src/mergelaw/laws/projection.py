"""Variable projection: a law that is linear in some parameters is searched over the others only.

At given values of the searched parameters the best linear ones, within their signs, are found
exactly; what is left is a sum of squares on a small grid (Golub and Pereyra 1973; for scaling laws
arXiv 2603.22339).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.optimize import least_squares, nnls

from mergelaw.laws.forms import Array
from mergelaw.laws.law import Law

NEGLIGIBLE = 1e-10
"""A term that makes a smaller share of the losses than this is rounding, and set to 0; 3e-11 was
seen in a flat curve, where the tail's column is nearly the floor's."""

RIDGE = 1e-13
"""Added to the diagonal of a Gram matrix of unit columns, so that equal columns can be solved."""


FINEST = 1e-14
"""A descent ends when a step lowers the sum of squares by a smaller share of it."""


class Problem(NamedTuple):
    """A law and the points that it is fitted to."""

    law: Law
    variables: Mapping[str, Array]
    loss: Array
    root_weight: Array

    @property
    def y(self) -> Array:
        """The weighted losses."""
        return self.loss * self.root_weight


class Held(NamedTuple):
    """A condition on the linear parameters: ``coefficients(nodes) @ w = value`` at every node.

    It holds a linear parameter (one coefficient is 1, the others 0) or the law's value at a point
    (the law's columns there).
    """

    coefficients: Callable[[Array], Array]
    value: float


class Grid(NamedTuple):
    """The law's columns at all nodes of its grid, for one set of points and weights."""

    shape: tuple[int, ...]  # nodes along each searched parameter
    nodes: Array  # (nodes, searched)
    columns: Array  # (nodes, points, linear), weighted and of unit length
    lengths: Array  # (nodes, linear), before
    gram: Array  # (nodes, linear, linear)


def solve_many(gram: Array, cross: Array, free: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """Solve many small least squares problems of given signs by trying every active set.

    The minimum of ``|X w - y|^2`` over w >= 0 is the least of the unconstrained minima on subsets
    of columns that happen to be non-negative; with 3 columns there are 8 subsets.

    Parameters
    ----------
    gram : array, shape (problems, columns, columns)
        ``X' X``; columns should have about equal length.
    cross : array, shape (problems, columns)
        ``X' y``.
    free : tuple of int
        Columns whose weight may be negative.

    Returns
    -------
    w : array, shape (problems, columns)
    explained : array, shape (problems,)
        ``|y|^2 - |X w - y|^2``.
    """
    n_columns = cross.shape[1]
    best = np.zeros_like(cross)
    explained = np.zeros(len(cross))
    for size in range(1, n_columns + 1):
        for active in map(list, combinations(range(n_columns), size)):
            part = gram[:, active][:, :, active] + RIDGE * np.eye(size)
            w = np.linalg.solve(part, cross[:, active, None])[..., 0]
            gain = np.einsum("ij,ij->i", w, cross[:, active])
            allowed = (w >= 0) | np.isin(active, free)
            better = allowed.all(axis=1) & (gain > explained)
            explained[better] = gain[better]
            best[better] = 0
            best[np.ix_(better, active)] = w[better]
    return best, explained


def starts(problem: Problem, count: int) -> Array:
    """Return the best local minima of the projected sum of squares on the law's grid.

    The result has shape (at most count, searched).
    """
    law = problem.law
    grid = _grid_of(problem)
    if not law.searched:
        return grid.nodes
    cross = np.einsum("npl,p->nl", grid.columns, problem.y)
    _, explained = solve_many(grid.gram, cross, law.free)
    field = -explained.reshape(grid.shape)
    is_minimum = (field == minimum_filter(field, size=3, mode="nearest")).ravel()
    ranked = np.flatnonzero(is_minimum)[np.argsort(field.ravel()[is_minimum], kind="stable")]
    return grid.nodes[ranked[:count]]


def start_held(problem: Problem, held: Held) -> Array:
    """Return the node of the law's grid with the least sum of squares where `held` holds.

    As `_conditioned`, for all nodes at once, but that the expressed parameter may be negative.
    """
    grid = _grid_of(problem)
    coefficients = held.coefficients(grid.nodes) / grid.lengths
    pivot = int(np.flatnonzero(coefficients[0])[0])
    rest = [i for i in range(coefficients.shape[1]) if i != pivot]
    scale = held.value / coefficients[:, pivot, None]
    shifted = problem.y - scale * grid.columns[:, :, pivot]
    if not rest:
        return np.asarray(grid.nodes[np.argmin(np.sum(shifted**2, axis=1))])
    ratio = coefficients[:, rest] / coefficients[:, pivot, None]
    moved = grid.columns[:, :, rest] - grid.columns[:, :, [pivot]] * ratio[:, None]
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    moved /= np.where(lengths > 0, lengths, 1)
    kept = tuple(place for place, i in enumerate(rest) if i in problem.law.free)
    gram = np.matmul(moved.transpose(0, 2, 1), moved)
    _, explained = solve_many(gram, np.einsum("npl,np->nl", moved, shifted), kept)
    return np.asarray(grid.nodes[np.argmin(np.sum(shifted**2, axis=1) - explained)])


def _grid_of(problem: Problem) -> Grid:
    key = tuple((name, values.tobytes()) for name, values in problem.variables.items())
    return _grid(problem.law, key, problem.root_weight.tobytes())


@lru_cache(maxsize=64)
def _grid(law: Law, variables: tuple[tuple[str, bytes], ...], root_weight: bytes) -> Grid:
    """Return the grid of one set of points, kept for the other curves measured at these points."""
    axes = [spec.grid for spec in law.searched]
    nodes = np.array(list(product(*axes)))
    arrays = {variable: np.frombuffer(values) for variable, values in variables}
    columns = law.columns(arrays, nodes) * np.frombuffer(root_weight)[:, None]
    lengths = np.linalg.norm(columns, axis=1)
    columns /= lengths[:, None]
    gram = np.einsum("npi,npj->nij", columns, columns)
    return Grid(tuple(map(len, axes)), nodes, columns, lengths, gram)


def solve_linear(problem: Problem, node: Array, held: Held | None = None) -> tuple[Array, Array]:
    """Return the best linear parameters at one node, and the weighted residuals left.

    Parameters
    ----------
    held : Held, optional
        A condition that the linear parameters meet exactly.
    """
    law = problem.law
    columns = law.columns(problem.variables, node[None])[0] * problem.root_weight[:, None]
    if held is None:
        w = _least_squares(columns, problem.y, law.free)
    else:
        w = _conditioned(columns, problem.y, law.free, held.coefficients(node[None])[0], held.value)
    return w, columns @ w - problem.y


def _least_squares(columns: Array, y: Array, free: tuple[int, ...]) -> Array:
    """Return the weights of columns that are best within their signs."""
    lengths = np.linalg.norm(columns, axis=0)
    if not free:
        share = nnls(columns / lengths, y)[0]
        share[share < NEGLIGIBLE * np.linalg.norm(y)] = 0
        return np.asarray(share / lengths)
    # Columns of either sign are projected out of the others, and solved for last.
    signs = np.isin(np.arange(columns.shape[1]), free)
    basis, _ = np.linalg.qr(columns[:, signs])
    rest = columns[:, ~signs] / lengths[~signs]
    w = np.zeros(columns.shape[1])
    if rest.size:
        w[~signs] = nnls(rest - basis @ (basis.T @ rest), y - basis @ (basis.T @ y))[0]
        w[w < NEGLIGIBLE * np.linalg.norm(y)] = 0
        w /= lengths
    w[signs] = np.linalg.lstsq(columns[:, signs], y - columns @ w)[0]
    return w


def _conditioned(
    columns: Array, y: Array, free: tuple[int, ...], coefficients: Array, value: float
) -> Array:
    """Return the best weights with ``coefficients @ w = value``.

    The first column with a coefficient is expressed by the others. Where it then comes out
    negative, it is 0 at the minimum (the problem is convex), and the next column takes its place.
    """
    pivot = int(np.flatnonzero(coefficients)[0])
    rest = [i for i in range(len(coefficients)) if i != pivot]
    ratio = coefficients[rest] / coefficients[pivot]
    w = np.zeros(len(coefficients))
    if rest:
        moved = columns[:, rest] - columns[:, [pivot]] * ratio
        shifted = y - columns[:, pivot] * (value / coefficients[pivot])
        kept = tuple(place for place, i in enumerate(rest) if i in free)
        w[rest] = _least_squares(moved, shifted, kept)
    w[pivot] = value / coefficients[pivot] - ratio @ w[rest]
    if w[pivot] < 0 and pivot not in free and np.any(coefficients[rest]):
        w[pivot] = 0
        w[rest] = _conditioned(columns[:, rest], y, kept, coefficients[rest], value)
    return w


def descend(
    problem: Problem, node: Array, held: Held | None = None, tolerance: float = FINEST
) -> Array:
    """Return the local minimum of the projected sum of squares next to a node, within bounds.

    `tolerance` is the share of the sum of squares by which the last step lowered it.
    """
    bounds = np.array([(spec.minimum, spec.maximum) for spec in problem.law.searched])
    bounds = bounds.reshape(-1, 2)
    free = bounds[:, 0] < bounds[:, 1]
    if not free.any():
        return node

    size = np.linalg.norm(problem.y)  # the optimizer's gtol is not relative: small losses stop it

    def residuals(values: Array) -> Array:
        whole = node.copy()
        whole[free] = values
        shares: Array = solve_linear(problem, whole, held)[1] / size
        return shares

    result = least_squares(
        residuals,
        node[free],
        bounds=bounds[free].T,
        method="dogbox",
        ftol=tolerance,
        xtol=1e2 * tolerance,
        gtol=1e-14,
        max_nfev=100,
    )
    end = node.copy()
    end[free] = result.x
    return end
