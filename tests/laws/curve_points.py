"""Curves written down point by point, and their fits."""

from collections.abc import Mapping
from math import comb

import polars as pl

from mergelaw.laws.estimates import estimate_all, fit_table
from mergelaw.laws.schemas import CURVES

BILLIONS = {"s0": 1.0, "s1": 2.0, "s2": 4.0, "s3": 8.0}


def curve(
    losses: Mapping[int, float],
    size: str = "s0",
    method: str = "average",
    domain: str = "d0",
    pool: int = 9,
    **columns: Mapping[int, float | int | None],
) -> pl.DataFrame:
    """Return a curve of all subsets with the given losses; `columns` replaces others by k."""
    rows = [
        {
            "size": size, "n_params_billions": BILLIONS[size], "method": method, "domain": domain,
            "k": k, "n_subsets": comb(pool, k), "n_subsets_pool": comb(pool, k),
            "n_mask_seeds": 1, "loss": loss, "subset_se": 0.0,
            **{name: values[k] for name, values in columns.items() if k in values},
        }
        for k, loss in losses.items()
    ]  # fmt: skip
    return CURVES.frame(rows)


def fits_of(curves: pl.DataFrame) -> pl.DataFrame:
    """Return the table of all fits of the curves."""
    return fit_table(estimate_all(curves)[0])
