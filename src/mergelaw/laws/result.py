"""What a fit is: its parameters with their errors, how good it is, and what it cannot tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mergelaw.laws.forms import Array, Values


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter; `stderr` is None at a bound, when held or with no freedom left."""

    name: str
    value: float
    stderr: float | None
    minimum: float | None
    maximum: float | None
    at_bound: bool


@dataclass(frozen=True)
class Correlation:
    """Correlation of the estimates of two parameters."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True)
class Covariance:
    """Covariance of the estimates of the parameters that are not held and not at a bound."""

    names: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Descent:
    """A descent: the searched parameters that it began at, where it ended, the squares there."""

    start: Mapping[str, float]
    values: Mapping[str, float]
    rss: float


@dataclass(frozen=True)
class LawFit:
    """A law fitted to points.

    Attributes
    ----------
    law, formula, function
        Name and text of the law, and the plain function of `mergelaw.laws.forms` behind it.
    r2, rmse, max_relative_error
        Of the fitted points, unweighted; `r2` is None for a constant loss. None of them measures
        a forecast.
    weights, misfit
        "uniform", "k" (each squared residual times k) or "measured" (by 1/(errors^2 + misfit^2),
        misfit in nats per token; None where uniform).
    covariance
        None where no standard errors can be computed.
    starts, basins
        Every descent, and the distinct minima among their ends whose sum of squares is within 4
        residual variances of the best, which comes first. `rss` is weighted: with "measured"
        weights of mean 1.
    identified, notes
        Whether the parameters are determined by the data, and in plain words what is not.
    """

    law: str
    formula: str
    function: Callable[..., Array]
    parameters: tuple[Parameter, ...]
    correlations: tuple[Correlation, ...]
    covariance: Covariance | None
    r2: float | None
    rmse: float
    max_relative_error: float
    n_points: int
    weights: str
    misfit: float | None
    n_starts: int
    n_basins: int
    starts: tuple[Descent, ...]
    basins: tuple[Descent, ...]
    identified: bool
    notes: tuple[str, ...]

    @property
    def values(self) -> Mapping[str, float]:
        """Parameter values by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}

    def predict(self, **variables: Values) -> Array:
        """Return the law's loss at its variables (`k`; `n_params_billions` for the joint law)."""
        return self.function(**variables, **self.values)
