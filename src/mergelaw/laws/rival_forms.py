"""Rivals of the law over k: plain functions, the argument names being the parameters.

None is the paper's. A law that predicts no better than these says little of its own about k.
"""

import numpy as np

from mergelaw.laws.forms import Array, Values


def constant(k: Values, level: Values) -> Array:
    """Return ``L(k) = level``: merging more experts changes nothing."""
    return level + 0 * np.asarray(k, float)


def power(k: Values, floor: Values, tail: Values, exponent: Values) -> Array:
    """Return ``L(k) = floor + tail k^-exponent``; the law with offset 0 has exponent 1."""
    result: Array = floor + tail * np.asarray(k, float) ** -np.asarray(exponent, float)
    return result


def exponential(k: Values, floor: Values, tail: Values, decay: Values) -> Array:
    """Return ``L(k) = floor + tail exp(-(k - 1) / decay)``.

    tail is the excess of single experts over the floor (nats per token), decay the number of
    experts over which the excess falls by the factor e.
    """
    result: Array = floor + tail * np.exp(-(np.asarray(k, float) - 1) / decay)
    return result


def logarithm(k: Values, level: Values, slope: Values) -> Array:
    """Return ``L(k) = level - slope log k``, natural logarithm: no floor at all."""
    result: Array = level - slope * np.log(np.asarray(k, float))
    return result
