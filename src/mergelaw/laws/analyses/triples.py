"""Which three k forecast a curve best: every triple tried on curves that are known."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.forecast import three_point
from mergelaw.laws.analyses.size_fits import CURVE, measured
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import TRIPLE_ERRORS, TRIPLES


def triples(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the errors of the forecast from every three measured k < M, schema `TRIPLES`.

    A triple with k = M in it would be no forecast of L(M). Curves without L(M), or with fewer
    than three k below M, have no rows.

    Raises
    ------
    NotMadeError
        If no curve is left.
    """
    pool = len(study.experts)
    rows = []
    for key, losses in measured(curves).items():
        label = dict(zip(CURVE, key, strict=True))
        chosen = combinations(sorted(k for k in losses if k < pool), 3) if pool in losses else ()
        rows += [
            {**label, "points": ",".join(map(str, ks)), **triple_error(ks, losses, pool)}
            for ks in chosen
        ]
    if not rows:
        raise NotMadeError("no curve has the whole pool merged and three smaller k")
    return TRIPLES.frame(rows)


def triple_error(
    ks: tuple[int, int, int], losses: Mapping[int, float], pool: int
) -> dict[str, str | float | None]:
    """Return the case and the relative errors of one three-point forecast.

    Parameters
    ----------
    ks : three ints
        Increasing, all below `pool`.
    losses : mapping of int to float
        Mean loss at each measured k, `pool` among them, in nats per token.

    Returns
    -------
    dict
        `case`; `error_pool`, ``(forecast - L(M)) / L(M)``; `largest_error`, the largest absolute
        one over the measured k beside the three. The errors are None when not identified.
    """
    forecast = three_point(ks, [losses[k] for k in ks])
    floor, tail, offset = forecast.floor, forecast.tail, forecast.offset
    if floor is None or tail is None or offset is None:
        return {"case": forecast.case, "error_pool": None, "largest_error": None}
    others = [k for k in losses if k not in ks]
    loss = np.array([losses[k] for k in others])
    errors = floor_tail(np.array(others), floor, tail, offset) / loss - 1
    return {
        "case": forecast.case,
        "error_pool": float(errors[others.index(pool)]),
        "largest_error": float(np.abs(errors).max()),
    }


def triple_errors(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return how far off each triple is for each method, with the schema `TRIPLE_ERRORS`.

    Over sizes of the ladder and domains, macro left out: it is made of them. Errors are those of
    the curves with a forecast, so a triple that is refused often (`n_refused`) is judged on easier
    curves.
    """
    found = triples(curves.filter(~pl.col("size").is_in(study.off_ladder)), study)
    domains = found.filter(pl.col("domain") != MACRO)
    error = pl.col("error_pool").abs()
    return TRIPLE_ERRORS.of(
        domains.group_by("points", "method", maintain_order=True).agg(
            n_curves=pl.len(),
            n_refused=pl.col("error_pool").is_null().sum(),
            median_error=error.median(),
            q90_error=error.quantile(0.9, "linear"),
            largest_error=error.max(),
        )
    )
