"""Fit a law to points: grid and projection find the minimum, lmfit polishes it and gives errors."""

from collections.abc import Mapping

import lmfit
import numpy as np
from numpy.typing import ArrayLike

from mergelaw.laws.forms import Array
from mergelaw.laws.identify import Findings, judge
from mergelaw.laws.law import Law, ParameterSpec
from mergelaw.laws.projection import Problem
from mergelaw.laws.result import Correlation, Covariance, Descent, LawFit, Parameter
from mergelaw.laws.search import N_STARTS, End, basins, best, ends, settled
from mergelaw.laws.weighting import Posed, Weights, pose


def fit(
    law: Law,
    variables: Mapping[str, ArrayLike],
    loss: ArrayLike,
    weights: Weights = "uniform",
    errors: ArrayLike | None = None,
    n_starts: int = N_STARTS,
) -> LawFit:
    """Fit a law by weighted least squares.

    Parameters
    ----------
    law : Law
        One of `mergelaw.laws.law` or `mergelaw.laws.more_laws`.
    variables : mapping of str to array, shape (points,)
        The law's variables: `k`, and `n_params_billions` for the joint law; others are ignored.
    loss : array, shape (points,)
        Mean losses in nats per token (or whatever the law describes, such as a variance).
    weights : "uniform", "k" or "measured"
        Uniform suits curves with all subsets in, whose token noise is shared over k; "k" is the
        paper's (variance proportional to 1/k); "measured" weighs by 1/(errors^2 + t^2), where t is
        what the law misses beside the sampling errors (Paule & Mandel 1982), and is uniform where
        all errors are 0, or one is not known (which is noted).
    errors : array, shape (points,), optional
        Standard errors of the losses from sampled subsets, in nats per token; 0 where all subsets
        are in, NaN where not known. Read by "measured" only.
    n_starts : int
        Local minima of the grid that are polished, at most.

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
    posed = pose(law, variables, loss, weights, errors)
    found = ends(posed.problem, n_starts)
    return _described(posed, _minimize(posed.problem, best(found).values), found)


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


def _described(posed: Posed, result: lmfit.minimizer.MinimizerResult, found: list[End]) -> LawFit:
    """Return what lmfit found, with how good it is and what it cannot tell."""
    problem, weights, misfit, note = posed
    law, loss = problem.law, problem.loss
    values = settled(law, result.params.valuesdict())
    freedom = len(loss) - result.nvarys
    has_errors = result.errorbars and freedom > 0
    parameters = tuple(
        _parameter(spec, values[spec.name], result.params[spec.name].stderr if has_errors else None)
        for spec in law.parameters
    )
    correlations = _correlations(result) if has_errors else ()
    minima = basins(found, len(loss))
    findings = Findings(parameters, correlations, freedom, len(minima))
    identified, notes = judge(law, problem.variables, findings)
    residuals = law.function(**problem.variables, **values) - loss
    spread = float(np.sum((loss - loss.mean()) ** 2))
    return LawFit(
        law=law.name,
        formula=law.formula,
        function=law.function,
        parameters=parameters,
        correlations=correlations,
        covariance=_covariance(result) if has_errors else None,
        r2=1 - float(residuals @ residuals) / spread if spread > 0 else None,
        rmse=float(np.sqrt(np.mean(residuals**2))),
        max_relative_error=float(np.max(np.abs(residuals) / loss)),
        n_points=len(loss),
        weights=weights,
        misfit=misfit,
        n_starts=len(found),
        n_basins=len(minima),
        starts=tuple(Descent(*end) for end in found),
        basins=tuple(Descent(*end) for end in minima),
        identified=identified,
        notes=(*notes, note) if note else notes,
    )


def _parameter(spec: ParameterSpec, value: float, stderr: float | None) -> Parameter:
    at_bound = value in (spec.minimum, spec.maximum)
    if at_bound or (stderr is not None and not np.isfinite(stderr)):
        stderr = None
    return Parameter(
        name=spec.name,
        value=float(value),
        stderr=None if stderr is None else float(stderr),
        minimum=None if np.isinf(spec.minimum) else float(spec.minimum),
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


def _covariance(result: lmfit.minimizer.MinimizerResult) -> Covariance | None:
    if not np.all(np.isfinite(result.covar)):
        return None
    return Covariance(tuple(result.var_names), tuple(map(tuple, result.covar.tolist())))
