"""The paper's "order" dispersion: how far apart the subsets of k experts are.

The paper (section 4.3, appendix M.2) merges the first k experts of several permutations and calls
the spread of their losses sensitivity to order. At one k these are different subsets, and every
method here sums over a set: in exact arithmetic order cannot matter, and at k = M, where one
subset exists, the spread is 0. So this is dispersion over subsets; what order itself does, by the
rounding of sequential sums, is the analysis `order`.
"""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas.subsets import DISPERSION

CURVE = ("size", "method", "domain")

OFFSETS = np.linspace(0, 2, 201)
"""The paper's range of the offset; its seven printed fits all end at 2."""


def dispersion(curves: pl.DataFrame, variance: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return spreads over subsets with the paper's law fitted, with the schema `DISPERSION`.

    At k < M with at least two subsets, on curves with three such k. `sd_finite_pool` is
    ``sqrt(v0 (1/k - 1/M) C / (C - 1))``, C = C(M, k), with v0 of variance.parquet, whose variances
    have the divisor C: the last factor makes them comparable with `sd`.

    Raises
    ------
    NotMadeError
        If no curve has three such k.
    """
    points = curves.filter(
        pl.col("k").is_between(1, len(study.experts) - 1) & (pl.col("n_subsets") > 1)
    ).filter(pl.len().over(CURVE) >= 3)
    if points.is_empty():
        raise NotMadeError("no curve has two subsets at three k below the whole pool")
    fitted = variance.select(*CURVE, "k", "variance_fitted")
    points = points.join(fitted, on=(*CURVE, "k"), how="left", maintain_order="left")
    n_pool = pl.col("n_subsets_pool")
    points = points.with_columns(
        range=pl.col("maximum") - pl.col("minimum"),
        cv=pl.col("sd") / pl.col("loss"),
        sd_finite_pool=(pl.col("variance_fitted") * n_pool / (n_pool - 1)).sqrt(),
    )
    parts = points.partition_by(CURVE, maintain_order=True)
    return DISPERSION.of(pl.concat(map(_fitted, parts)))


def fit_dispersion(k: Array, sd: Array) -> tuple[float, float, float]:
    """Return c0, c1 and the offset b of ``sd = c0 + c1 / (k + b)`` (the paper, section 4.3).

    Unweighted least squares for c0 and c1, of any sign, at each b of `OFFSETS`; the best of them.

    Parameters
    ----------
    k, sd : arrays, shape (points,)
        At least three; sd in nats per token.
    """
    x = 1 / (k + OFFSETS[:, None])
    deviation = x - x.mean(axis=1, keepdims=True)
    slope = deviation @ sd / (deviation**2).sum(axis=1)
    level = sd.mean() - slope * x.mean(axis=1)
    rss = ((level[:, None] + slope[:, None] * x - sd) ** 2).sum(axis=1)
    best = int(np.argmin(rss))
    return float(level[best]), float(slope[best]), float(OFFSETS[best])


def _fitted(points: pl.DataFrame) -> pl.DataFrame:
    c0, c1, offset = fit_dispersion(points["k"].to_numpy(), points["sd"].to_numpy())
    return points.with_columns(
        sd_fitted=c0 + c1 / (pl.col("k") + offset),
        c0=c0,
        c1=c1,
        offset=offset,
        at_bound=pl.lit(offset in (OFFSETS[0], OFFSETS[-1])),
    )
