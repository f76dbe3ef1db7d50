"""Curves as they would be with other items, and with fewer experts: what intervals are made from.

Experts cannot be resampled with repetition, as items are: that would need merges of an expert with
itself, which were never measured. But the merges of any smaller pool lie in an exhaustive table,
so experts are left out instead (the jackknife). The mean over all subsets of k experts is a
U-statistic of degree k of the experts (Arvesen 1969, Annals of Mathematical Statistics 40).
"""

from collections.abc import Mapping
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import t as student

from mergelaw.config import Study
from mergelaw.laws import forms
from mergelaw.laws.forms import Array
from mergelaw.laws.members import measured
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.uncertainty import ItemDraws

Cell = tuple[str, str, str, int]
"""Size, method, domain and k of a point of a curve."""

Draws = Mapping[Cell, Array]
"""Other values that the loss of a point could have had, the same draws in all of them."""

LEVEL = forms.LEVEL
"""Of intervals, everywhere."""


class Pools(NamedTuple):
    """Curves of the pools with some experts left out."""

    left_out: tuple[tuple[str, ...], ...]
    losses: Draws  # shape (pools,); only cells whose k was measured on all its subsets


def by_cell(draws: ItemDraws) -> Draws:
    """Return resampled losses by point."""
    cells = draws.groups.select("size", "method", "k").rows()
    return {
        (size, method, domain, k): values[:, i]
        for domain, values in draws.losses.items()
        for i, (size, method, k) in enumerate(cells)
    }


def smaller_pools(losses: pl.DataFrame, study: Study, n_left_out: int) -> Pools:
    """Return the curves of every pool with `n_left_out` experts fewer.

    The loss of such a pool at k is the mean over the subsets of k of its own experts.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.
    n_left_out : int
        0 is the pool itself.
    """
    names, domains = study.expert_names, (*study.domain_names, MACRO)
    left_out = np.array(list(combinations(range(len(names)), n_left_out)), dtype=int)
    result: dict[Cell, Array] = {}
    for size, method, members, values in measured(losses, study, domains):
        n_merged = members.sum(axis=1)
        for k in range(1, len(names) - n_left_out + 1):
            mine = n_merged == k
            if mine.sum() == comb(len(names), k):
                means = pool_means(members[mine], left_out) @ values[mine]
                for domain, column in zip(domains, means.T, strict=True):
                    result[size, method, domain, k] = column
    return Pools(tuple(tuple(names[i] for i in row) for row in left_out), result)


def pool_means(members: Array, left_out: Array) -> Array:
    """Return the matrix that averages subsets of one k to smaller pools, shape (pools, subsets).

    Parameters
    ----------
    members : bool array, shape (subsets, experts)
    left_out : int array, shape (pools, experts left out)
        A pool's mean is over the subsets that have none of these.
    """
    inside = ~members[:, left_out].any(axis=2).T
    matrix: Array = inside / inside.sum(axis=1, keepdims=True)
    return matrix


def curve_draws(draws: Draws, cells: list[Cell]) -> Array | None:
    """Return draws of a whole curve, shape (draws, cells); None where a cell has none."""
    if not all(cell in draws for cell in cells):
        return None
    curve = np.stack([draws[cell] for cell in cells], axis=1)
    return curve if np.isfinite(curve).all() else None


def jackknife_error(values: Array, n_experts: int, n_left_out: int) -> Array:
    """Return the standard error over new draws of the experts.

    ``se^2 = (M - d)/(d C(M, d)) sum (t_s - mean t)^2`` over all pools s of M - d experts (Shao &
    Wu 1989, Annals of Statistics 17); with d = 1 it is Tukey's ``(M - 1)/M sum (t_j - mean t)^2``.

    Parameters
    ----------
    values : array, shape (pools, ...)
        A quantity computed from each smaller pool.
    n_experts, n_left_out : int
        M and d.
    """
    factor = (n_experts - n_left_out) / (n_left_out * comb(n_experts, n_left_out))
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=0)
    error: Array = np.sqrt(factor * squares)
    return error


def reach(freedom: float) -> float:
    """Return how many standard errors an interval reaches to each side: Student's t."""
    return float(student.ppf((1 + LEVEL) / 2, freedom))
