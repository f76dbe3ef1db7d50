"""What a balanced design of few merges would have reported, against all subsets measured."""

import numpy as np
import polars as pl
from scipy.stats import t as student

from mergelaw.config import Study
from mergelaw.config.design import BalancedPart
from mergelaw.design import levels_of, merges_for
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.between import freedom_of, of_points
from mergelaw.laws.curves import over_subsets, with_subset_errors
from mergelaw.laws.estimates import fit_points, predict_points
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.resampling import LEVEL
from mergelaw.laws.rows import in_order
from mergelaw.laws.schemas.subsets import BALANCED

CURVE = ("size", "method", "domain")

N_K = 4
"""Numbers of experts of the design: both ends, and two between; the fewest that show a misfit."""

ROUNDING = 1e-12
"""Of a loss: means of the same subsets may differ by so much."""


def balanced(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the curve of a balanced design beside the exhaustive one, at every k.

    The design's merges are taken out of the exhaustive table, where they are the same to the bit.
    At its k the curve is their mean, with its standard error; at all others the quadratic in 1/k
    through these means (`mergelaw.laws.between`). Intervals are for the mean over all subsets on
    the same text: the choice of subsets alone is in them, as items are shared by both curves.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.

    Returns
    -------
    polars.DataFrame
        Schema `BALANCED`, for sizes with all subsets of the pool.

    Raises
    ------
    NotMadeError
        If no size has them, or the design is not smaller.
    """
    n_experts = len(study.experts)
    whole = _whole(losses, n_experts)
    exact = over_subsets(whole, n_experts)
    points = with_subset_errors(*_of_design(whole, study))
    curves = {
        key: part.sort("k") for key, part in points.partition_by(*CURVE, as_dict=True).items()
    }
    frames = [
        _compared(part.sort("k"), curves[key], n_experts)
        for key, part in exact.partition_by(*CURVE, as_dict=True, maintain_order=True).items()
    ]
    return BALANCED.of(in_order(pl.concat(frames), study))


def _whole(losses: pl.DataFrame, n_experts: int) -> pl.DataFrame:
    """Return the merges of the sizes that have all subsets of the pool."""
    if n_experts < N_K:
        raise NotMadeError(f"a pool of {n_experts} has no {N_K} k to choose")
    merges = losses.filter(pl.col("k") > 0).sort(*CURVE, "k", "subset")
    counts = merges.group_by(*CURVE).agg(n=pl.col("subset").n_unique())
    short = counts.filter(pl.col("n") < 2**n_experts - 1)["size"].unique().to_list()
    whole = merges.filter(~pl.col("size").is_in(short))
    if whole.is_empty():
        raise NotMadeError("no size has all subsets of the pool, to compare few of them with")
    return whole


def _of_design(whole: pl.DataFrame, study: Study) -> tuple[pl.DataFrame, pl.DataFrame, Study]:
    """Return the means over a balanced design, its merges, and the study that it would be."""
    n_experts = len(study.experts)
    part = BalancedPart(kind="balanced", merges=merges_for(n_experts, N_K))
    if part.merges >= 2**n_experts - 1:
        raise NotMadeError(f"a balanced design of {N_K} k has all subsets of {n_experts} experts")
    names = [subset.name for level in levels_of(study, part) for subset in level.subsets]
    sizes = tuple(size.model_copy(update={"design": None}) for size in study.sizes)
    chosen = study.model_copy(update={"design": (part,), "sizes": sizes})
    merges = whole.filter(pl.col("subset").is_in(names))
    return over_subsets(merges, n_experts), merges, chosen


def _compared(exact: pl.DataFrame, points: pl.DataFrame, n_experts: int) -> pl.DataFrame:
    """Return one curve's rows: measured where the design has k, else between."""
    ks = np.arange(1, n_experts + 1)
    loss, half = of_points(points, ks)
    half = np.full(n_experts, np.nan) if half is None else half
    at = points["k"].to_numpy() - 1
    loss[at] = points["loss"].to_numpy()
    reach = student.ppf((1 + LEVEL) / 2, freedom_of(points))
    half[at] = reach * points["subset_se"].cast(pl.Float64).to_numpy()
    true = exact["loss"].to_numpy()
    known = np.isfinite(half)
    inside = np.abs(loss - true) <= half + ROUNDING * true
    counts = dict(points.select("k", "n_subsets").iter_rows())
    return exact.select(*CURVE, "k", "n_subsets_pool", "loss").with_columns(
        n_subsets=pl.Series([counts.get(int(k), 0) for k in ks]),
        loss_balanced=loss,
        low=pl.Series(loss - half).fill_nan(None),
        high=pl.Series(loss + half).fill_nan(None),
        inside=pl.Series([bool(i) if k else None for i, k in zip(inside, known, strict=True)]),
        loss_law=_law(points, exact),
    )


def _law(points: pl.DataFrame, exact: pl.DataFrame) -> Array | pl.Expr:
    """Return what the law says that is fitted to the design's means."""
    try:
        return predict_points(fit_points(FLOOR_TAIL, points), exact)
    except FitError:
        return pl.lit(None, pl.Float64)
