"""A few mean losses, checked: what a forecast is made from. Every problem is told at once."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import comb
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
    points: Pairs, pool: int, errors: Pairs | None = None, n_subsets: Pairs | None = None
) -> tuple[Measured, ...]:
    """Return checked points by k.

    The error of a k is the one given; 0 where `n_subsets` is all C(pool, k) subsets; else not
    known.

    Raises
    ------
    FitError
        Listing every problem: a k twice, none from 1 to the pool or fewer than two; losses and
        errors that are no numbers or out of range; errors and counts of a k without a loss; more
        subsets than there are.
    """
    given = {"points": points, "errors": errors or (), "subsets": n_subsets or ()}
    pairs = {name: _pairs(value) for name, value in given.items()}
    problems = list(_problems(pairs, pool))
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


def _pairs(value: Pairs) -> list[tuple[float, float]]:
    return list(value.items() if isinstance(value, Mapping) else value)


def _problems(pairs: Mapping[str, list[tuple[float, float]]], pool: int) -> Iterator[str]:
    whole_pool = 1 <= pool <= MOST_POOL
    if not whole_pool:
        yield f"pool = {pool}: must be a whole number of experts, 1 to {MOST_POOL}"
    for name, given in pairs.items():
        ks = [k for k, _ in given]
        for k in sorted({k for k in ks if ks.count(k) > 1}):
            yield f"{name}: k = {k:g} stands {ks.count(k)} times: give one mean loss for each k"
    measured = [k for k, _ in pairs["points"]]
    for k, loss in pairs["points"]:
        yield from _k_problems(k, pool, whole_pool)
        if not 0 < loss <= MOST_LOSS:  # a NaN is neither
            yield f"points: k = {k:g} has the loss {loss:g}: must be positive, in nats per token"
    if len(set(measured)) < 2:
        yield "points: two k at least: one loss says nothing of how losses fall with k"
    yield from _beside(pairs, measured, pool if whole_pool else None)


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
            yield f"errors: k = {k:g} has {error:g}: a standard error is 0 or positive"
    for k, n in pairs["subsets"]:
        most = comb(pool, int(k)) if pool and 1 <= k <= pool and k == int(k) else None
        if not (math.isfinite(n) and n == int(n) and n >= 1):
            yield f"subsets: k = {k:g} has {n:g}: must be a whole number, 1 or more"
        elif most is not None and n > most:
            yield f"subsets: k = {k:g} has {n:g}, and there are C({pool}, {k:g}) = {most}"
