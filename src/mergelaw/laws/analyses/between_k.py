"""The curve at the k that were not merged, by a quadratic in 1/k through those that were."""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.between import N_TERMS, of_points
from mergelaw.laws.rows import in_order
from mergelaw.laws.schemas.subsets import BETWEEN

CURVE = ("size", "method", "domain")


def between_k(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the mean loss over all subsets at every k without merges.

    Parameters
    ----------
    curves : polars.DataFrame
        With the schema `CURVES`.

    Returns
    -------
    polars.DataFrame
        Schema `BETWEEN`, for curves with three k and more; intervals are null where the errors of
        the points are not known, or there is no fourth k to tell the scatter.

    Raises
    ------
    NotMadeError
        If no curve has three k and lacks one.
    """
    merges = curves.filter(pl.col("k") > 0)
    parts = merges.partition_by(*CURVE, as_dict=True, maintain_order=True)
    frames = [_missing(part, len(study.experts)) for part in parts.values()]
    table = pl.concat([BETWEEN.frame([]), *frames])
    if table.is_empty():
        raise NotMadeError(f"no curve has {N_TERMS} k and lacks another")
    return BETWEEN.of(in_order(table, study))


def _missing(points: pl.DataFrame, n_experts: int) -> pl.DataFrame:
    at = np.setdiff1d(np.arange(1, n_experts + 1), points["k"].to_numpy())
    if points["k"].n_unique() < N_TERMS or not len(at):
        return BETWEEN.frame([])
    loss, half = of_points(points, at)
    half = np.full(len(at), np.nan) if half is None else half
    row = points.select(*CURVE).head(1)
    table = row.join(pl.DataFrame({"k": at}), how="cross").with_columns(
        n_k=pl.lit(points["k"].n_unique()),
        loss=loss,
        low=pl.Series(loss - half).fill_nan(None),
        high=pl.Series(loss + half).fill_nan(None),
    )
    return BETWEEN.of(table)
