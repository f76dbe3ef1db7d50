"""The laws as plain functions: argument names are the parameters, the first ones the variables.

Losses are in nats per token, `n_params_billions` is N in billions, k counts merged experts.
"The paper" is Wang et al., "Model Merging Scaling Laws in Large Language Models", arXiv 2509.24244.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = float | Array
"""A number, or numbers of a shape that broadcasts with the other arguments."""

LEVEL = 0.95
"""Share of intervals that should hold the truth."""

TOLERANCE = 1e-9
"""Slack of thresholds on k: `offset = 0`, M = 9 gives R(5) = 0.9 exactly, and must count as 0.9."""


def floor_tail(k: Values, floor: Values, tail: Values, offset: Values) -> Array:
    """Return the mean loss of k merged experts at one size.

    ``L(k) = floor + tail / (k + offset)`` (the paper, eq. 1 at fixed N); floor and tail in nats
    per token, offset in experts. The floor is an extrapolation to k = infinity: a pool of M
    experts reaches only L(M).
    """
    return floor + tail / (np.asarray(k, float) + offset)


def joint(
    n_params_billions: Values,
    k: Values,
    floor_limit: Values,
    size_scale: Values,
    size_exponent: Values,
    tail_scale: Values,
    tail_exponent: Values,
    offset: Values,
) -> Array:
    """Return the mean loss of k merged experts at N parameters.

    ``E[L|N,k] = L* + B N^-beta + A0 N^-gamma / (k + b)`` (the paper, eq. 1, 3 and 4), with
    floor_limit = L*, size_scale = B, tail_scale = A0 in nats per token, size_exponent = beta,
    tail_exponent = gamma, offset = b. At one size it is `floor_tail` with the floor
    ``L* + B N^-beta`` and the tail ``A0 N^-gamma``.
    """
    floor = size_floor(n_params_billions, floor_limit, size_scale, size_exponent)
    return floor_tail(k, floor, size_tail(n_params_billions, tail_scale, tail_exponent), offset)


def size_floor(
    n_params_billions: Values, floor_limit: Values, size_scale: Values, size_exponent: Values
) -> Array:
    """Return the joint law's floor at N parameters, ``L* + B N^-beta``."""
    n = np.asarray(n_params_billions, float)
    floor: Array = floor_limit + size_scale * n ** -np.asarray(size_exponent, float)
    return floor


def size_tail(n_params_billions: Values, tail_scale: Values, tail_exponent: Values) -> Array:
    """Return the joint law's tail at N parameters, ``A0 N^-gamma``."""
    n = np.asarray(n_params_billions, float)
    tail: Array = tail_scale * n ** -np.asarray(tail_exponent, float)
    return tail


def interference(
    k: Values,
    floor: Values,
    tail: Values,
    offset: Values,
    interference: Values,
    interference_offset: Values,
) -> Array:
    """Return the mean loss of k experts where strong merging also harms.

    ``L(k) = floor + tail / (k + offset) + D k / (k + q)`` with D = interference (nats per token)
    and q = interference_offset (experts): the paper's form for TIES at scale 1 (appendix J.3; no
    values of D and q are printed). The harm grows with k towards D.
    """
    k = np.asarray(k, float)
    harm = interference * k / (k + interference_offset)
    return floor_tail(k, floor, tail, offset) + harm


def capacity(
    capacity: Values,
    k: Values,
    floor_limit: Values,
    size_scale: Values,
    size_exponent: Values,
    tail_scale: Values,
    tail_exponent: Values,
    offset: Values,
) -> Array:
    """Return the mean loss of k merged experts of a capacity C, at one model size.

    ``L(C, k) = L* + B C^-beta + A0 C^-gamma / (k + b)``, C being tokens trained on, LoRA rank or
    the like, in any unit: the joint law with C in the place of N (not in the paper). gamma may be
    negative: experts trained for longer lie further apart.
    """
    return joint(
        capacity, k, floor_limit, size_scale, size_exponent, tail_scale, tail_exponent, offset
    )


def post_training(
    n_params_billions: Values,
    n_tokens_billions: Values,
    floor_limit: Values,
    size_scale: Values,
    size_exponent: Values,
    data_scale: Values,
    data_exponent: Values,
) -> Array:
    """Return the loss of a single expert of N parameters trained on D tokens.

    ``L(N, D) = E + A N^-alpha + B D^-beta`` (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2, there
    of pre-training), with N in billions of parameters and D in billions of tokens.
    """
    by_data = size_tail(n_tokens_billions, data_scale, data_exponent)
    return size_floor(n_params_billions, floor_limit, size_scale, size_exponent) + by_data


def finite_pool_variance(k: Values, v0: Values, pool: int, v_seed: Values = 0.0) -> Array:
    """Return the variance over subsets of size k, drawn without replacement from the pool.

    ``Var[L|k] = v0 (1/k - 1/pool) + v_seed``, in (nats per token) squared: exact to leading order
    for a quadratic loss with v0 = c^2 a' Sigma a (covariance with divisor M - 1). v_seed is the
    variance over mask seeds (DARE, each subset with masks of its own); without it the variance is
    0 at k = pool, where one subset exists. The paper's ``1/(k + b)`` (Corollary 3.2) lacks the
    factor.
    """
    return v0 * (1 / np.asarray(k, float) - 1 / pool) + v_seed


def inverse_k_variance(k: Values, v0: Values) -> Array:
    """Return ``Var[L|k] = v0 / k``, of subsets of an endless pool (the paper, Corollary 3.2).

    The paper's variance over sizes, ``V* + B_v N^-beta_v + A_v N^-gamma_v / (k + b_v)`` (appendices
    H.2 and I.1), is `joint` with variances in the place of losses.
    """
    variance: Array = v0 / np.asarray(k, float)
    return variance


def order_dispersion(k: Values, level: Values, slope: Values, offset: Values) -> Array:
    """Return the standard deviation over orders, ``c0 + c1 / (k + b)`` (the paper, 4.3 and M.2).

    level = c0 and slope = c1 in nats per token, offset = b in experts (0 to 2 in the paper). Its
    orders of k experts are mostly different subsets, so this is dispersion over subsets too.
    """
    return floor_tail(k, level, slope, offset)


def fractional_return(k: Values, offset: Values, pool: int) -> Array:
    """Return the share of the improvement from k = 1 to the pool that k experts realise.

    ``R(k) = (L(1) - L(k)) / (L(1) - L(M)) = (k - 1)(M + b) / ((k + b)(M - 1))``: the law's own
    value of the measured return, whatever its floor and tail. Needs a pool of at least 2.
    """
    k = np.asarray(k, float)
    return (k - 1) * (pool + offset) / ((k + offset) * (pool - 1))


def k_for_return(share: float, offset: float, pool: int) -> int:
    """Return the smallest k with ``R(k) >= share`` under the law (see `fractional_return`)."""
    shares = fractional_return(np.arange(1, pool + 1), offset, pool)
    return int(np.argmax(shares >= share - TOLERANCE)) + 1


def k_near_floor(gap: float, tail: float, offset: float) -> int:
    """Return the smallest k whose loss is within `gap` (nats per token) of the floor.

    ``k = max(1, ceil(tail / gap - offset))`` (the paper, appendix J.1). It may exceed the pool:
    the paper's Biology needs 18 of its 9 experts.
    """
    return max(1, math.ceil(tail / gap - offset - TOLERANCE))
