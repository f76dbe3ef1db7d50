"""Further laws that the one `fit` takes: rivals over k, parts of the joint law, other variables."""

from dataclasses import replace

import numpy as np

from mergelaw.laws import forms, rival_forms
from mergelaw.laws.law import FLAT, FLOOR_TAIL, JOINT, STEEP, Law, ParameterSpec

FLOOR, TAIL, OFFSET = FLOOR_TAIL.parameters


NO_TREND = "the interference does not change with k: it is part of the floor"


def _geometric(smallest: float, largest: float, count: int = 64) -> tuple[float, ...]:
    return tuple(np.geomspace(smallest, largest, count).tolist())


def _searched(
    name: str, ends: tuple[float, float], needs: str, at_minimum: str, at_maximum: str
) -> ParameterSpec:
    return ParameterSpec(name, *ends, _geometric(*ends), needs, at_minimum, at_maximum)


ZERO_OFFSET = replace(
    FLOOR_TAIL.holding("offset", 0.0),
    name="zero_offset",
    formula="L(k) = floor + tail / k",
    variables={"k": (2, 3)},
)

CONSTANT = Law(
    "constant", "L(k) = level", rival_forms.constant, (ParameterSpec("level"),), {"k": (1, 2)}
)

POWER = Law(
    "power",
    "L(k) = floor + tail k^-exponent",
    rival_forms.power,
    (
        FLOOR,
        TAIL,
        _searched(
            "exponent",
            (0.01, 10),
            "tail",
            at_minimum="the loss falls like log k: no power law is identified",
            at_maximum="the loss falls at once: no power law is identified",
        ),
    ),
    {"k": (3, 4)},
    "floor",
)

EXPONENTIAL = Law(
    "exponential",
    "L(k) = floor + tail exp(-(k - 1) / decay)",
    rival_forms.exponential,
    (
        FLOOR,
        TAIL,
        _searched(
            "decay",
            (0.1, 100),
            "tail",
            at_minimum="the loss falls at once: no decay is identified",
            at_maximum=STEEP,
        ),
    ),
    {"k": (3, 4)},
    "floor",
)

LOGARITHM = Law(
    "logarithm",
    "L(k) = level - slope log k",
    rival_forms.logarithm,
    (ParameterSpec("level"), ParameterSpec("slope", at_minimum=FLAT)),
    {"k": (2, 3)},
)

INTERFERENCE = Law(
    "interference",
    "L(k) = floor + tail / (k + offset) + interference k / (k + interference_offset)",
    forms.interference,
    (
        FLOOR,
        TAIL,
        replace(OFFSET, grid=OFFSET.grid[::4]),
        ParameterSpec("interference", at_minimum="no interference", minimum_is_a_value=True),
        replace(
            _searched("interference_offset", (0.1, 100), "interference", NO_TREND, STEEP),
            grid=_geometric(0.1, 100, 16),
        ),
    ),
    {"k": (5, 6)},
    "floor",
)

FLAT_TAIL = replace(
    JOINT.holding("tail_exponent", 0.0),
    name="flat_tail",
    formula="L(N, k) = floor_limit + size_scale N^-size_exponent + tail_scale / (k + offset),"
    " N in billions",
)

JOINT_ZERO_OFFSET = replace(
    JOINT.holding("offset", 0.0),
    name="joint_zero_offset",
    formula="L(N, k) = floor_limit + size_scale N^-size_exponent"
    " + tail_scale N^-tail_exponent / k, N in billions",
    variables={"n_params_billions": (3, 5), "k": (2, 3)},
)

_LIMIT, _SCALE, _EXPONENT, _TAIL_SCALE, _TAIL_EXPONENT, _OFFSET = JOINT.parameters

POST_TRAINING = Law(
    "post_training",
    "L(N, D) = floor_limit + size_scale N^-size_exponent + data_scale D^-data_exponent,"
    " N and D in billions",
    forms.post_training,
    (
        _LIMIT,
        _SCALE,
        _EXPONENT,
        ParameterSpec("data_scale", at_minimum="the loss does not fall with the training tokens"),
        replace(
            _EXPONENT,
            name="data_exponent",
            needs="data_scale",
            at_minimum="the loss falls like log D: no power law is identified",
            at_maximum="the loss falls too fast with the tokens for a power law",
        ),
    ),
    {"n_params_billions": (3, 5), "n_tokens_billions": (3, 5)},
    "floor_limit",
)

CAPACITY = Law(
    "capacity",
    "L(C, k) = floor_limit + size_scale C^-size_exponent + tail_scale C^-tail_exponent"
    " / (k + offset)",
    forms.capacity,
    (
        replace(_LIMIT, at_minimum="the floor at infinite capacity is not identified"),
        replace(_SCALE, at_minimum="the floor does not fall with the capacity"),
        replace(
            _EXPONENT,
            at_minimum="the floor falls like log C: no power law is identified",
            at_maximum="the floor falls too fast with the capacity for a power law",
        ),
        _TAIL_SCALE,
        replace(
            _TAIL_EXPONENT,
            minimum=-2,
            grid=tuple(np.linspace(-2, 2, 17).tolist()),
            at_minimum="the tail grows too fast with the capacity for a power law",
            at_maximum="the tail falls too fast with the capacity for a power law",
            minimum_is_a_value=False,
        ),
        _OFFSET,
    ),
    {"capacity": (3, 5), "k": (3, 4)},
    "floor_limit",
)

SIZE_FLOOR = Law(
    "size_floor",
    "floor(N) = floor_limit + size_scale N^-size_exponent, N in billions",
    forms.size_floor,
    (_LIMIT, _SCALE, _EXPONENT),
    {"n_params_billions": (3, 5)},
    "floor_limit",
)

DISPERSION = Law(
    "order_dispersion",
    "SD(k) = level + slope / (k + offset)",
    forms.order_dispersion,
    (
        ParameterSpec("level", minimum=-np.inf),  # a spread of 0 at k = M bends it below 0
        ParameterSpec("slope", at_minimum="the dispersion does not fall with k"),
        ParameterSpec(
            "offset",
            0,
            2,  # the paper's range; its seven printed fits all end at 2
            tuple(np.linspace(0, 2, 41).tolist()),
            "slope",
            at_maximum="the paper's range ends here",
            minimum_is_a_value=True,
        ),
    ),
    {"k": (3, 4)},
)

RIVALS_OVER_K = (FLOOR_TAIL, ZERO_OFFSET, INTERFERENCE, POWER, EXPONENTIAL, LOGARITHM, CONSTANT)
RIVALS_OVER_SIZE = (JOINT, FLAT_TAIL, JOINT_ZERO_OFFSET)

MORE_LAWS = {
    law.name: law
    for law in (*RIVALS_OVER_K, *RIVALS_OVER_SIZE, POST_TRAINING, CAPACITY, SIZE_FLOOR, DISPERSION)
}
