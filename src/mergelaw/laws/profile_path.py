"""The profile of one quantity: the least sum of squares at a held value, followed outwards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from mergelaw.laws.forms import Array
from mergelaw.laws.law import ParameterSpec
from mergelaw.laws.projection import Held, Problem, descend, solve_linear, start_held, starts
from mergelaw.laws.search import End

TOLERANCE = 1e-7
"""Of the least sum of squares at a held value, as a share of it."""

SAME = 1e-3
"""Excesses over the limit (see `Path`) that differ by less come from one minimum."""

FIRST_STEP = 2.6
"""First step outwards in standard errors: just outside of most intervals."""

DOUBLINGS = 40
"""Steps from the best value outwards, each twice the last."""


class ProfileInterval(NamedTuple):
    """Ends of an interval; None where there is none on that side, and the note says why."""

    low: float | None
    high: float | None
    note: str | None


class Quantity(NamedTuple):
    """What is held: the problem with it at a value, and the condition that does so, if any."""

    held: Callable[[float], tuple[Problem, Held | None]]

    def solve(self, value: float, node: Array) -> tuple[float, Array]:
        """Return the least sum of squares next to a node, and the node it is at."""
        problem, held = self.held(value)
        specs = problem.law.searched
        node = np.clip(node, [s.minimum for s in specs], [s.maximum for s in specs])
        node = descend(problem, node, held, TOLERANCE)
        residuals = solve_linear(problem, node, held)[1]
        return float(residuals @ residuals), node

    def start(self, value: float) -> Array:
        """Return the best node of the grid (every other one, where it has several axes)."""
        problem, held = self.held(value)
        if len(problem.law.searched) > 1:
            problem = problem._replace(law=problem.law.coarser())
        return start_held(problem, held) if held else starts(problem, 1)[0]


def parameter(problem: Problem, spec: ParameterSpec) -> Quantity:
    """Return a parameter of the problem's law as what is held."""
    law = problem.law
    if spec.grid:
        return Quantity(lambda v: (problem._replace(law=law.holding(spec.name, v)), None))
    unit = np.eye(len(law.linear))[law.linear.index(spec.name)]
    return Quantity(lambda v: (problem, Held(lambda nodes: np.tile(unit, (len(nodes), 1)), v)))


def law_at(problem: Problem, point: Mapping[str, Array]) -> Quantity:
    """Return the law's value at a point (arrays of shape (1,)) as what is held."""
    return Quantity(
        lambda v: (problem, Held(lambda nodes: problem.law.columns(point, nodes)[:, 0], v))
    )


@dataclass
class Path:
    """The profile of one quantity, followed outwards from the minimum."""

    quantity: Quantity
    minima: list[End]
    rise: float  # of sqrt(RSS / RSS_min - 1) at an interval's end
    thorough: bool = False  # whether every value is looked for on the whole grid
    seen: dict[float, tuple[float, Array]] = field(default_factory=dict)

    def interval(
        self, values: list[float], step: float, bounds: tuple[float, float]
    ) -> ProfileInterval:
        """Return the interval around the values at the minima; `step` is about a standard error.

        With two minima it goes from the lower one's end to the higher one's, whatever is between.
        """
        low, high = (self._end(values, step, bounds, sign) for sign in (-1, 1))
        notes = []
        if low is None:
            notes.append(f"no lower end: values down to {_said(bounds[0])} fit as well")
        if high is None:
            notes.append(f"no upper end: values up to {_said(bounds[1])} fit as well")
        if len(values) > 1:
            notes.append(f"around {len(values)} distinct minima: not every value between fits")
        return ProfileInterval(low, high, "; ".join(notes) or None)

    def _end(
        self, values: list[float], step: float, bounds: tuple[float, float], sign: int
    ) -> float | None:
        self.seen = {}
        for value, end in zip(values, self.minima, strict=True):
            self._keep(value, end.rss, self._node(end))
        value = sign * max(sign * value for value in values)
        inside, limit = value, bounds[(1 + sign) // 2]
        step *= FIRST_STEP
        for _ in range(DOUBLINGS):
            outside = float(np.clip(inside + sign * step, *bounds))
            if self._excess(outside) >= 0 and self._excess_anywhere(outside) >= 0:
                return self._crossing(inside, outside)
            if outside == limit:
                return None
            inside, step = outside, 2 * step
        return None

    def _crossing(self, inside: float, outside: float) -> float:
        """Return where the profile crosses the limit, the grid having no better minimum there."""
        end = self._root(inside, outside)
        if self._excess_anywhere(end) < -SAME:
            self.thorough = True
            self.seen = {value: self.seen[value] for value in (end, outside)}
            end = self._root(end, outside)
            self.thorough = False
        return end

    def _root(self, inside: float, outside: float) -> float:
        xtol = 1e-3 * abs(outside - inside)
        return float(brentq(self._excess, inside, outside, rtol=1e-7, xtol=xtol))

    def _excess(self, value: float) -> float:
        """Return how far the profile's root is above the limit; near a straight line in v."""
        if value not in self.seen:
            nearest = min(self.seen, key=lambda other: abs(other - value))
            self._look(value, self.seen[nearest][1])
            for end in self.minima[1:]:
                self._look(value, self._node(end))
            if self.thorough:
                self._look(value, self.quantity.start(value))
        return self.seen[value][0]

    def _excess_anywhere(self, value: float) -> float:
        """Return the same, looked for on the whole grid as well."""
        self._look(value, self.quantity.start(value))
        return self.seen[value][0]

    def _look(self, value: float, node: Array) -> None:
        """Keep the minimum next to a node, where it is the least so far."""
        self._keep(value, *self.quantity.solve(value, node))

    def _keep(self, value: float, rss: float, node: Array) -> None:
        excess = float(np.sqrt(max(0.0, rss / self.minima[0].rss - 1))) - self.rise
        if value not in self.seen or excess < self.seen[value][0]:
            self.seen[value] = excess, node

    def _node(self, end: End) -> Array:
        specs = self.quantity.held(0.0)[0].law.searched
        return np.array([end.values[spec.name] for spec in specs], float)


def _said(bound: float) -> str:
    return f"the bound {bound:g}" if np.isfinite(bound) else "any size"
