"""What a table's curves say: fits with intervals, honest errors, rivals, and k for a return."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from mergelaw.errors import ConfigError, FitError
from mergelaw.laws import forms
from mergelaw.laws.given.heldout import HeldOut, held_out
from mergelaw.laws.given.points import Curve, Point, Points
from mergelaw.laws.given.ranking import Rival, ranked, verdict
from mergelaw.laws.given.remarks import EXACT, open_intervals, remarks
from mergelaw.laws.given.series import Series
from mergelaw.laws.law import FLOOR_TAIL, JOINT, Law
from mergelaw.laws.profile import LOSS_AT, ProfileInterval
from mergelaw.laws.result import LawFit
from mergelaw.laws.weighting import Weights

SHARES = (0.85, 0.9)
"""Shares of the fall from k = 1 to the end that k is told for, as in the paper."""

GAP = 0.01
"""Nats per token from the floor that k is told for, as in the paper."""

STEEPEST = 1e9
"""Stands for an offset without an upper end."""

ONE_K = (
    "one k only says nothing of a law over k: two give floor and tail with the offset held at 0, "
    "three the offset, and four or more something to judge by"
)

LawChoice = Literal["auto", "floor_tail", "joint"]


class End(NamedTuple):
    """The law at the end of the curve, beside the floor that it extrapolates to."""

    k: int  # the pool, or the largest k measured
    n_params_billions: float | None  # of the joint law: the largest
    loss: float
    low: float | None
    high: float | None
    note: str | None
    measured: float | None
    floor: float
    tail: float


class Need(NamedTuple):
    """The smallest k for a share of the fall from k = 1 to the end, under the law."""

    share: float
    k: int
    low: int | None  # at the ends of the offset's interval
    high: int | None


class Answer(NamedTuple):
    """One fit, and all that is told with it."""

    method: str | None
    domain: str | None
    size: str | None  # None for the joint law, or where the table has no sizes
    points: list[Point]
    fit: LawFit
    intervals: dict[str, ProfileInterval]
    judged: bool  # whether there is scatter, and freedom, to make intervals from
    end: End
    needs: list[Need]
    k_near_floor: int | None  # within GAP; None where the loss does not fall
    held_out: list[HeldOut]
    rivals: list[Rival]
    identified: bool  # by the fit's own judgement, and no interval open where it must not be
    remarks: list[str]


class Refused(NamedTuple):
    """A law that was not fitted, and why."""

    law: str
    method: str | None
    domain: str | None
    size: str | None
    reason: str


def answer_all(
    points: Points, law: LawChoice = "auto", weights: Weights | None = None
) -> tuple[list[Answer], list[Refused]]:
    """Fit every curve of a table.

    Parameters
    ----------
    points : Points
    law : "auto", "floor_tail" or "joint"
        Auto: `floor_tail` for each size, and `joint` over sizes where there are enough.
    weights : "uniform", "k", "measured" or None
        None: measured where sampling errors are known, else uniform.

    Raises
    ------
    ConfigError
        If weights are to be measured and the table knows no errors.
    FitError
        If nothing could be fitted; every reason is listed.
    """
    if weights == "measured" and not points.has_errors:
        raise ConfigError(
            "--weights measured needs the column se, or sd and n_subsets (with --pool where "
            "n_subsets is 1); --weights uniform needs neither"
        )
    weights = weights or ("measured" if points.has_errors else "uniform")
    done: list[Answer] = []
    refused: list[Refused] = []
    for curve in points.curves:
        for chosen, size, reason in _wanted(curve, points, law):
            part = [point for point in curve.points if size is None or point.size == size]
            try:
                if reason or len({point.k for point in part}) == 1:
                    raise FitError(reason or ONE_K)
                done.append(_answer(curve, size, Series(chosen, part, weights), points.pool))
            except FitError as error:
                refused.append(Refused(chosen.name, curve.method, curve.domain, size, str(error)))
    if not done:
        raise FitError(_nothing(refused))
    return done, refused


def _wanted(curve: Curve, points: Points, law: LawChoice) -> Iterator[tuple[Law, str | None, str]]:
    """Yield the fits that a curve is to have: law, size, and why it cannot be."""
    sizes = list(dict.fromkeys(point.size for point in curve.points))
    if law != "joint":
        yield from ((FLOOR_TAIL, size, "") for size in sizes)
    if law == "floor_tail" or (law == "auto" and len(sizes) < 2 and points.unit is None):
        return
    alike = [names for names in points.alike if len({*names} & {*sizes}) > 1]
    if points.unit is None:
        yield JOINT, None, "the joint law needs N of each size, in a column n_params"
    elif alike:
        yield JOINT, None, f"the sizes {', '.join(alike[0])} have the same N"
    else:
        yield JOINT, None, ""


def _nothing(refused: list[Refused]) -> str:
    lines = [
        f"  - {', '.join(filter(None, (item.method, item.domain, item.size))) or 'the table'}: "
        f"{item.reason}"
        for item in refused
    ]
    return "\n".join(["nothing can be fitted:", *lines])


def _answer(curve: Curve, size: str | None, series: Series, pool: int | None) -> Answer:
    fitted = series.fit()
    k = pool or max(point.k for point in series.points)
    largest, at = None, {"k": float(k)}
    if series.law.name == JOINT.name:
        largest = max(point.n_params_billions or 0.0 for point in series.points)
        at["n_params_billions"] = largest
    intervals = series.intervals(at)
    end = _end(fitted, series, k, largest, intervals.pop(LOSS_AT))
    falls = end.tail > 0
    judged = len(series.points) > len(intervals) and fitted.max_relative_error > EXACT
    offset = fitted.values["offset"], intervals.get("offset") if judged else None
    opened = list(open_intervals(series.law, intervals)) if judged and falls else []
    rivals = ranked(series)
    return Answer(
        method=curve.method,
        domain=curve.domain,
        size=size,
        points=series.points,
        fit=fitted,
        intervals=intervals,
        judged=judged,
        end=end,
        needs=list(_needs(*offset, k)) if falls and k > 1 else [],
        k_near_floor=forms.k_near_floor(GAP, end.tail, offset[0]) if falls else None,
        held_out=held_out(series),
        rivals=rivals,
        identified=fitted.identified and not opened,
        remarks=[*opened, *remarks(series, fitted, k, end.tail), *verdict(rivals, fitted.law)],
    )


def _end(
    fitted: LawFit, series: Series, k: int, largest: float | None, interval: ProfileInterval
) -> End:
    values = fitted.values
    if fitted.law == JOINT.name:
        names = ("floor_limit", "size_scale", "size_exponent")
        floor = forms.size_floor(largest or 1.0, *(values[name] for name in names))
        tail = forms.size_tail(largest or 1.0, values["tail_scale"], values["tail_exponent"])
    else:
        floor, tail = np.asarray(values["floor"]), np.asarray(values["tail"])
    measured = [p for p in series.points if p.k == k and largest in (None, p.n_params_billions)]
    return End(
        k=k,
        n_params_billions=largest,
        loss=float(forms.floor_tail(k, floor, tail, values["offset"])),
        low=interval.low,
        high=interval.high,
        note=interval.note,
        measured=measured[0].loss if measured else None,
        floor=float(floor),
        tail=float(tail),
    )


def _needs(offset: float, interval: ProfileInterval | None, k: int) -> Iterator[Need]:
    """Yield k for each share; it grows with the offset, so that ends go to ends."""
    for share in SHARES:
        low = high = None
        if interval is not None:
            low = forms.k_for_return(share, interval.low or 0.0, k)
            highest = STEEPEST if interval.high is None else interval.high
            high = forms.k_for_return(share, highest, k)
        yield Need(share, forms.k_for_return(share, offset, k), low, high)
