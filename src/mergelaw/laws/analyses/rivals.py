"""Rival forms of the law: how well each fits the same points, and how well it predicts large k."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.criteria import aicc, akaike_weights
from mergelaw.laws.estimates import split_by
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL, JOINT, Law
from mergelaw.laws.more_laws import RIVALS_OVER_K, RIVALS_OVER_SIZE
from mergelaw.laws.schemas.doubts import RIVALS
from mergelaw.laws.search import N_STARTS, best, ends
from mergelaw.laws.weighting import pose

HELDOUT_STARTS = 2
"""Starts of a fit without the large k, beside those of slices."""

TOLERANCE = 1e-9
"""Of sums of squares, as a share: far finer than a difference of AICc that means anything."""

OVER = (("k", FLOOR_TAIL, RIVALS_OVER_K), ("size and k", JOINT, RIVALS_OVER_SIZE))
"""What curves are over, the law that rivals are compared with, and all of them."""


class Found(NamedTuple):
    """A rival's best parameters, and its weighted sum of squares."""

    values: Mapping[str, float]
    rss: float


def rivals(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return every rival of every curve, with the schema `RIVALS`.

    All rivals of a curve have the weights that the law's own fit found, so that their AICc can be
    compared; rss has them too (their mean square is 1). "repeat_last" is no fit: it predicts large
    k by the loss at the last k before `laws.heldout_k`.

    Raises
    ------
    NotMadeError
        If no curve has two k.
    """
    rows: list[dict[str, Any]] = []
    for over, law, others in OVER:
        for (method, domain, size), points in split_by(curves, law, study.off_ladder):
            label = {"over": over, "method": method, "domain": domain, "size": size}
            found = _compared(points, law, others, study.laws.heldout_k)
            rows += [label | row for row in found]
    if not rows:
        raise NotMadeError("no curve has two k of merged experts")
    return RIVALS.frame(rows)


def _compared(
    points: pl.DataFrame, law: Law, others: tuple[Law, ...], first: int
) -> list[dict[str, Any]]:
    """Return a row for each rival that can be fitted to the points."""
    loss = points["loss"].to_numpy()
    weight = _root_weight(law, points)
    rows: list[dict[str, Any]] = []
    seen, unseen = points.filter(pl.col("k") < first), points.filter(pl.col("k") >= first)
    for rival in others:
        found = _fit(rival, points, weight, N_STARTS)
        if found is None:
            continue
        n_parameters = rival.n_free
        row: dict[str, Any] = {
            "law": rival.name,
            "n_points": len(loss),
            "n_parameters": n_parameters,
        }
        row |= {"rss": found.rss, "r2": _r2(rival, found, points)}
        row |= {"aicc": aicc(found.rss, len(loss), n_parameters, float(loss.mean()))}
        row |= {"heldout_error": _heldout_error(rival, law, seen, unseen)}
        rows.append(row | {"at_bound": _at_bound(rival, found)})
    deltas, weights = akaike_weights([row["aicc"] for row in rows])
    for row, delta, share in zip(rows, deltas, weights, strict=True):
        row |= {"delta_aicc": delta, "akaike_weight": share}
    return rows + _repeat_last(law, seen, unseen) if rows else []


def _root_weight(law: Law, points: pl.DataFrame) -> Array:
    """Return the weights of the law's own fit; uniform where it has none."""
    try:
        return pose(law, *_arrays(law, points), "measured", points["subset_se"]).problem.root_weight
    except FitError:
        return np.ones(points.height)


def _arrays(law: Law, points: pl.DataFrame) -> tuple[dict[str, Array], Array]:
    return {name: points[name].to_numpy() for name in law.variables}, points["loss"].to_numpy()


def _fit(law: Law, points: pl.DataFrame, root_weight: Array, n_starts: int) -> Found | None:
    """Return the least sum of squares of a law, None where the points cannot determine it."""
    try:
        problem = pose(law, *_arrays(law, points)).problem
    except FitError:
        return None
    if problem.law.n_free < law.n_free:  # its offset would be held: that is another rival
        return None
    end = best(ends(problem._replace(root_weight=root_weight), n_starts, TOLERANCE))
    return Found(end.values, end.rss)


def _predict(law: Law, found: Found, points: pl.DataFrame) -> Array:
    return law.function(**_arrays(law, points)[0], **found.values)


def _r2(law: Law, found: Found, points: pl.DataFrame) -> float | None:
    loss = points["loss"].to_numpy()
    spread = float(np.sum((loss - loss.mean()) ** 2))
    residuals = _predict(law, found, points) - loss
    return 1 - float(residuals @ residuals) / spread if spread > 0 else None


def _at_bound(law: Law, found: Found) -> bool:
    return any(
        found.values[spec.name] in (spec.minimum, spec.maximum)
        for spec in law.parameters
        if spec.minimum < spec.maximum
    )


def _heldout_error(rival: Law, law: Law, seen: pl.DataFrame, unseen: pl.DataFrame) -> float | None:
    """Return the largest relative error at the large k of a fit to the others."""
    if seen.is_empty() or unseen.is_empty():
        return None
    found = _fit(rival, seen, _root_weight(law, seen), HELDOUT_STARTS)
    return None if found is None else _largest(_predict(rival, found, unseen), unseen)


def _largest(predicted: Array, points: pl.DataFrame) -> float:
    loss = points["loss"].to_numpy()
    return float(np.max(np.abs(predicted - loss) / loss))


def _repeat_last(law: Law, seen: pl.DataFrame, unseen: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rival that predicts large k by the last loss before them, for one size's curve."""
    if law is not FLOOR_TAIL or seen.is_empty() or unseen.is_empty():
        return []
    last = seen.sort("k")["loss"][-1]
    error = _largest(np.full(unseen.height, last), unseen)
    n_points = seen.height + unseen.height
    return [{"law": "repeat_last", "n_points": n_points, "n_parameters": 0, "heldout_error": error}]
