"""A few mean losses, checked: what a forecast is made from. Every problem is told at once."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import comb
from numbers import Integral
from typing import NamedTuple

from mergelaw.errors import FitError, listing

MOST_LOSS = 1e6
"""Nats per token; beyond it arithmetic ends before any meaning."""

MOST_POOL = 1_000
"""Experts; the errors of a curve are known for every pair of its k."""

Pairs = Mapping[int, float] | Iterable[tuple[float, float]]
"""k and a number, as a mapping or as pairs."""


class Measured(NamedTuple):
    """The mean loss over subsets at one k.

    Attributes
    ----------
    error
        Standard error from subsets that were not measured, nats per token; None: not known.
    n_subsets
        Subsets averaged; None: not told.
    """

    k: int
    loss: float
    error: float | None = None
    n_subsets: int | None = None


def measured_points(
    points: Pairs,
    pool: int,
    errors: Pairs | None = None,
    n_subsets: Pairs | None = None,
    others: Iterable[str] = (),
) -> tuple[Measured, ...]:
    """Return checked points by k.

    The error of a k is the one given; 0 where `n_subsets` is all C(pool, k) subsets; else not
    known. `others` are problems of what goes with the points, told with theirs.

    Raises
    ------
    FitError
        Listing every problem: a k twice, none from 1 to the pool or fewer than two; losses and
        errors that are no numbers or out of range; errors and counts of a k without a loss; more
        subsets than there are.
    """
    given = {"points": points, "errors": errors, "subsets": n_subsets}
    problems: list[str] = []
    pairs = {name: _pairs(name, value, problems) for name, value in given.items()}
    problems += [*_problems(pairs, pool), *others]
    if problems:
        raise FitError(listing("the points cannot be used", problems))
    error, count = dict(pairs["errors"]), dict(pairs["subsets"])
    found = []
    for k, loss in sorted(pairs["points"]):
        n = int(count[k]) if k in count else None
        known = error.get(k, 0.0 if n == comb(pool, int(k)) else None)
        found.append(Measured(int(k), float(loss), known, n))
    return tuple(found)


def sampling_errors(points: Sequence[Measured]) -> tuple[float, ...] | None:
    """Return the errors of all points; None where one is not known."""
    errors = tuple(point.error for point in points if point.error is not None)
    return errors if len(errors) == len(points) else None


def freedoms(points: Sequence[Measured]) -> tuple[float, ...]:
    """Return the degrees of freedom of the points' errors: subsets less one, or endless.

    An error that is not from the spread over counted subsets is taken as known.
    """
    return tuple(_freedom(point) for point in points)


def _freedom(point: Measured) -> float:
    counted = point.n_subsets or 1
    return counted - 1.0 if point.error and counted > 1 else math.inf


def _pairs(name: str, value: Pairs | None, problems: list[str]) -> list[tuple[float, float]]:
    """Return the pairs of numbers; what is none is added to the problems."""
    items: object = value.items() if isinstance(value, Mapping) else value
    if items is None:
        return []
    if isinstance(items, str) or not isinstance(items, Iterable):
        problems.append(f"{name}: {items!r} is no mapping of k to a number, as {{1: 2.267}}")
        return []
    found = []
    for item in items:
        try:
            k, number = map(float, item)
            found.append((k, number))
        except (TypeError, ValueError):
            problems.append(f"{name}: {item!r} is no k with its number, as (1, 2.267)")
    return found


def _problems(pairs: Mapping[str, list[tuple[float, float]]], pool: int) -> Iterator[str]:
    whole_pool = _is_pool(pool)
    if not whole_pool:
        yield f"pool = {pool!r}: must be a whole number of experts, 1 to {MOST_POOL}"
    for name, given in pairs.items():
        ks = [k for k, _ in given]
        for k in sorted({k for k in ks if ks.count(k) > 1}):
            yield f"{name}: k = {k:g} stands {ks.count(k)} times: give one mean loss for each k"
    measured = [k for k, _ in pairs["points"]]
    for k, loss in pairs["points"]:
        yield from _k_problems(k, pool, whole_pool)
        if not 0 < loss <= MOST_LOSS:  # a NaN is neither
            yield (
                f"points: k = {k:g} has the loss {loss:g}: must be a finite number above 0, in "
                f"nats per token, at most {MOST_LOSS:,.0f}"
            )
    if len(set(measured)) < 2:
        yield "points: two k at least: one loss says nothing of how losses fall with k"
    yield from _beside(pairs, measured, pool if whole_pool else None)


def _is_pool(value: object) -> bool:
    return isinstance(value, Integral) and 1 <= int(value) <= MOST_POOL


def _k_problems(k: float, pool: int, whole_pool: bool) -> Iterator[str]:
    if not (math.isfinite(k) and k == int(k) and k >= 1):
        yield f"points: k = {k:g}: must be a whole number of merged experts, 1 or more"
    elif whole_pool and k > pool:
        yield f"points: k = {k:g} is above the pool of {pool} experts: no such merge exists"


def _beside(
    pairs: Mapping[str, list[tuple[float, float]]], measured: list[float], pool: int | None
) -> Iterator[str]:
    """Yield the problems of errors and counts of subsets."""
    for name in ("errors", "subsets"):
        for k in (k for k, _ in pairs[name] if k not in measured):
            yield f"{name}: k = {k:g} has no loss among the points"
    for k, error in pairs["errors"]:
        if not 0 <= error <= MOST_LOSS:
            yield f"errors: k = {k:g} has {error:g}: a standard error is a finite number, 0 or more"
    for k, n in pairs["subsets"]:
        most = comb(pool, int(k)) if pool and 1 <= k <= pool and k == int(k) else None
        if not (math.isfinite(n) and n == int(n) and n >= 1):
            yield f"subsets: k = {k:g} has {n:g}: must be a whole number, 1 or more"
        elif most is not None and n > most:
            yield f"subsets: k = {k:g} has {n:g}, and there are C({pool}, {k:g}) = {most}"
