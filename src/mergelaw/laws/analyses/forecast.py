"""The whole curve from three measured k, in closed form; refused where they do not allow it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import TOLERANCE, floor_tail
from mergelaw.laws.schemas import FORECAST


class ThreePoint(NamedTuple):
    """Floor and tail through three points; the parameters are None when not identified."""

    case: Literal["free_offset", "zero_offset", "not_identified"]
    ratio: float | None
    floor: float | None = None
    tail: float | None = None
    offset: float | None = None


def three_point(ks: Sequence[int], losses: Sequence[float]) -> ThreePoint:
    """Return ``floor + tail / (k + offset)`` through three points.

    With ``r = (L1 - L2) / (L2 - L3)`` and ``q = (k2 - k1) / (k3 - k2)`` the law gives
    ``r = q (k3 + b) / (k1 + b)``, hence ``b = (q k3 - r k1) / (r - q)``,
    ``A = (L1 - L2)(k1 + b)(k2 + b) / (k2 - k1)`` and ``floor = L1 - A / (k1 + b)``. For the
    paper's k = 1, 2, 4 this is ``b = (4 - 2r) / (2r - 1)``. The three points are fitted exactly:
    there is no residual to judge by.

    Parameters
    ----------
    ks : three distinct ints
        Increasing.
    losses : three floats
        In nats per token.

    Returns
    -------
    ThreePoint
        "free_offset" for q < r <= q k3 / k1; "zero_offset" above (b would be negative: b = 0 and
        least squares of the other two); "not_identified" for r <= q (no curvature, so no floor)
        or a loss that does not fall.
    """
    (k1, k2, k3), (l1, l2, l3) = ks, losses
    ratio = (l1 - l2) / (l2 - l3) if l2 != l3 else None
    spacing = (k2 - k1) / (k3 - k2)
    if ratio is None or not l1 > l2 > l3 or ratio <= spacing + TOLERANCE:
        return ThreePoint("not_identified", ratio)
    if ratio > spacing * k3 / k1:
        tail, floor = np.polyfit(1 / np.array(ks), losses, deg=1)
        return ThreePoint("zero_offset", ratio, float(floor), float(tail), 0.0)
    offset = (spacing * k3 - ratio * k1) / (ratio - spacing)
    tail = (l1 - l2) * (k1 + offset) * (k2 + offset) / (k2 - k1)
    return ThreePoint("free_offset", ratio, l1 - tail / (k1 + offset), tail, offset)


def forecasts(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the three-point forecast of every curve with the schema `FORECAST`.

    A curve without one of the three k (`laws.forecast_k`) has no rows.
    """
    ks = sorted(study.laws.forecast_k)
    parts = curves.filter(pl.col("k") > 0).partition_by(
        "size", "method", "domain", as_dict=True, maintain_order=True
    )
    rows = []
    for key, points in parts.items():
        measured = dict(points.select("k", "loss").iter_rows())
        if all(k in measured for k in ks):
            forecast = three_point(ks, [measured[k] for k in ks])
            label = dict(zip(("size", "method", "domain"), key, strict=True))
            label |= {"points": ",".join(map(str, ks)), **forecast._asdict()}
            rows += [
                label | _at(forecast, k, measured.get(k)) for k in range(1, len(study.experts) + 1)
            ]
    return FORECAST.frame(rows)


def _at(forecast: ThreePoint, k: int, loss: float | None) -> dict[str, float | None]:
    floor, tail, offset = forecast.floor, forecast.tail, forecast.offset
    if floor is None or tail is None or offset is None:
        return {"k": k, "loss": loss, "loss_predicted": None, "relative_error": None}
    predicted = float(floor_tail(k, floor, tail, offset))
    error = None if loss is None else (predicted - loss) / loss
    return {"k": k, "loss": loss, "loss_predicted": predicted, "relative_error": error}
