"""Variable projection: a law that is linear in some parameters is searched over the others only.

At given values of the searched parameters the best linear ones, none negative, are found exactly;
what is left is a sum of squares on a small grid (Golub and Pereyra 1973; for scaling laws
arXiv 2603.22339).
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter
from scipy.optimize import least_squares, nnls

from mergelaw.laws.forms import Array
from mergelaw.laws.law import LAWS, Law

NEGLIGIBLE = 1e-12
"""A term that makes a smaller share of the losses than this is rounding, and set to 0."""

RIDGE = 1e-13
"""Added to the diagonal of a Gram matrix of unit columns, so that equal columns can be solved."""


class Grid(NamedTuple):
    """The law's columns at all nodes of its grid, for one set of points and weights."""

    shape: tuple[int, ...]  # nodes along each searched parameter
    nodes: Array  # (nodes, searched)
    columns: Array  # (nodes, points, linear), weighted and of unit length
    gram: Array  # (nodes, linear, linear)


def non_negative(gram: Array, cross: Array) -> tuple[Array, Array]:
    """Solve many small non-negative least squares problems by trying every active set.

    The minimum of ``|X w - y|^2`` over w >= 0 is the least of the unconstrained minima on subsets
    of columns that happen to be non-negative; with 3 columns there are 8 subsets.

    Parameters
    ----------
    gram : array, shape (problems, columns, columns)
        ``X' X``; columns should have about equal length.
    cross : array, shape (problems, columns)
        ``X' y``.

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
            better = (w >= 0).all(axis=1) & (gain > explained)
            explained[better] = gain[better]
            best[better] = 0
            best[np.ix_(better, active)] = w[better]
    return best, explained


def starts(
    law: Law, variables: Mapping[str, Array], y: Array, root_weight: Array, count: int
) -> Array:
    """Return the best local minima of the projected sum of squares on the law's grid.

    `y` is already multiplied by `root_weight`. The result has shape (at most count, searched).
    """
    key = tuple((name, values.tobytes()) for name, values in variables.items())
    grid = _grid(law.name, tuple(spec.grid for spec in law.searched), key, root_weight.tobytes())
    _, explained = non_negative(grid.gram, np.einsum("npl,p->nl", grid.columns, y))
    field = -explained.reshape(grid.shape)
    is_minimum = (field == minimum_filter(field, size=3, mode="nearest")).ravel()
    ranked = np.flatnonzero(is_minimum)[np.argsort(field.ravel()[is_minimum], kind="stable")]
    return grid.nodes[ranked[:count]]


@lru_cache(maxsize=64)
def _grid(
    name: str,
    axes: tuple[tuple[float, ...], ...],
    variables: tuple[tuple[str, bytes], ...],
    root_weight: bytes,
) -> Grid:
    """Return the grid of one set of points, kept for the other curves measured at these points."""
    nodes = np.array(list(product(*axes)))
    arrays = {variable: np.frombuffer(values) for variable, values in variables}
    columns = LAWS[name].columns(arrays, nodes) * np.frombuffer(root_weight)[:, None]
    columns /= np.linalg.norm(columns, axis=1, keepdims=True)
    gram = np.einsum("npi,npj->nij", columns, columns)
    return Grid(tuple(map(len, axes)), nodes, columns, gram)


def solve_linear(
    law: Law, variables: Mapping[str, Array], y: Array, root_weight: Array, node: Array
) -> tuple[Array, Array]:
    """Return the best linear parameters at one node, and the weighted residuals left."""
    columns = law.columns(variables, node[None])[0] * root_weight[:, None]
    lengths = np.linalg.norm(columns, axis=0)
    share = nnls(columns / lengths, y)[0]
    share[share < NEGLIGIBLE * np.linalg.norm(y)] = 0
    w = share / lengths
    return w, columns @ w - y


def descend(
    law: Law, variables: Mapping[str, Array], y: Array, root_weight: Array, node: Array
) -> Array:
    """Return the local minimum of the projected sum of squares next to a node, within bounds."""
    bounds = np.array([(spec.minimum, spec.maximum) for spec in law.searched])
    free = bounds[:, 0] < bounds[:, 1]
    if not free.any():
        return node

    def residuals(values: Array) -> Array:
        whole = node.copy()
        whole[free] = values
        return solve_linear(law, variables, y, root_weight, whole)[1]

    result = least_squares(
        residuals,
        node[free],
        bounds=bounds[free].T,
        method="dogbox",
        ftol=1e-14,
        xtol=1e-12,
        gtol=1e-14,
        max_nfev=100,
    )
    end = node.copy()
    end[free] = result.x
    return end
