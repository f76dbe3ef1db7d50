"""Honest errors of a table's law: points that the fit did not see."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mergelaw.errors import FitError
from mergelaw.laws.given.points import Point
from mergelaw.laws.given.series import Series
from mergelaw.laws.law import JOINT

LARGE_K = 6
"""The paper's k90 for nine experts: points from here on are left out where enough are below."""

FEWEST = 3
"""Distinct k that a fit without the large k must keep."""


class HeldOut(NamedTuple):
    """How well a fit to some points predicts the others, as shares of the measured loss."""

    left_out: str  # "k >= 6", or "the largest size"
    n_fitted: int
    n_left_out: int
    largest_error: float | None  # largest |relative error|; None where nothing could be fitted
    repeat_last: float | None  # the same of the last fitted loss repeated
    reason: str | None


def held_out(series: Series) -> list[HeldOut]:
    """Return the errors without the large k, and for the joint law without the largest size."""
    results = []
    ks = sorted({point.k for point in series.points})
    first = _first_large(ks)
    if first is None:
        reason = f"{len(ks)} distinct k are too few to leave some out"
        results.append(HeldOut("large k", len(series.points), 0, None, None, reason))
    else:
        results.append(
            _without(series, f"k >= {first}", lambda p: p.k >= first, lambda p, q: p.size == q.size)
        )
    if series.law.name == JOINT.name:
        largest = max(point.n_params_billions or 0 for point in series.points)
        results.append(
            _without(
                series,
                "the largest size",
                lambda p: p.n_params_billions == largest,
                lambda p, q: p.k == q.k,
            )
        )
    return results


def _first_large(ks: list[int]) -> int | None:
    """Return the first k to be left out: 6 on, else the top third, so that three k remain."""
    if len(ks) <= FEWEST:
        return None
    if ks[-1] >= LARGE_K and sum(k < LARGE_K for k in ks) >= FEWEST:
        return min(k for k in ks if k >= LARGE_K)
    return ks[-max(1, len(ks) // 3)]


def _without(
    series: Series,
    name: str,
    unseen: Callable[[Point], bool],
    comparable: Callable[[Point, Point], bool],
) -> HeldOut:
    """Fit without the unseen points; `comparable` tells which seen point is repeated for one."""
    hidden = [point for point in series.points if unseen(point)]
    seen = [point for point in series.points if not unseen(point)]
    try:
        fitted = series.of(seen).fit()
    except FitError as error:
        return HeldOut(name, len(seen), len(hidden), None, None, f"without these, {error}")
    other = series.of(hidden)
    largest = float(np.max(np.abs(fitted.predict(**other.variables) / other.loss - 1)))
    last = [[q.loss for q in seen if comparable(point, q)] for point in hidden]
    repeated = [abs(q[-1] / point.loss - 1) for point, q in zip(hidden, last, strict=True) if q]
    return HeldOut(name, len(seen), len(hidden), largest, max(repeated) if repeated else None, None)
