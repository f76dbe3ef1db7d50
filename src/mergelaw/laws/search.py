"""The search of a fit: descents from the grid's minima, the distinct ends, the best of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.law import Law
from mergelaw.laws.projection import FINEST, Problem, descend, solve_linear, starts

N_STARTS = 4
"""Local minima of the grid that are polished, at most."""

BASIN_DEVIANCE = 4.0
"""A second minimum counts when its sum of squares is within this many residual variances."""

BOUND_TOLERANCE = 1e-6
"""A searched parameter this near its bound, in units of its range, is at it."""


class End(NamedTuple):
    """A local minimum: where the descent began, its parameters, the weighted sum of squares."""

    start: dict[str, float]
    values: dict[str, float]
    rss: float


def ends(problem: Problem, n_starts: int = N_STARTS, tolerance: float = FINEST) -> list[End]:
    """Return where descents end from the grid's minima, then from slices through the best end.

    A slice holds one searched parameter at its best value: the grid alone can miss a narrow
    valley between its nodes.
    """
    law = problem.law
    found = [_end(problem, node, tolerance) for node in starts(problem, n_starts)]
    if len(law.searched) > 1:
        values = best(found).values
        for spec in law.searched:
            part = problem._replace(law=law.holding(spec.name, values[spec.name]))
            found += [_end(problem, node, tolerance) for node in starts(part, 1)]
    return found


def best(found: list[End]) -> End:
    """Return the end with the least sum of squares."""
    return min(found, key=lambda end: end.rss)


def basins(found: list[End], n_points: int) -> list[End]:
    """Return the distinct ends (1% apart in some parameter) about as good as the best, it first.

    About as good: within 4 residual variances of the least sum of squares.
    """
    freedom = max(1, n_points - len(found[0].values))
    limit = best(found).rss * (1 + BASIN_DEVIANCE / freedom)
    distinct: list[End] = []
    for end in sorted(found, key=lambda end: end.rss):
        if end.rss <= limit and not any(_near(end, other) for other in distinct):
            distinct.append(end)
    return distinct


def _near(first: End, second: End) -> bool:
    pair = [np.array(list(end.values.values())) for end in (first, second)]
    return np.allclose(pair[0], pair[1], rtol=0.01, atol=0.01)


def _end(problem: Problem, node: Array, tolerance: float) -> End:
    """Descend from a grid node."""
    law = problem.law
    names = [spec.name for spec in law.searched]
    start = dict(zip(names, node.tolist(), strict=True))
    node = descend(problem, node, tolerance=tolerance)
    linear, residuals = solve_linear(problem, node)
    values = dict(zip(law.linear, linear.tolist(), strict=True))
    values |= dict(zip(names, node.tolist(), strict=True))
    return End(start, settled(law, values), float(residuals @ residuals))


def settled(law: Law, values: Mapping[str, float]) -> dict[str, float]:
    """Return the parameters in the law's order, put on a bound where they are next to it.

    A parameter whose scale is 0 (the offset of a tail of 0) means nothing and goes to its minimum.
    """
    result: dict[str, float] = {}
    for spec in law.parameters:
        value = values[spec.name]
        reach = BOUND_TOLERANCE * (spec.maximum - spec.minimum) if spec.grid else 0.0
        if value <= spec.minimum + reach or (spec.needs and result[spec.needs] == 0):
            value = spec.minimum
        elif value >= spec.maximum - reach:
            value = spec.maximum
        result[spec.name] = value
    return result
