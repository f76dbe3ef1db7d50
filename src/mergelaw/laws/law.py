"""The two laws as data: which form, which parameters are linear, their bounds, grids and notes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mergelaw.laws import forms
from mergelaw.laws.forms import Array


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter of a law: its bounds, how it is searched, and what its bounds mean.

    Attributes
    ----------
    minimum
        Of a parameter that the law is linear in: 0, or minus infinity where it may be negative.
    grid
        Values searched; empty for a parameter that the law is linear in.
    needs
        The linear parameter without which this one means nothing (at 0, this one is set to its
        minimum).
    at_minimum, at_maximum
        What a value at the bound means, for the fit's notes.
    minimum_is_a_value
        Whether the minimum is an answer (an offset of 0) or a failure (a floor of 0).
    """

    name: str
    minimum: float = 0.0
    maximum: float = np.inf
    grid: tuple[float, ...] = ()
    needs: str | None = None
    at_minimum: str = ""
    at_maximum: str = ""
    minimum_is_a_value: bool = False


@dataclass(frozen=True)
class Law:
    """A plain function that is linear in some of its parameters once the others are given.

    Attributes
    ----------
    variables
        The distinct values that a fit needs of each variable, and below which number it is noted
        as few.
    extrapolated
        The parameter that no point comes near; larger errors than values make it unidentified.
        Empty: there is none.
    """

    name: str
    formula: str
    function: Callable[..., Array]
    parameters: tuple[ParameterSpec, ...]
    variables: Mapping[str, tuple[int, int]] = field(hash=False)
    extrapolated: str = ""

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the parameters that the law is linear in."""
        return tuple(spec.name for spec in self.parameters if not spec.grid)

    @property
    def searched(self) -> tuple[ParameterSpec, ...]:
        """The other parameters, which are found on a grid."""
        return tuple(spec for spec in self.parameters if spec.grid)

    @property
    def n_free(self) -> int:
        """Number of parameters that are not held."""
        return sum(spec.minimum < spec.maximum for spec in self.parameters)

    @property
    def free(self) -> tuple[int, ...]:
        """Places in `linear` of the parameters that may be negative."""
        specs = (spec for spec in self.parameters if not spec.grid)
        return tuple(i for i, spec in enumerate(specs) if spec.minimum == -np.inf)

    def columns(self, variables: Mapping[str, Array], nodes: Array) -> Array:
        """Return what multiplies each linear parameter: the law at unit values of one at a time.

        Parameters
        ----------
        variables
            Arrays of shape (points,).
        nodes
            Values of the searched parameters, shape (nodes, searched).

        Returns
        -------
        Array of shape (nodes, points, linear).
        """
        shape = {spec.name: nodes[:, i, None] for i, spec in enumerate(self.searched)}
        n_points = len(next(iter(variables.values())))
        result = np.empty((len(nodes), n_points, len(self.linear)))
        for i, name in enumerate(self.linear):
            unit = dict.fromkeys(self.linear, 0.0) | {name: 1.0}
            result[:, :, i] = self.function(**variables, **unit, **shape)
        return result

    def coarser(self) -> "Law":
        """Return the law with every other node of its grid along each searched parameter."""
        specs = (replace(spec, grid=spec.grid[::2]) for spec in self.parameters)
        return replace(self, parameters=tuple(specs))

    def holding(self, name: str, value: float) -> "Law":
        """Return the law with one searched parameter held at a value."""
        specs = {spec.name: spec for spec in self.parameters}
        specs[name] = replace(specs[name], minimum=value, maximum=value, grid=(value,))
        return replace(self, parameters=tuple(specs.values()))


def _zero_and_geometric(smallest: float, largest: float, count: int) -> tuple[float, ...]:
    return (0.0, *np.geomspace(smallest, largest, count - 1).tolist())


FLAT = "the loss does not fall with k, and the offset means nothing"
STEEP = "the curve has no finite scale in k: read the law's predictions, not its parameters"
OFFSET = ParameterSpec(
    "offset", 0, 20, _zero_and_geometric(0.02, 20, 16), at_maximum=STEEP, minimum_is_a_value=True
)

FLOOR_TAIL = Law(
    name="floor_tail",
    formula="L(k) = floor + tail / (k + offset)",
    function=forms.floor_tail,
    parameters=(
        ParameterSpec("floor", at_minimum="the floor is not identified"),
        ParameterSpec("tail", at_minimum=FLAT),
        replace(OFFSET, grid=_zero_and_geometric(0.01, 20, 64), needs="tail"),
    ),
    variables={"k": (3, 4)},
    extrapolated="floor",
)

JOINT = Law(
    name="joint",
    formula="L(N, k) = floor_limit + size_scale N^-size_exponent"
    " + tail_scale N^-tail_exponent / (k + offset), N in billions",
    function=forms.joint,
    parameters=(
        ParameterSpec("floor_limit", at_minimum="the floor at infinite size is not identified"),
        ParameterSpec("size_scale", at_minimum="the floor does not fall with the size"),
        ParameterSpec(
            "size_exponent",
            0.01,
            3,
            tuple(np.geomspace(0.01, 3, 16).tolist()),
            "size_scale",
            at_minimum="the floor falls like log N: no power law is identified",
            at_maximum="the floor falls too fast with the size for a power law",
        ),
        ParameterSpec("tail_scale", at_minimum=FLAT),
        ParameterSpec(
            "tail_exponent",
            0,
            2,
            _zero_and_geometric(0.02, 2, 16),
            "tail_scale",
            at_minimum="the tail does not fall with the size",
            at_maximum="the tail falls too fast with the size for a power law",
            minimum_is_a_value=True,
        ),
        replace(OFFSET, needs="tail_scale"),
    ),
    variables={"n_params_billions": (3, 5), "k": (3, 4)},  # the floor alone has three parameters
    extrapolated="floor_limit",
)

WORDS = {
    "n_params_billions": "sizes",
    "k": "distinct k",
    "n_tokens_billions": "numbers of training tokens",
    "capacity": "capacities",
}
"""How messages count the values of a variable."""

LAWS = {law.name: law for law in (FLOOR_TAIL, JOINT)}
