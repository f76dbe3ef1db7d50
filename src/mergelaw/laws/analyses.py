"""What curves say beyond the fits: variance over subsets, returns of k, gaps between methods."""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import TOLERANCE, Array, finite_pool_variance
from mergelaw.laws.schemas import GAPS, RETURNS, VARIANCE

CURVE = ("size", "method", "domain")


def variances(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the variance over subsets with the finite-pool law fitted, schema `VARIANCE`.

    ``Var[L|k] = v0 (1/k - 1/M)`` by unweighted least squares over the measured k < M with at
    least two subsets: ``v0 = sum v x / sum x^2``, x = 1/k - 1/M. k = M has one subset and a
    variance of 0 by definition, so it says nothing. The variance is that of a subset drawn from
    the C = C(M, k) possible ones (divisor C), estimated without bias by ``sd^2 (C - 1) / C``.
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


def measured_return(losses: Array) -> Array | None:
    """Return the share of the realised improvement that each k reaches.

    ``R(k) = (Lt(1) - Lt(k)) / (Lt(1) - Lt(M))`` on the running minimum ``Lt(k) = min L(j <= k)``
    (the paper's "fractional return"; its formula is not printed there).

    Parameters
    ----------
    losses : array, shape (measured k,)
        In the order of k, from k = 1 to k = M.

    Returns
    -------
    Array like `losses`, or None where nothing is better than k = 1.
    """
    envelope = np.minimum.accumulate(losses)
    drop = envelope[0] - envelope[-1]
    return (envelope[0] - envelope) / drop if drop > 0 else None


def returns(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return fractional returns and k85, k90 with the schema `RETURNS`.

    Only for curves with k = 1 and k = M measured: the return is relative to these ends.
    """
    rows = []
    parts = curves.filter(pl.col("k") > 0).partition_by(CURVE, as_dict=True, maintain_order=True)
    for key, points in parts.items():
        ks = points["k"].to_list()
        if ks[0] == 1 and ks[-1] == len(study.experts):
            shares = measured_return(points["loss"].to_numpy())
            label = dict(zip(CURVE, key, strict=True))
            label |= {"k85": _first(ks, shares, 0.85), "k90": _first(ks, shares, 0.9)}
            rows += [
                label | {"k": k, "return": None if shares is None else float(shares[i])}
                for i, k in enumerate(ks)
            ]
    return RETURNS.frame(rows)


def _first(ks: list[int], shares: Array | None, share: float) -> int | None:
    return None if shares is None else ks[int(np.argmax(shares >= share - TOLERANCE))]


def gaps(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return how much worse than plain averaging each method is, in percent, schema `GAPS`.

    ``100 (L / L_reference - 1)`` at k >= 1; the reference is the first entry with the method
    "average", or the first entry where there is none. It has rows (of 0) as well.
    """
    label = study.reference_label
    merges = curves.filter(pl.col("k") > 0)
    reference = merges.filter(pl.col("method") == label).select(
        "size", "domain", "k", reference_loss="loss"
    )
    both = merges.join(reference, on=("size", "domain", "k"), maintain_order="left")
    percent = 100 * (pl.col("loss") / pl.col("reference_loss") - 1)
    return GAPS.of(both.with_columns(reference=pl.lit(label), gap_percent=percent))
