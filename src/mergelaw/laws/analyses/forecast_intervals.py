"""How far the three-point forecast is known; the three points themselves are fitted exactly.

Targets as in `mergelaw.laws.analyses.intervals`: "text" (items resampled), "experts" (the forecast
of every pool of M-1 experts, the jackknife) and "pool" (subsets were sampled: had all been
measured). The forecast's own error, a law of the wrong form, is in none of them: compare with
`forecast.parquet`.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.forecast import three_point
from mergelaw.laws.forms import Array, floor_tail
from mergelaw.laws.resampling import (
    LEVEL,
    Cell,
    by_cell,
    curve_draws,
    jackknife_error,
    reach,
    smaller_pools,
)
from mergelaw.laws.schemas.doubts import FORECAST_INTERVALS
from mergelaw.laws.uncertainty import generator, item_draws

CURVE = ("size", "method", "domain")

N_DRAWS = 500
"""Draws of sampled subsets' means."""

LEAST_IDENTIFIED = (1 + LEVEL) / 2
"""With fewer of the draws identified, the draws without a forecast could be either end."""


class Spread(NamedTuple):
    """Forecasts of draws for one target."""

    target: str
    points: Array  # (draws, 3)
    freedom: float
    n_experts: int | None = None  # of the jackknife


def forecast_intervals(
    rows: pl.DataFrame, losses: pl.DataFrame, curves: pl.DataFrame, study: Study
) -> pl.DataFrame:
    """Return intervals of the three-point forecast at k = 1..M, schema `FORECAST_INTERVALS`.

    Curves whose own forecast is not identified have no rows. Errors and ends are null where more
    than 2.5% of the draws (or any smaller pool) have no forecast.

    Parameters
    ----------
    rows, losses : polars.DataFrame
        From `mergelaw.laws.rows`: `prepare` and `subset_losses`.
    curves : polars.DataFrame
        Schema `CURVES`.

    Raises
    ------
    NotMadeError
        If no curve has the three k of `laws.forecast_k`, or none of the targets applies.
    """
    n_experts, ks = len(study.experts), sorted(study.laws.forecast_k)
    items = item_draws(rows, study)
    text, pools = by_cell(items), smaller_pools(losses, study, 1).losses
    found: list[dict[str, Any]] = []
    for key, part in _curves(curves).items():
        measured = {k: (loss, error) for k, loss, error in part.iter_rows()}
        if not all(k in measured for k in ks):
            continue
        cells: list[Cell] = [(*key, k) for k in ks]
        points = [measured[k][0] for k in ks]
        sampled = _sampled(points, [measured[k][1] for k in ks], study.seed, key)
        others = (curve_draws(text, cells), curve_draws(pools, cells))
        spreads = [
            None if others[0] is None else Spread("text", others[0], items.freedom[key[2]]),
            None if others[1] is None else Spread("experts", others[1], n_experts - 1, n_experts),
            None if sampled is None else Spread("pool", sampled, np.inf),
        ]
        label = dict(zip(CURVE, key, strict=True))
        for spread in filter(None, spreads):
            records = forecast_rows(ks, points, spread, n_experts)
            found += [
                label | record | {"loss": measured.get(record["k"], (None,))[0]}
                for record in records
            ]
    if not found:
        names = ", ".join(map(str, ks))
        raise NotMadeError(f"no curve has a forecast from k = {names} and draws to judge it by")
    return FORECAST_INTERVALS.frame(found)


def _curves(curves: pl.DataFrame) -> dict[tuple[Any, ...], pl.DataFrame]:
    points = curves.filter(pl.col("k") > 0).select(*CURVE, "k", "loss", "subset_se")
    return points.partition_by(CURVE, as_dict=True, include_key=False, maintain_order=True)


def _sampled(
    points: list[float], errors: list[float | None], seed: int, key: tuple[Any, ...]
) -> Array | None:
    """Return normal draws of the three points; None where all subsets are in, or errors unknown."""
    if None in errors or not any(errors):
        return None
    draw = generator(seed, "forecast", *key)
    drawn: Array = np.asarray(points) + draw.normal(size=(N_DRAWS, 3)) * np.asarray(errors, float)
    return drawn


def forecast_rows(
    ks: list[int], points: list[float], spread: Spread, n_experts: int
) -> list[dict[str, Any]]:
    """Return the rows of one curve and target, at k = 1..M; none if it has no forecast."""
    at = np.arange(1, n_experts + 1)
    estimate = predict(ks, np.array([points]), at)[0]
    if np.isnan(estimate).any():
        return []
    forecasts = predict(ks, spread.points, at)
    known = forecasts[np.isfinite(forecasts).all(axis=1)]
    rows = [
        {"k": int(k), "target": spread.target, "loss_predicted": float(value)}
        for k, value in zip(at, estimate, strict=True)
    ]
    if len(known) < (1.0 if spread.n_experts else LEAST_IDENTIFIED) * len(forecasts):
        return [row | {"stderr": None, "low": None, "high": None} for row in rows]
    errors = (
        jackknife_error(known, spread.n_experts, 1) if spread.n_experts else known.std(0, ddof=1)
    )
    half = reach(spread.freedom) * errors
    return [
        row | {"stderr": float(error), "low": float(value - part), "high": float(value + part)}
        for row, value, error, part in zip(rows, estimate, errors, half, strict=True)
    ]


def predict(ks: list[int], points: Array, at: Array) -> Array:
    """Return the forecast of each draw of the three points, shape (draws, at); NaN: none."""
    result = np.full((len(points), len(at)), np.nan)
    for i, losses in enumerate(points):
        forecast = three_point(ks, losses)
        if forecast.floor is not None and forecast.tail is not None:
            result[i] = floor_tail(at, forecast.floor, forecast.tail, forecast.offset or 0.0)
    return result
