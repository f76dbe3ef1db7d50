"""The same curves for smaller pools: each pool of M-1 and M-2 experts has its merges measured.

The paper (section 4.1) takes two candidate pools, of 8 and 7 of its 9 experts, and finds that the
floors hardly move. Which two is chance; here are all of them.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.analyses.returns import measured_return
from mergelaw.laws.forms import TOLERANCE, Array
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.refit import refit
from mergelaw.laws.resampling import Cell, Pools, curve_draws, smaller_pools
from mergelaw.laws.schemas.doubts import POOLS
from mergelaw.laws.weighting import pose

CURVE = ("size", "method", "domain")
MOST_LEFT_OUT = 2
PARAMETERS = ("floor", "tail", "offset")
NOTHING = "none"
SHARE = 0.9


class Fitted(NamedTuple):
    """The law of each pool: NaN where the k are too few, or R2 of a constant curve."""

    parameters: Array  # (pools, 3)
    r2: Array  # (pools,)


def pools(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the fit, the reachable loss and k90 of the pool and of all smaller pools.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.

    Returns
    -------
    polars.DataFrame
        Schema `POOLS`; curves whose measured k all have all their subsets, with k = 1 among them.
        The loss of a pool and its k90 (of the measured return) are null where not all its experts
        were merged; the law is null with fewer than 3 distinct k.

    Raises
    ------
    NotMadeError
        If there is no such curve.
    """
    n_experts = len(study.experts)
    frames = [
        _rows(losses, smaller_pools(losses, study, n), n_experts - n)
        for n in range(min(MOST_LEFT_OUT, n_experts - 1) + 1)
    ]
    found = [row for rows in frames for row in rows]
    if not found:
        raise NotMadeError("no curve has all the subsets of every k that it has")
    return POOLS.frame(found)


def _rows(losses: pl.DataFrame, smaller: Pools, n_experts: int) -> list[dict[str, Any]]:
    """Return the rows of all pools of one number of experts."""
    merges = losses.filter(pl.col("k").is_between(1, n_experts))
    cells = merges.select(*CURVE, "k").unique(maintain_order=True).sort("k", maintain_order=True)
    found = []
    for key, part in cells.partition_by(CURVE, as_dict=True, maintain_order=True).items():
        ks = part["k"].to_numpy()
        names: list[Cell] = [(*key, k) for k in ks.tolist()]
        curves = curve_draws(smaller.losses, names)
        if curves is not None and ks[0] == 1:
            label = dict(zip(CURVE, key, strict=True)) | {"n_experts": n_experts}
            found += [
                label | {"left_out": "+".join(left_out) or NOTHING} | record
                for left_out, record in zip(
                    smaller.left_out, _records(ks, curves, n_experts), strict=True
                )
            ]
    return found


def _records(ks: Array, curves: Array, n_experts: int) -> list[dict[str, Any]]:
    """Return what is told of each pool from its curve, shape (pools, k)."""
    fitted = fit_curves(ks, curves)
    whole = ks[-1] == n_experts
    return [
        {
            **dict(zip(PARAMETERS, _defined(parameters), strict=True)),
            "r2": _defined([r2])[0],
            "loss_pool": float(curve[-1]) if whole else None,
            "k90": _k90(ks, curve) if whole else None,
        }
        for curve, parameters, r2 in zip(curves, fitted.parameters, fitted.r2, strict=True)
    ]


def fit_curves(ks: Array, curves: Array) -> Fitted:
    """Fit the law with a floor and a tail to curves of shape (pools, k), all points alike."""
    nothing = Fitted(np.full((len(curves), len(PARAMETERS)), np.nan), np.full(len(curves), np.nan))
    if len(ks) < FLOOR_TAIL.variables["k"][0]:
        return nothing
    try:
        problem = pose(FLOOR_TAIL, {"k": ks}, curves[0]).problem
    except FitError:
        return nothing
    parameters = refit(problem, curves)
    floor, tail, offset = parameters.T[..., None]
    left = np.sum((FLOOR_TAIL.function(ks, floor, tail, offset) - curves) ** 2, axis=1)
    spread = np.sum((curves - curves.mean(axis=1, keepdims=True)) ** 2, axis=1)
    r2 = 1 - np.divide(left, spread, out=np.full(len(left), np.nan), where=spread > 0)
    return Fitted(parameters, r2)


def _k90(ks: Array, curve: Array) -> int | None:
    shares = measured_return(curve)
    return None if shares is None else int(ks[np.argmax(shares >= SHARE - TOLERANCE)])


def _defined(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
