"""What a checked claim is: a printed number beside the same number computed from other ones."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.published import Printed

SLACK = 1e-9
"""Rounding of the arithmetic here."""


class Claim(NamedTuple):
    """A row of `PUBLISHED_CHECKS`: the claim in words, both numbers, and what it means.

    Attributes
    ----------
    tolerance
        What rounding of the printed digits can explain: half a unit of the claim's last digit,
        and the most that rounding of the numbers computed from can shift the result.
    """

    claim: str
    place: str
    published: float
    computed: float
    tolerance: float
    agrees: bool
    remark: str


class Found(NamedTuple):
    """What printed numbers give, and the most that their rounding can shift it."""

    value: Array
    shift: Array


def compute(function: Callable[..., Array | float], *inputs: Printed) -> Found:
    """Apply a function to printed numbers, and to each one half a unit up and down.

    The shift is ``sum over inputs |f(x + h) - f(x - h)| / 2``: the worst case of all roundings
    together, to first order.
    """
    values = [np.asarray(given.value, float) for given in inputs]
    value = np.asarray(function(*values), float)
    shift = np.zeros_like(value)
    for i, given in enumerate(inputs):
        for index in np.ndindex(values[i].shape):
            ends = []
            for sign in (1, -1):
                moved = values[i].copy()
                moved[index] += sign * np.asarray(given.half_unit)[index]
                ends.append(np.asarray(function(*values[:i], moved, *values[i + 1 :]), float))
            shift += np.abs(ends[0] - ends[1]) / 2
    return Found(value, shift)


def exact(value: float) -> Printed:
    """Return a number that is not rounded: a count, a theory's value, a bound."""
    return Printed(np.asarray(float(value)), np.asarray(0.0))


def equal(claim: str, place: str, published: Printed, found: Found, remark: str) -> Claim:
    """Compare a printed number with a computed one."""
    tolerance = float(published.half_unit + found.shift)
    agrees = abs(float(found.value - published.value)) <= tolerance + SLACK
    return _claim(claim, place, published, found, agrees, remark)


def at_least(claim: str, place: str, bound: Printed, found: Found, remark: str) -> Claim:
    """Compare the least that was computed with a claimed lower bound, which is taken as exact."""
    agrees = float(found.value) >= float(bound.value) - float(found.shift) - SLACK
    return _claim(claim, place, exact(float(bound.value)), found, agrees, remark)


def at_most(claim: str, place: str, bound: Printed, found: Found, remark: str) -> Claim:
    """Compare the most that was computed with a claimed upper bound, which is taken as exact."""
    agrees = float(found.value) <= float(bound.value) + float(found.shift) + SLACK
    return _claim(claim, place, exact(float(bound.value)), found, agrees, remark)


def counted(claim: str, place: str, published: float, computed: float, remark: str) -> Claim:
    """Compare two counts, which have no rounding."""
    return equal(claim, place, exact(published), Found(*exact(computed)), remark)


def all_follow(
    claim: str, place: str, labels: Sequence[str], published: Printed, found: Found, remark: str
) -> Claim:
    """Compare many printed numbers with computed ones: published is their count.

    Computed is the count of those that agree within rounding; the remark names the others.
    """
    apart = np.abs(found.value - published.value) > published.half_unit + found.shift + SLACK
    others = [
        f"{labels[i]}: {published.value[i]:g} is printed, {found.value[i]:.4g} follows"
        for i in np.flatnonzero(apart).tolist()
    ]
    words = "; ".join([remark, *others])
    return counted(claim, place, len(labels), len(labels) - len(others), words)


def percent_fall(before: Array | float, after: Array | float) -> Array:
    """Return by how many percent a value is below an earlier one."""
    return np.asarray(100 * (1 - np.asarray(after) / before))


def _claim(
    claim: str, place: str, published: Printed, found: Found, agrees: bool, remark: str
) -> Claim:
    tolerance = float(published.half_unit + found.shift)
    return Claim(
        claim, place, float(published.value), float(found.value), tolerance, bool(agrees), remark
    )
