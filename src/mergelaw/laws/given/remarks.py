"""What a reader of a fit's numbers must know beside the fit's own notes."""

from collections.abc import Iterator, Sequence

from mergelaw.laws.given.points import Point
from mergelaw.laws.given.series import Series
from mergelaw.laws.law import Law
from mergelaw.laws.profile import ProfileInterval
from mergelaw.laws.result import LawFit

EXACT = 1e-9
"""Largest relative error of a law that goes through its points, but for rounding."""


def open_intervals(law: Law, intervals: dict[str, ProfileInterval]) -> Iterator[str]:
    """Yield which parameters have no end to their interval, where the bound is no answer."""
    for spec in law.parameters:
        interval = intervals.get(spec.name)
        if interval is None or not interval.note:
            continue
        if interval.high is None or not spec.minimum_is_a_value:
            yield f"{spec.name} is not identified; its interval: {interval.note}"


def remarks(series: Series, fitted: LawFit, k_end: int, tail: float) -> Iterator[str]:
    """Yield what the points do not show; the curve ends at `k_end`, with the law's `tail` there."""
    ks = [point.k for point in series.points]
    if tail == 0:
        yield (
            "the loss does not fall with k in these points: the floor is no more than their level, "
            "and nothing is known of a tail"
        )
    elif fitted.max_relative_error <= EXACT:
        yield "the law goes through every point: there is no scatter, and so no interval"
    if k_end > max(ks):
        yield f"L({k_end}) is an extrapolation: the largest k measured is {max(ks)}"
    if tail > 0 and min(ks) > 1:
        yield f"L(1) is an extrapolation, too: the smallest k measured is {min(ks)}"
    turned = list(_turned(series.points))
    if turned:
        yield f"{'; '.join(turned)}: this law can only fall, so do not trust it there"
    if _rises(series):
        yield "of an accuracy or a score, the loss is what it lacks to its best value"


def _rises(series: Series) -> bool:
    """Tell whether the loss at the largest k is the highest, and that at the smallest the least."""
    first, last = (pick(series.points, key=lambda p: p.k).loss for pick in (min, max))
    return bool(min(series.loss) == first < last == max(series.loss))


def _turned(points: Sequence[Point]) -> Iterator[str]:
    """Yield where a loss measured at a larger k is above that at a smaller one, at each size."""
    for size in dict.fromkeys(point.size for point in points):
        mine = [point for point in points if point.size == size]
        least = min(mine, key=lambda point: point.loss)
        if least.loss < mine[-1].loss:
            yield (
                f"the least loss measured{f' at {size}' if size else ''} is {least.loss:.5g} at "
                f"k = {least.k}, and at k = {mine[-1].k} it is {mine[-1].loss:.5g}"
            )
