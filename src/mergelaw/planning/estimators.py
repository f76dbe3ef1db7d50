"""Floor, tail and offset through a few points: two, three, or more, and what they cannot tell."""

from typing import Literal, NamedTuple

import numpy as np

from mergelaw.laws.analyses.forecast import three_point
from mergelaw.laws.forms import Array, floor_tail
from mergelaw.laws.law import FLOOR_TAIL

Case = Literal["free_offset", "zero_offset", "not_identified"]

OFFSET_HELD = (
    "two points do not tell the offset: it is held at 0, the law of a quadratic loss; what an "
    "offset of about 1 would change is in the part of the law"
)
NO_BEND = "the points do not bend as a law with a floor does: the floor is not identified"
NO_FALL = "the loss does not fall with k in these points: the floor is not identified"
BELOW_ZERO = "the floor would be below 0, which no loss is: the floor is not identified"

RISES = "the loss rises somewhere in these points: the law can only fall, so do not trust it there"


class Through(NamedTuple):
    """A law through points.

    Attributes
    ----------
    case
        "zero_offset": the offset is 0, held or at its bound; "not_identified": there is no curve.
    weights
        Square roots of the weights that the points were fitted with, shape (points,).
    identified
        Whether the points determine the parameters.
    """

    case: Case
    floor: float
    tail: float
    offset: float
    weights: Array
    identified: bool
    notes: tuple[str, ...] = ()

    def loss(self, k: Array) -> Array:
        """Return the law's loss at k."""
        return floor_tail(k, self.floor, self.tail, self.offset)

    def slopes(self, k: Array) -> Array:
        """Return the derivatives by floor, tail and, unless it is 0, offset: shape (k, 2 or 3)."""
        away = 1 / (np.asarray(k, float) + self.offset)
        columns = [np.ones_like(away), away]
        if self.case == "free_offset":
            columns.append(-self.tail * away**2)
        return np.stack(columns, axis=1)

    def follow(self, ks: Array, at: Array) -> Array:
        """Return how the law at `at` follows the points at `ks`, shape (at, points).

        ``d L(at) = H d points`` with ``H = G (W J)^+ W``, J and G the slopes there and here (Bates
        & Watts 1988, Nonlinear Regression Analysis, section 2.3).
        """
        inverse = np.linalg.pinv(self.slopes(ks) * self.weights[:, None]) * self.weights
        followed: Array = self.slopes(at) @ inverse
        return followed


def estimate(ks: Array, losses: Array, errors: Array | None = None) -> Through:
    """Return the law through points at two distinct k or more.

    Two points: the offset is held at 0. Three: the closed form of
    `mergelaw.laws.analyses.forecast.three_point`. More: `mergelaw.laws.fitting.fit`, weighed by the
    points' standard errors where they are known.
    """
    if len(ks) > 3:
        return _fitted(ks, losses, errors)
    return _two(ks, losses) if len(ks) == 2 else _three(ks, losses)


def _none(n_points: int, reason: str) -> Through:
    return Through("not_identified", np.nan, np.nan, np.nan, np.ones(n_points), False, (reason,))


def _two(ks: Array, losses: Array) -> Through:
    if losses[0] <= losses[1]:
        return _none(2, NO_FALL)
    tail = (losses[0] - losses[1]) / (1 / ks[0] - 1 / ks[1])
    return _told("zero_offset", losses[0] - tail / ks[0], tail, 0.0, 2, OFFSET_HELD)


def _three(ks: Array, losses: Array) -> Through:
    found = three_point(ks.tolist(), losses.tolist())
    if found.floor is None or found.tail is None or found.offset is None:
        return _none(3, _not_bent(ks, losses, found.ratio))
    note = ""
    if found.case == "zero_offset":
        most = _spacing(ks) * ks[2] / ks[0]
        missed = np.abs(losses - floor_tail(ks, found.floor, found.tail, 0.0))
        note = (
            f"the loss bends more than an offset of 0 allows (r = {found.ratio:.3g}, above "
            f"{most:.3g}): the offset is 0, and two parameters are fitted to three points, which "
            f"they miss by up to {missed.max():.2g}, at k = {ks[missed.argmax()]:g}: unless the "
            "points' errors are as large, the law does not fit them"
        )
    case: Case = found.case
    return _told(case, found.floor, found.tail, found.offset, 3, note)


def _told(case: Case, floor: float, tail: float, offset: float, n: int, note: str) -> Through:
    notes = [note, BELOW_ZERO if floor < 0 else ""]
    identified = floor >= 0 and n > 2
    return Through(case, floor, tail, offset, np.ones(n), identified, tuple(filter(None, notes)))


def _spacing(ks: Array) -> float:
    return float((ks[1] - ks[0]) / (ks[2] - ks[1]))


def _not_bent(ks: Array, losses: Array, ratio: float | None) -> str:
    if ratio is None or not losses[0] > losses[1] > losses[2]:
        return NO_FALL
    first, second, third = (f"L({k:g})" for k in ks)
    return (
        f"{NO_BEND} (r = ({first} - {second}) / ({second} - {third}) = {ratio:.3g}, not above "
        f"{_spacing(ks):.3g})"
    )


def _fitted(ks: Array, losses: Array, errors: Array | None) -> Through:
    from mergelaw.laws.fitting import fit
    from mergelaw.laws.weighting import pose

    weights: Literal["measured", "uniform"] = "uniform" if errors is None else "measured"
    found = fit(FLOOR_TAIL, {"k": ks}, losses, weights, errors)
    posed = pose(FLOOR_TAIL, {"k": ks}, losses, weights, errors)
    floor, tail, offset = (found.values[name] for name in ("floor", "tail", "offset"))
    if tail == 0:
        return _none(len(ks), NO_FALL)
    if offset == FLOOR_TAIL.searched[0].maximum:
        return _none(len(ks), f"{NO_BEND} ({'; '.join(found.notes)})")
    case: Case = "zero_offset" if offset == 0 else "free_offset"
    root = posed.problem.root_weight
    notes = (*found.notes, *([RISES] if np.any(np.diff(losses) > 0) else []))
    return Through(case, floor, tail, offset, root, found.identified, notes)


def tried(ks: Array, points: Array, at: Array) -> tuple[Array, Array]:
    """Return the curves through draws of two or three points.

    A draw that has no law is given the nearest of the law's limits: an offset of 0, an endless one
    (a straight line in k), no fall.

    Returns
    -------
    curves : array, shape (draws, at)
        NaN at k without end where the limit is a straight line.
    parameters : array, shape (draws, 3)
        Floor, tail and offset; NaN where a draw has no law.
    """
    found = [estimate(ks, losses) for losses in points]
    curves = [
        _limit(ks, losses, at) if one.case == "not_identified" else one.loss(at)
        for one, losses in zip(found, points, strict=True)
    ]
    return np.array(curves), np.array([(one.floor, one.tail, one.offset) for one in found])


def _limit(ks: Array, losses: Array, at: Array) -> Array:
    """Return the limit of the law that is nearest to points which no law goes near."""
    level = np.full(len(at), losses.mean())
    shapes = [(1 / ks, 1 / at, 1), (ks, np.where(np.isinf(at), np.nan, at), -1)]
    best, least = level, float(np.sum((losses - losses.mean()) ** 2))
    for here, there, sign in shapes:
        slope, start = np.polyfit(here, losses, deg=1)
        missed = float(np.sum((losses - start - slope * here) ** 2))
        if slope * sign > 0 and missed < least:
            best, least = start + slope * there, missed
    return best
