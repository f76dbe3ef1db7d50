"""Forms that the variance over subsets of a finite pool may follow, and their fits."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.optimize import lsq_linear, minimize_scalar

from mergelaw.errors import FitError
from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array, finite_pool_variance
from mergelaw.laws.law import JOINT

MAX_OFFSET = 20.0
OFFSETS = (0.0, *np.geomspace(0.01, MAX_OFFSET, 64).tolist())

SIGNED = "v1"
"""The coefficient that may be negative: losses are skewed one way or the other."""


class Form(NamedTuple):
    """A form that is linear in its coefficients once the offset is given.

    Attributes
    ----------
    columns
        What multiplies each coefficient, from k (array), the pool and the offset.
    has_offset
        Whether the offset is sought, too.
    of_masks
        Whether it is about methods that draw masks, and no others.
    """

    columns: Callable[[Array, int, float], dict[str, Array]]
    has_offset: bool = False
    of_masks: bool = False


class Fitted(NamedTuple):
    """A form fitted to variances: its parameters, those at a bound, and what it gives at k = M."""

    values: dict[str, float]
    at_bound: frozenset[str]
    predicted: Array
    at_pool: float


def _share(k: Array, pool: int) -> Array:
    return finite_pool_variance(k, 1.0, pool)


FORMS = {
    "finite_pool": Form(lambda k, pool, _: {"v0": _share(k, pool)}),
    "finite_pool_seed": Form(
        lambda k, pool, _: {"v0": _share(k, pool), "v_seed": np.ones_like(k)}, of_masks=True
    ),
    "finite_pool_curved": Form(
        lambda k, pool, _: {"v0": _share(k, pool), SIGNED: _share(k, pool) ** 2}
    ),
    "finite_pool_offset": Form(lambda k, pool, b: {"v0": 1 / (k + b) - 1 / (pool + b)}, True),
    "inverse_k": Form(lambda k, pool, _: {"v0": 1 / k}),
    "offset_k": Form(lambda k, pool, b: {"v0": 1 / (k + b)}, True),
}
"""Forms of one size, M being the pool and x = 1/k - 1/M.

- "finite_pool": ``v0 x``, exact for a loss that is linear in the merged weights.
- "finite_pool_seed": ``v0 x + v_seed``, with masks drawn anew for each subset, as in the paper's
  code. Under one mask seed of this project an expert has one mask in every subset: then v_seed
  takes up what x misses, and the part of the masks is that of the analysis `order`.
- "finite_pool_curved": ``v0 x + v1 x^2``, the next order for a loss with curvature h along the
  deviation d of a subset's mean from the pool's: ``Cov(d, d^2) = mu3 M^2 x (x - 1/M) / ((M - 1)
  (M - 2))`` for sampling without replacement (mu3: third central moment of the pool), and
  ``Var(d^2)`` is of the order x^2. v1 < 0 where single experts vary less than the slope says.
- "finite_pool_offset": ``v0 (1/(k + b) - 1/(M + b))``, the paper's offset with 0 at k = M.
- "inverse_k": ``v0 / k``, for subsets drawn with replacement or from an endless pool.
- "offset_k": ``v0 / (k + b)``, the paper's form at one size without its constant.
"""


def fit_form(form: Form, k: Array, variance: Array, pool: int) -> Fitted:
    """Fit a form by unweighted least squares, coefficients beside `SIGNED` not negative.

    An offset is sought in [0, 20], on a grid and then between the best node's neighbours.

    Parameters
    ----------
    k, variance : float arrays, shape (points,)
        1 <= k < pool; variances in (nats per token) squared.
    """
    if not form.has_offset:
        return _at_offset(form, 0.0, k, variance, pool)

    def rss(offset: float) -> float:
        return float(
            np.sum((_at_offset(form, offset, k, variance, pool).predicted - variance) ** 2)
        )

    node = int(np.argmin([rss(offset) for offset in OFFSETS]))
    ends = OFFSETS[max(node - 1, 0)], OFFSETS[min(node + 1, len(OFFSETS) - 1)]
    between = minimize_scalar(rss, bounds=ends, method="bounded", options={"xatol": 1e-10}).x
    offset = min((OFFSETS[node], float(between)), key=rss)
    fitted = _at_offset(form, offset, k, variance, pool)
    at_bound = fitted.at_bound | ({"offset"} if offset in (0.0, MAX_OFFSET) else set())
    return fitted._replace(values=fitted.values | {"offset": offset}, at_bound=at_bound)


def _at_offset(form: Form, offset: float, k: Array, variance: Array, pool: int) -> Fitted:
    named = form.columns(k, pool, offset)
    end = form.columns(np.array([float(pool)]), pool, offset)
    columns = np.column_stack(list(named.values()))
    coefficients = _coefficients(columns, variance, [name == SIGNED for name in named])
    names = list(named)
    at_bound = [name for name, value in zip(names, coefficients, strict=True) if value == 0]
    return Fitted(
        dict(zip(names, coefficients.tolist(), strict=True)),
        frozenset(at_bound) - {SIGNED},
        columns @ coefficients,
        float((np.column_stack(list(end.values())) @ coefficients)[0]),
    )


def _coefficients(columns: Array, variance: Array, signed: Sequence[bool]) -> Array:
    """Return the least squares coefficients; those that are not `signed` are at least 0."""
    if columns.shape[1] == 1 and not signed[0]:  # in closed form: offsets are sought with it
        (column,) = columns.T
        return np.array([max(0.0, float(column @ variance / (column @ column)))])
    lengths, unit = np.linalg.norm(columns, axis=0), float(np.abs(variance).max()) or 1.0
    lowest = np.where(signed, -np.inf, 0.0)
    found = lsq_linear(columns / lengths, variance / unit, (lowest, np.inf), method="bvls")
    coefficients: Array = unit * found.x / lengths
    return np.where(found.active_mask, 0.0, coefficients)


def fit_joint(points: pl.DataFrame, pool: int) -> Fitted | None:
    """Fit the paper's form over N and k, ``V* + B_v N^-beta_v + A_v N^-gamma_v / (k + b_v)``.

    It is the joint law of the loss (whose parameter names it keeps), with variances in the place
    of losses, in units of the largest one: its solver expects numbers of the order of 1.

    Parameters
    ----------
    points : polars.DataFrame
        `n_params_billions`, `k` and `variance`.

    Returns
    -------
    None where there are too few sizes or k, or a variance is 0; `at_pool` is that of the largest
    size.
    """
    variance = points["variance"].to_numpy()
    variables = {name: points[name].to_numpy() for name in JOINT.variables}
    unit = float(variance.max()) or 1.0
    try:
        found = fit(JOINT, variables, variance / unit)
    except FitError:
        return None
    scale = {name: unit if name in JOINT.linear else 1.0 for name in found.values}
    largest = float(variables["n_params_billions"].max())
    return Fitted(
        {name: value * scale[name] for name, value in found.values.items()},
        frozenset(parameter.name for parameter in found.parameters if parameter.at_bound),
        unit * found.predict(**variables),
        float(unit * found.predict(n_params_billions=largest, k=float(pool))),
    )
