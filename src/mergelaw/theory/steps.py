"""The best weights by quadratic models, within bounds, a trust region and the goal's limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import lsq_linear, minimize

from mergelaw.laws.forms import Array
from mergelaw.theory.goal import FORFEIT, Goal
from mergelaw.theory.quadratic import Quadratics


@dataclass(frozen=True)
class Box:
    """Least and largest value of each weight, shape (weights,); equal where one is fixed."""

    low: Array
    high: Array

    @classmethod
    def of(cls, goal: Goal, used: Array) -> "Box":
        """Return the goal's bounds; weights that are not used are fixed at 0."""
        return cls(np.where(used, goal.lower, 0.0), np.where(used, goal.upper, 0.0))

    def around(self, centre: Array, radius: float) -> "Box":
        """Return the part within a radius of a point in each weight: the trust region."""
        low = np.clip(centre - radius, self.low, self.high)
        return Box(low, np.clip(centre + radius, low, self.high))

    @property
    def free(self) -> Array:
        """Which weights can move, shape (weights,)."""
        free: Array = self.high > self.low
        return free


@dataclass(frozen=True)
class Problem:
    """A goal on quadratic models with a penalty, in the weights that are free.

    Its variables are the free weights; for the worst domain a bound on all losses, and where there
    are limits the excess above them, which is paid for: a start beyond the limits is no obstacle.

    Attributes
    ----------
    goal : Goal
    models : Quadratics
    penalty : array, shape (weights, weights)
    box : Box
    n_groups : int
    """

    goal: Goal
    models: Quadratics
    penalty: Array
    box: Box
    n_groups: int

    def merit(self, weights: Array) -> float:
        """Return what is minimised: the goal's merit and the penalty."""
        return self.goal.merit(self.models.at(weights)) + float(
            weights @ self.penalty @ weights / 2
        )

    @property
    def is_smooth(self) -> bool:
        """Whether there is nothing but a mixture and a box."""
        bounded = self.goal.limits is not None or self.goal.sums_to_one
        return self.goal.mixture is not None and not bounded

    def best(self, start: Array) -> Array:
        """Return the weights of least merit, shape (weights,); where it is not convex, near one."""
        begin = np.clip(start, self.box.low, self.box.high)
        if self.is_smooth:
            inner = self._bounded(begin)
            if inner is not None:
                return inner
        starts = [begin] if self._is_convex else [begin, self._downhill(begin)]
        candidates = [begin, *(self._searched(point) for point in starts)]
        return min(candidates, key=self._told_merit)

    def _told_merit(self, weights: Array) -> float:
        """Return the merit; weights off a simplex are no candidate."""
        if self.goal.sums_to_one:
            rows = weights.reshape(self.n_groups, -1).sum(axis=1)
            if np.abs(rows - 1).max() > 1e-6:
                return np.inf
        return self.merit(weights)

    @cached_property
    def _hessian(self) -> Array:
        """Return the second derivative of the mixture (of the domains' mean for the worst)."""
        n = len(self.models.loss)
        shares = np.full(n, 1 / n) if self.goal.mixture is None else self.goal.mixture
        summed: Array = np.tensordot(shares, self.models.curvature, 1) + self.penalty
        return summed

    @cached_property
    def _is_convex(self) -> bool:
        free = self.box.free
        return bool(np.linalg.eigvalsh(self._hessian[np.ix_(free, free)]).min() >= 0)

    def _slope(self, weights: Array) -> Array:
        n = len(self.models.loss)
        shares = np.full(n, 1 / n) if self.goal.mixture is None else self.goal.mixture
        slope: Array = shares @ self.models.slopes_at(weights) + self.penalty @ weights
        return slope

    def _bounded(self, start: Array) -> Array | None:
        """Return the least point in the box of a convex quadratic: bounded least squares."""
        free = self.box.free
        if not free.any():
            return start
        try:
            root = cholesky(self._hessian[np.ix_(free, free)], lower=True)
        except LinAlgError:
            return None
        target = root.T @ start[free] - solve_triangular(root, self._slope(start)[free], lower=True)
        found, bounds = start.copy(), (self.box.low[free], self.box.high[free])
        found[free] = lsq_linear(root.T, target, bounds, method="bvls").x
        return np.clip(found, self.box.low, self.box.high)

    def _downhill(self, start: Array) -> Array:
        """Return where a step with the curvature's absolute values leads, along all that is free.

        A direction that bends down is followed to the edge of the trust region.
        """
        free = self.box.free
        values, vectors = np.linalg.eigh(self._hessian[np.ix_(free, free)])
        sizes = np.maximum(np.abs(values), 1e-3 * np.abs(values).max() + 1e-12)
        down = vectors.T @ self._slope(start)[free]
        down = np.where(values < 0, np.where(down < 0, -1, 1) * sizes, down)
        found = start.copy()
        found[free] -= vectors @ (down / sizes)
        return np.clip(found, self.box.low, self.box.high)

    def _searched(self, start: Array) -> Array:
        """Return the least point by sequential quadratic programming (scipy's SLSQP)."""
        free = np.flatnonzero(self.box.free)
        worst, limited = self.goal.mixture is None, self.goal.limits is not None
        losses = self.models.at(start)
        extra = [losses.max()] * worst + [self.goal.excess(losses)] * limited
        bounds = [*zip(self.box.low[free], self.box.high[free], strict=True)]
        bounds += [(None, None)] * worst + [(0.0, None)] * limited

        def whole(x: Array) -> Array:
            weights = start.copy()
            weights[free] = x[: len(free)]
            return weights

        def objective(x: Array) -> tuple[float, Array]:
            weights = whole(x)
            value = weights @ self.penalty @ weights / 2
            slope = np.concatenate([(self.penalty @ weights)[free], np.zeros(len(extra))])
            if worst:
                value, slope[len(free)] = value + x[len(free)], 1.0
            else:
                value += self.goal.value(self.models.at(weights))
                slope[: len(free)] += (self._mixture @ self.models.slopes_at(weights))[free]
            if limited:
                value, slope[-1] = value + FORFEIT * x[-1], FORFEIT
            return float(value), slope

        found = minimize(
            objective,
            np.concatenate([start[free], extra]),
            jac=True,
            bounds=bounds,
            constraints=[*self._constraints(whole, free, len(extra))],
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-10},
        )
        return np.clip(whole(found.x), self.box.low, self.box.high)

    @property
    def _mixture(self) -> Array:
        return np.zeros(len(self.models.loss)) if self.goal.mixture is None else self.goal.mixture

    def _constraints(self, whole: Any, free: Array, n_extra: int) -> list[Mapping[str, Any]]:
        """Return what scipy keeps at 0 or above it (or at 0), with slopes."""
        n, found = len(free), list[Mapping[str, Any]]()

        def below(bound: Any, place: int) -> Mapping[str, Any]:
            def slope(x: Array) -> Array:
                rows = np.zeros((len(self.models.loss), n + n_extra))
                rows[:, :n] = -self.models.slopes_at(whole(x))[:, free]
                rows[:, place] = 1.0
                return rows

            def value(x: Array) -> Array:
                return np.asarray(bound + x[place] - self.models.at(whole(x)))

            return {"type": "ineq", "fun": value, "jac": slope}

        if self.goal.mixture is None:
            found.append(below(0.0, n))
        if self.goal.limits is not None:
            found.append(below(self.goal.limits, n + n_extra - 1))
        if self.goal.sums_to_one:
            rows = np.kron(np.eye(self.n_groups), np.ones(self.box.low.size // self.n_groups))
            rows = np.hstack([rows[:, free], np.zeros((self.n_groups, n_extra))])
            apart = {"fun": lambda x: rows @ x - 1.0, "jac": lambda x: rows}
            found.append({"type": "eq", **apart})
        return found
