"""Fit a law to points: grid and projection find the minimum, lmfit polishes it and gives errors."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import lmfit
import numpy as np
from numpy.typing import ArrayLike

from mergelaw.errors import FitError
from mergelaw.laws.forms import Array
from mergelaw.laws.identify import Findings, judge
from mergelaw.laws.law import Law, ParameterSpec
from mergelaw.laws.projection import descend, solve_linear, starts
from mergelaw.laws.result import Correlation, LawFit, Parameter

Weights = Literal["uniform", "k"]

N_STARTS = 4
"""Local minima of the grid that are polished, at most."""

BASIN_DEVIANCE = 4.0
"""A second minimum counts when its sum of squares is within this many residual variances."""

BOUND_TOLERANCE = 1e-6
"""A searched parameter this near its bound, in units of its range, is at it."""


class Problem(NamedTuple):
    """A law and the points that it is fitted to."""

    law: Law
    variables: Mapping[str, Array]
    loss: Array
    root_weight: Array

    @property
    def y(self) -> Array:
        """The weighted losses."""
        return self.loss * self.root_weight


class End(NamedTuple):
    """A local minimum: its parameters and the weighted sum of squares there."""

    values: dict[str, float]
    rss: float


def fit(
    law: Law, variables: Mapping[str, ArrayLike], loss: ArrayLike, weights: Weights = "uniform"
) -> LawFit:
    """Fit a law by weighted least squares.

    Parameters
    ----------
    law : Law
        `FLOOR_TAIL` or `JOINT`.
    variables : mapping of str to array, shape (points,)
        `k`, and `n_params_billions` for the joint law.
    loss : array, shape (points,)
        Mean losses in nats per token.
    weights : "uniform" or "k"
        Uniform suits curves with all subsets in, whose token noise is shared over k; "k" is the
        paper's (variance proportional to 1/k).

    Returns
    -------
    LawFit
        Standard errors are lmfit's, scaled by the residual variance, with parameters at a bound
        held there. The offset is held at 0 where only two distinct k are given.

    Raises
    ------
    FitError
        If the points are too few to determine the law, or a loss is not a positive number.
    """
    arrays = {name: np.ascontiguousarray(values, float) for name, values in variables.items()}
    losses = np.ascontiguousarray(loss, float)
    law = _determinable(law, arrays, losses)
    root_weight = np.sqrt(arrays["k"]) if weights == "k" else np.ones_like(losses)
    problem = Problem(law, arrays, losses, root_weight)
    ends = _ends(problem)
    result = _minimize(problem, _best(ends).values)
    return _described(problem, result, weights, len(ends), _count_basins(ends, len(losses)))


def _determinable(law: Law, variables: Mapping[str, Array], loss: Array) -> Law:
    """Return the law that the points can determine: with two distinct k the offset is held at 0."""
    if not np.all(np.isfinite(loss) & (loss > 0)):
        raise FitError(f"the law {law.name} needs losses that are positive numbers")
    distinct = {name: len(np.unique(variables[name])) for name in law.variables}
    held = distinct["k"] == 2
    for name, (fewest, _) in law.variables.items():
        if distinct[name] < fewest - (held and name == "k"):
            word = "sizes" if name == "n_params_billions" else "distinct k"
            raise FitError(
                f"the law {law.name} needs {fewest} {word} and there are {distinct[name]}"
            )
    n_free = len(law.parameters) - held
    if len(loss) < n_free:
        raise FitError(
            f"the law {law.name} has {n_free} parameters and there are {len(loss)} points"
        )
    return law.holding("offset", 0.0) if held else law


def _ends(problem: Problem) -> list[End]:
    """Return where descents end from the grid's minima, then from slices through the best end.

    A slice holds one searched parameter at its best value: the grid alone can miss a narrow
    valley between its nodes.
    """
    law = problem.law
    data = problem.variables, problem.y, problem.root_weight
    ends = [_end(problem, node) for node in starts(law, *data, N_STARTS)]
    if len(law.searched) > 1:
        values = _best(ends).values
        slices = [law.holding(spec.name, values[spec.name]) for spec in law.searched]
        ends += [_end(problem, node) for part in slices for node in starts(part, *data, 1)]
    return ends


def _best(ends: list[End]) -> End:
    return min(ends, key=lambda end: end.rss)


def _end(problem: Problem, node: Array) -> End:
    """Descend from a grid node."""
    law = problem.law
    arrays = problem.variables, problem.y, problem.root_weight
    node = descend(law, *arrays, node)
    linear, residuals = solve_linear(law, *arrays, node)
    values = dict(zip(law.linear, linear.tolist(), strict=True))
    values |= {spec.name: float(value) for spec, value in zip(law.searched, node, strict=True)}
    return End(_settled(law, values), float(residuals @ residuals))


def _settled(law: Law, values: Mapping[str, float]) -> dict[str, float]:
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


def _count_basins(ends: list[End], n_points: int) -> int:
    """Count distinct ends (1% apart in some parameter) that are about as good as the best."""
    freedom = max(1, n_points - len(ends[0].values))
    limit = _best(ends).rss * (1 + BASIN_DEVIANCE / freedom)
    distinct: list[Array] = []
    for values, rss in ends:
        point = np.array(list(values.values()))
        if rss <= limit and not any(np.allclose(point, p, rtol=0.01, atol=0.01) for p in distinct):
            distinct.append(point)
    return len(distinct)


def _minimize(problem: Problem, values: Mapping[str, float]) -> lmfit.minimizer.MinimizerResult:
    parameters = lmfit.Parameters()
    for spec in problem.law.parameters:
        value = values[spec.name]
        inside = spec.minimum < value < spec.maximum
        parameters.add(spec.name, value=value, vary=inside)
        if inside:
            parameters[spec.name].set(min=spec.minimum, max=spec.maximum)

    def residuals(trial: lmfit.Parameters) -> Array:
        predicted = problem.law.function(**problem.variables, **trial.valuesdict())
        return (predicted - problem.loss) * problem.root_weight

    return lmfit.minimize(residuals, parameters, method="leastsq", ftol=1e-14, xtol=1e-14)


def _described(
    problem: Problem,
    result: lmfit.minimizer.MinimizerResult,
    weights: Weights,
    n_starts: int,
    n_basins: int,
) -> LawFit:
    """Return what lmfit found, with how good it is and what it cannot tell."""
    law, loss = problem.law, problem.loss
    values = _settled(law, result.params.valuesdict())
    freedom = len(loss) - result.nvarys
    has_errors = result.errorbars and freedom > 0
    parameters = tuple(
        _parameter(spec, values[spec.name], result.params[spec.name].stderr if has_errors else None)
        for spec in law.parameters
    )
    correlations = _correlations(result) if has_errors else ()
    findings = Findings(parameters, correlations, freedom, n_basins)
    identified, notes = judge(law, problem.variables, findings)
    residuals = law.function(**problem.variables, **values) - loss
    spread = float(np.sum((loss - loss.mean()) ** 2))
    return LawFit(
        law=law.name,
        formula=law.formula,
        function=law.function,
        parameters=parameters,
        correlations=correlations,
        r2=1 - float(residuals @ residuals) / spread if spread > 0 else None,
        rmse=float(np.sqrt(np.mean(residuals**2))),
        max_relative_error=float(np.max(np.abs(residuals) / loss)),
        n_points=len(loss),
        weights=weights,
        n_starts=n_starts,
        n_basins=n_basins,
        identified=identified,
        notes=notes,
    )


def _parameter(spec: ParameterSpec, value: float, stderr: float | None) -> Parameter:
    at_bound = value in (spec.minimum, spec.maximum)
    if at_bound or (stderr is not None and not np.isfinite(stderr)):
        stderr = None
    return Parameter(
        name=spec.name,
        value=float(value),
        stderr=None if stderr is None else float(stderr),
        minimum=float(spec.minimum),
        maximum=None if np.isinf(spec.maximum) else float(spec.maximum),
        at_bound=at_bound,
    )


def _correlations(result: lmfit.minimizer.MinimizerResult) -> tuple[Correlation, ...]:
    names = list(result.params)
    return tuple(
        Correlation(first, second, float(value))
        for first in names
        for second, value in (result.params[first].correl or {}).items()
        if names.index(first) < names.index(second) and np.isfinite(value)
    )
