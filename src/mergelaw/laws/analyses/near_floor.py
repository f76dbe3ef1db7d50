"""How many experts bring the loss near the law's floor, and near what the pool reaches."""

from collections.abc import Mapping

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.size_fits import CURVE, SizeFit, measured, size_fits
from mergelaw.laws.forms import TOLERANCE, k_near_floor
from mergelaw.laws.schemas.doubts import NEAR_FLOOR


def near_floor(curves: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the k within each gap of `laws.floor_gaps` of two ends, with the schema `NEAR_FLOOR`.

    Of the floor: ``k = ceil(tail / gap - offset)`` (the paper, appendix J.1), which may exceed the
    pool and is null, with the floor, where the fit is not identified. Of L(M), the end that the
    pool does reach: the smallest measured k with ``L(k) - L(M) <= gap``. Under the law the floor
    lies ``tail / (M + offset)`` below L(M), so a smaller gap is never reached.

    Raises
    ------
    NotMadeError
        If no curve of one size was fitted.
    """
    fitted = size_fits(fits)
    if not fitted:
        raise NotMadeError("no curve of one size could be fitted")
    pool = len(study.experts)
    points = measured(curves)
    rows = []
    for key, fit in fitted.items():
        losses = points[key]
        ends = {"loss_pool": losses.get(pool), "floor": fit.floor if fit.identified else None}
        rows += [
            {
                **dict(zip(CURVE, key, strict=True)),
                **ends,
                "gap": gap,
                "k_pool": k_near_pool(losses, gap, pool),
                **_floor(fit, gap, pool),
            }
            for gap in study.laws.floor_gaps
        ]
    return NEAR_FLOOR.frame(rows)


def k_near_pool(losses: Mapping[int, float], gap: float, pool: int) -> int | None:
    """Return the smallest measured k within `gap` of the whole pool's loss.

    Parameters
    ----------
    losses : mapping of int to float
        Mean loss at each measured k, in nats per token.

    Returns
    -------
    The k, or None where the whole pool was not merged.
    """
    if pool not in losses:
        return None
    limit = losses[pool] + gap + TOLERANCE
    return min(k for k, loss in losses.items() if loss <= limit)


def _floor(fit: SizeFit, gap: float, pool: int) -> dict[str, int | bool | None]:
    if not fit.identified:
        return {"k_floor": None, "reachable": None}
    k_floor = k_near_floor(gap, fit.tail, fit.offset)
    return {"k_floor": k_floor, "reachable": k_floor <= pool}
