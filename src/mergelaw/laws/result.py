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
    minimum: float
    maximum: float | None
    at_bound: bool


@dataclass(frozen=True)
class Correlation:
    """Correlation of the estimates of two parameters."""

    first: str
    second: str
    correlation: float


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
    weights
        "uniform" or "k" (each squared residual times k).
    n_starts, n_basins
        Descents, and the distinct minima among their ends whose sum of squares is within 4
        residual variances of the best.
    identified, notes
        Whether the parameters are determined by the data, and in plain words what is not.
    """

    law: str
    formula: str
    function: Callable[..., Array]
    parameters: tuple[Parameter, ...]
    correlations: tuple[Correlation, ...]
    r2: float | None
    rmse: float
    max_relative_error: float
    n_points: int
    weights: str
    n_starts: int
    n_basins: int
    identified: bool
    notes: tuple[str, ...]

    @property
    def values(self) -> Mapping[str, float]:
        """Parameter values by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}

    def predict(self, **variables: Values) -> Array:
        """Return the law's loss at its variables (`k`; `n_params_billions` for the joint law)."""
        return self.function(**variables, **self.values)
