"""Standard errors of means over balanced subsets: what a second-order surface misses.

A 2-design has exactly the mean of all subsets for any loss of second order in the shares of the
experts. What is left of the error is made by the part of the loss that no such surface has, and
its experts are relabelled at random, so that this part is drawn without replacement.
"""

from collections.abc import Collection
from math import comb

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError
from mergelaw.laws.forms import Array
from mergelaw.laws.subset_model import FLOORS, fit_subsets

FEWEST_LEFT = 5.0
"""Degrees of freedom that a surface must leave, for its misfit to be told."""

CURVE = ("size", "method", "domain")


def balanced_errors(
    losses: pl.DataFrame, study: Study, cells: Collection[tuple[str, int]]
) -> pl.DataFrame:
    """Return the standard errors of the means over 2-designs.

    ``se^2 = s^2 (1/n - 1/C)``, n of C subsets measured and s the standard deviation of what a
    second-order surface misses in a merge of k (`mergelaw.laws.subset_model`), fitted to all
    merges of a size, a method and a domain. It would be Cochran's formula for s^2 as the mean
    square of the misfit over all C subsets, were that spread evenly over everything beyond second
    order. On studies whose truth is known it is too large rather than too small (docs/designs.md).

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.
    cells : collection of (size, k)
        Those with a 2-design (`mergelaw.design.sampling`).

    Returns
    -------
    polars.DataFrame
        Columns size, method, domain, k, balanced_se; no row where it is not known, as where the
        merges leave no degrees of freedom beside the surface.
    """
    sizes = sorted({size for size, _ in cells})
    merges = losses.filter(pl.col("size").is_in(sizes), pl.col("k") > 0)
    rows = []
    for (size, method, domain), part in merges.partition_by(*CURVE, as_dict=True).items():
        ks = sorted(k for of, k in cells if of == size)
        missed = _missed(part, study.expert_names, ks)
        rows += [(size, method, domain, k, se) for k, se in missed.items()]
    schema = dict.fromkeys(CURVE, pl.String()) | {"k": pl.Int64(), "balanced_se": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _missed(part: pl.DataFrame, pool: tuple[str, ...], ks: Collection[int]) -> dict[int, float]:
    """Return the standard error at each k of one curve; none where no surface can be fitted."""
    part = part.sort("k", "subset")
    try:
        model = fit_subsets(
            members_of(part["subset"], pool), part["loss"].to_numpy(), FLOORS, FEWEST_LEFT
        )
    except FitError:
        return {}
    counts = dict(part["k"].value_counts().iter_rows())
    found = {}
    for k in ks:
        n, n_pool = counts.get(k, 0), comb(len(pool), k)
        if 0 < n < n_pool:
            one_of_k = np.arange(len(pool))[None] < k
            found[k] = float(model.misfit(one_of_k)[0] * np.sqrt(1 / n - 1 / n_pool))
    return found


def members_of(subsets: pl.Series, pool: tuple[str, ...]) -> Array:
    """Return which experts of the pool are in each subset, shape (subsets, experts)."""
    inside = [set(name.split("+")) for name in subsets]
    return np.array([[expert in names for expert in pool] for names in inside])
