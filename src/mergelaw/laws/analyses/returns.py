"""Fractional return of k: the share of the realised improvement that k experts reach."""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import TOLERANCE, Array
from mergelaw.laws.schemas import RETURNS

CURVE = ("size", "method", "domain")


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
