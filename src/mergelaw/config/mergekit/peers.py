"""mergekit 0.1.5's merge methods in mergelaw's words: a row per method, a row per parameter.

Reading and writing follow the same rows: `into` turns a value of mergekit's into ours, `back` ours
into mergekit's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from mergelaw.config.base import Fraction
from mergelaw.config.methods import Share

REQUIRED = object()
"""The default of a parameter without one."""

Number = Annotated[float, Field(allow_inf_nan=False)]


def _same(value: Any) -> Any:
    return value


def _complement(share: float) -> float:
    return round(1 - share, 12)  # 1 - 0.8 is 0.2 to a reader, though not to floating point


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method of mergekit's.

    `ours` is its name here (None: it changes nothing, or `only` one value of it has a like here),
    `by_model` whether a model may have its own value (else mergekit ignores that).
    """

    ours: str | None
    kind: Any
    default: Any = REQUIRED
    by_model: bool = False
    only: Any = None
    into: Callable[[Any], Any] = _same
    back: Callable[[Any], Any] = _same


@dataclass(frozen=True)
class Peer:
    """One method of mergekit's and its like here.

    Parameters
    ----------
    method : str
        Our name.
    base : {"required", "input", "optional"}
        What mergekit's `base_model` is: the base of task vectors; one more model; or the base of
        task vectors, without which the models themselves are merged.
    parameters : mapping of str to Parameter
        By mergekit's name.
    fixed : mapping
        Our parameters that mergekit does not have, with the only value that it stands for.
    """

    method: str
    base: Literal["required", "input", "optional"]
    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Any] = field(default_factory=dict)


_WEIGHT = Parameter("weight", Number, by_model=True)
_DENSITY = Parameter("density", Fraction, 1.0, by_model=True)
_DROPPED = Parameter("drop_rate", Fraction, 1.0, True, into=_complement, back=_complement)
_GAMMA = Parameter("gamma", Share, 0.01, by_model=True)
_EPSILON = Parameter("epsilon", Share, 0.15, by_model=True)
_L1 = Parameter(
    "rescale",
    bool,
    True,
    into={True: "l1", False: "none"}.__getitem__,
    back={"l1": True, "none": False}.get,
)
_NO_RESCALE = Parameter(None, bool, False, only=False)
_NO_EFFECT = Parameter(None, bool, False)
_ELECTED = {"zero_sign": "positive"}


def _family(normalize: bool, rescale: Parameter, **own: Parameter) -> dict[str, Parameter]:
    """Return the parameters of task arithmetic and of what is built on it."""
    return own | {
        "weight": _WEIGHT,
        "normalize": Parameter("normalize", bool, normalize),
        "lambda": Parameter("scale", Number, 1.0),
        "rescale": rescale,
        "int8_mask": _NO_EFFECT,
    }


PEERS = {
    "linear": Peer(
        "average", "input", {"weight": _WEIGHT, "normalize": Parameter(None, bool, True)}
    ),
    "task_arithmetic": Peer("task_arithmetic", "required", _family(False, _NO_RESCALE)),
    "ties": Peer(
        "ties",
        "required",
        _family(True, _NO_RESCALE, density=_DENSITY),
        {"scope": "tensor", "keep": "exact", **_ELECTED},
    ),
    "dare_linear": Peer("dare", "required", _family(False, _L1, density=_DROPPED)),
    "dare_ties": Peer("dare_ties", "required", _family(False, _L1, density=_DROPPED), _ELECTED),
    "breadcrumbs": Peer(
        "breadcrumbs", "required", _family(False, _NO_RESCALE, density=_DENSITY, gamma=_GAMMA)
    ),
    "breadcrumbs_ties": Peer(
        "breadcrumbs_ties",
        "required",
        _family(False, _NO_RESCALE, density=_DENSITY, gamma=_GAMMA),
        _ELECTED,
    ),
    "della": Peer(
        "della", "required", _family(True, _L1, density=_DENSITY, epsilon=_EPSILON), _ELECTED
    ),
    "della_linear": Peer(
        "della_linear", "required", _family(False, _L1, density=_DENSITY, epsilon=_EPSILON)
    ),
    "model_stock": Peer(
        "model_stock", "required", {"filter_wise": Parameter(None, bool, False, only=False)}
    ),
    "sce": Peer(
        "sce",
        "required",
        {"select_topk": Parameter("density", Fraction, 1.0), "int8_mask": _NO_EFFECT},
    ),
    "slerp": Peer("slerp", "required", {"t": Parameter("t", Share)}),
    "nuslerp": Peer(
        "nuslerp",
        "optional",
        {
            "weight": _WEIGHT,
            "nuslerp_flatten": Parameter(None, bool, True, only=True),
            "nuslerp_row_wise": Parameter(None, bool, False, only=False),
        },
    ),
    "karcher": Peer(
        "karcher",
        "input",
        {
            "max_iter": Parameter("max_iterations", Annotated[int, Field(ge=1)], 10),
            "tol": Parameter("tolerance", Annotated[float, Field(gt=0)], 1e-5),
        },
        {"space": "weights", "weight": 1.0},
    ),
}
"""mergekit's methods that have a like here, by mergekit's name."""


def della_problems(key: str, density: float, epsilon: float) -> Iterator[str]:
    """Yield what mergekit refuses of MagPrune's two numbers; at density 1 nothing is dropped."""
    inside = density - epsilon > 0 and density + epsilon < 1
    if not inside and (density, epsilon) != (1, 0):
        yield (
            f"{key}: density = {density:g} and epsilon = {epsilon:g}: mergekit takes "
            "density - epsilon above 0 and density + epsilon below 1"
        )


def one_or_by_expert(values: Mapping[str, Any]) -> Any:
    """Return the value that all experts share, else the mapping."""
    first, *others = values.values()
    return dict(values) if any(value != first for value in others) else first
