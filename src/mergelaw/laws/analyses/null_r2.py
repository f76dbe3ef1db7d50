"""How much of the law's R2 is automatic: its R2 on falling curves that follow no law."""

from functools import lru_cache

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws import forms
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.refit import refit
from mergelaw.laws.schemas.doubts import NULL_R2
from mergelaw.laws.uncertainty import generator
from mergelaw.laws.weighting import pose

NULLS = ("falling", "falling_convex")

N_CURVES = 500

LEVEL = 100.0
"""Of the drawn curves, which fall by 1: far enough above 0 that the floor's bound never acts."""

MIN_K = 4
"""Fewest k: three parameters go through three points, whatever they are."""

CURVE = ("method", "domain", "size")


def null_r2(curves: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the R2 of every curve of one size beside those of drawn curves: `NULL_R2`.

    The drawn curves have the measured k. R2 does not change when a curve is stretched or lifted,
    floor and tail following, so that curves with any two ends in common with the measured one give
    the same: they are drawn once for each set of k.

    Raises
    ------
    NotMadeError
        If no fitted curve has four k.
    """
    values = fits.filter(pl.col("law") == FLOOR_TAIL.name).pivot(
        "parameter", index=CURVE, values="value"
    )
    points = curves.filter(pl.col("k") > 0).join(values, on=CURVE, how="inner")
    rows = []
    for key, part in points.partition_by(CURVE, as_dict=True, maintain_order=True).items():
        if part["k"].n_unique() < MIN_K:
            continue
        r2 = _r2(part)
        for null in NULLS:
            drawn = drawn_r2(tuple(part["k"].sort().to_list()), null, study.seed)
            row = dict(zip(CURVE, key, strict=True)) | {"null": null, "n_k": part.height, "r2": r2}
            low, middle, high = np.quantile(drawn, (0.05, 0.5, 0.95)).tolist()
            row |= {"null_median": middle, "null_q05": low, "null_q95": high}
            above = None if r2 is None else float(np.mean(np.array(drawn) >= r2))
            rows.append(row | {"share_above": above})
    if not rows:
        raise NotMadeError("no fitted curve has four k")
    return NULL_R2.frame(rows)


def drawn_curves(ks: tuple[int, ...], null: str, seed: int, count: int = N_CURVES) -> Array:
    """Return curves at `ks` that fall from 1 to 0, shape (count, len(ks)).

    The drops from each k to the next, from the smallest to the largest of `ks`, are drawn from a
    flat Dirichlet distribution (all ways of sharing the fall are equally likely): in any order
    ("falling"), or the largest first, which makes the curve convex ("falling_convex").
    """
    draw = generator(seed, "null_r2", null, *map(str, ks))
    drops = draw.dirichlet(np.ones(ks[-1] - ks[0]), size=count)
    if null == "falling_convex":
        drops = np.sort(drops, axis=1)[:, ::-1]
    whole = 1 - np.cumsum(drops, axis=1)
    return np.column_stack([np.ones(count), whole])[:, np.array(ks) - ks[0]]


@lru_cache(maxsize=32)
def drawn_r2(ks: tuple[int, ...], null: str, seed: int, count: int = N_CURVES) -> tuple[float, ...]:
    """Return the R2 of the law fitted to each of `drawn_curves`."""
    losses = LEVEL + drawn_curves(ks, null, seed, count)
    k = np.array(ks, float)
    problem = pose(FLOOR_TAIL, {"k": k}, losses[0]).problem
    floor, tail, offset = refit(problem, losses).T[..., None]
    residuals = forms.floor_tail(k, floor, tail, offset) - losses
    spread = np.sum((losses - losses.mean(axis=1, keepdims=True)) ** 2, axis=1)
    return tuple((1 - np.sum(residuals**2, axis=1) / spread).tolist())


def _r2(points: pl.DataFrame) -> float | None:
    loss, k = points["loss"].to_numpy(), points["k"].to_numpy()
    floor, tail, offset = (points[name][0] for name in ("floor", "tail", "offset"))
    residuals = forms.floor_tail(k, floor, tail, offset) - loss
    spread = float(np.sum((loss - loss.mean()) ** 2))
    return 1 - float(residuals @ residuals) / spread if spread > 0 else None
