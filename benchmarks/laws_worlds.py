"""Made-up studies whose truth is known: pools of experts, evaluation items, sampled subsets."""

from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mergelaw.laws.forms import floor_tail
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.resampling import pool_means
from mergelaw.laws.search import best, ends
from mergelaw.laws.weighting import pose

Array = NDArray[np.float64]

POOL = 9
DIMENSION = 20
FLOOR, TAIL, OFFSET = 1.8, 0.3, 0.4
CURVATURE = np.geomspace(1, 0.05, DIMENSION) / DIMENSION
"""Eigenvalues of the Hessian."""


class Truth(NamedTuple):
    """The law of the population: its parameters, and its loss at k = M."""

    floor: float
    tail: float
    offset: float
    loss_pool: float


def truth_of(curve: Array, pool: int = POOL) -> Truth:
    """Return the law fitted to a curve at k = 1, 2, ...: what endless data would give."""
    ks = np.arange(1, len(curve) + 1, dtype=float)
    values = best(ends(pose(FLOOR_TAIL, {"k": ks}, curve).problem)).values
    return Truth(**values, loss_pool=float(floor_tail(pool, **values)))


def loss_of(task_vectors: Array, curved: bool) -> Array:
    """Return the loss at merged task vectors, shape (..., dimension): quadratic, or flattening."""
    quadratic = ((task_vectors - 1) ** 2 @ CURVATURE) / 2
    return FLOOR + (np.log1p(quadratic) if curved else quadratic)


def experts(draw: np.random.Generator, count: int = POOL) -> Array:
    """Return task vectors of a normal population around (1, 1, ...) less a shift of 0.5."""
    return 0.5 + draw.normal(size=(count, DIMENSION))


@lru_cache
def population(curved: bool, pool: int = POOL) -> Truth:
    """Return the law of the population: closed form for the quadratic loss, else 10^6 merges."""
    k = np.arange(1, pool + 1)
    if not curved:
        return truth_of(FLOOR + CURVATURE.sum() * (0.25 + 1 / k) / 2, pool)
    return truth_of(population_curve(), pool)


@lru_cache
def population_curve() -> Array:
    """Return the mean loss of merges of k fresh experts, k = 1..M, of the flattening loss."""
    noise = np.random.default_rng(0).normal(size=(500_000, DIMENSION))
    noise = np.concatenate([noise, -noise])  # pairs: the mean is exact in the first order
    return np.array([loss_of(0.5 + noise / np.sqrt(k), True).mean() for k in range(1, POOL + 1)])


@lru_cache
def members(pool: int, k: int) -> NDArray[np.bool_]:
    """Return which experts are in each subset of k, shape (subsets, pool)."""
    subsets = np.array(list(combinations(range(pool), k)))
    inside: NDArray[np.bool_] = (subsets[:, :, None] == np.arange(pool)).any(axis=1)
    return inside


def subset_losses(task_vectors: Array, k: int, curved: bool = True) -> Array:
    """Return the losses of all subsets of k of a pool."""
    inside = members(len(task_vectors), k)
    return loss_of(inside @ task_vectors / k, curved)


def pool_curves(task_vectors: Array, n_left_out: int, curved: bool) -> Array:
    """Return the curves of all pools with some experts fewer, shape (pools, k)."""
    pool = len(task_vectors)
    left_out = np.array(list(combinations(range(pool), n_left_out)), dtype=int)
    ks = range(1, pool - n_left_out + 1)
    if curved:
        means = (
            pool_means(members(pool, k), left_out) @ subset_losses(task_vectors, k) for k in ks
        )
        return np.stack(list(means), axis=1)
    kept = np.array([np.delete(task_vectors, row, axis=0) for row in left_out])
    spread = kept.var(axis=1, ddof=1) @ CURVATURE / 2  # the mean over subsets in closed form
    k = np.array(ks)
    ends = loss_of(kept.mean(axis=1), False)
    return np.asarray(ends[:, None] + spread[:, None] * (1 / k - 1 / k[-1]))


class Items(NamedTuple):
    """Losses of evaluation items: each has a law of its own."""

    floor: Array
    tail: Array
    offset: Array

    def curve(self, ks: Array) -> Array:
        """Return losses of shape (k, items)."""
        return floor_tail(ks[:, None], self.floor, self.tail, self.offset)


def items(draw: np.random.Generator, count: int) -> Items:
    """Return items with heavy tails: t with 3 degrees of freedom, and a log-normal."""
    floor = FLOOR * (1 + 0.1 * draw.standard_t(3, size=count))
    tail = TAIL * draw.lognormal(-0.32, 0.8, size=count)  # of mean 1
    return Items(floor, tail, draw.choice([0.1, 0.3, 0.8], size=count))


@lru_cache
def items_curve() -> Array:
    """Return the mean loss over all items that there could be, k = 1..M."""
    k = np.arange(1, POOL + 1)
    tails = [floor_tail(k, 0, TAIL * np.exp(-0.32 + 0.32), b) for b in (0.1, 0.3, 0.8)]
    return np.asarray(FLOOR + np.mean(tails, axis=0))


def sampled(
    draw: np.random.Generator, task_vectors: Array, count: int
) -> tuple[Array, Array, Array]:
    """Return means over sampled subsets at k = 1..M, their standard errors, and the true means."""
    points = []
    for k in range(1, POOL + 1):
        losses = subset_losses(task_vectors, k)
        n = min(count, len(losses))
        seen = draw.choice(losses, n, replace=False)
        error = 0.0 if n == len(losses) else seen.std(ddof=1) * np.sqrt(1 / n - 1 / len(losses))
        points.append((seen.mean(), error, losses.mean()))
    mean, errors, exact = np.array(points).T
    return mean, errors, exact
