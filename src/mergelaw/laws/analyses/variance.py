"""Variance over subsets of a finite pool, with its law fitted."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import finite_pool_variance
from mergelaw.laws.schemas import VARIANCE

CURVE = ("size", "method", "domain")


def variances(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the variance over subsets with the finite-pool law fitted, schema `VARIANCE`.

    ``Var[L|k] = v0 (1/k - 1/M)`` by unweighted least squares over the measured k < M with at
    least two subsets: ``v0 = sum v x / sum x^2``, x = 1/k - 1/M. k = M has one subset and a
    variance of 0 by definition, so it says nothing. The variance is that of a subset drawn from
    the C = C(M, k) possible ones (divisor C), estimated by ``sd^2 (C - 1) / C``: without bias from
    all subsets or a uniform sample, while those of Algorithm 1 are chosen to lie far apart.
    """
    pool = len(study.experts)
    points = curves.filter(pl.col("k").is_between(1, pool - 1) & (pl.col("n_subsets") > 1))
    share = finite_pool_variance(points["k"].to_numpy(), 1.0, pool)
    n_pool = pl.col("n_subsets_pool")
    points = points.with_columns(
        variance=pl.col("sd") ** 2 * (n_pool - 1) / n_pool,
        share=pl.Series(share, dtype=pl.Float64),
    )
    product = (pl.col("variance") * pl.col("share")).sum()
    points = points.with_columns(v0=(product / (pl.col("share") ** 2).sum()).over(CURVE))
    return VARIANCE.of(points.with_columns(variance_fitted=pl.col("v0") * pl.col("share")))
