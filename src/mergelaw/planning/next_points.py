"""Which k, and how many subsets, to measure next: the most knowledge of a quantity for the cost.

The mean losses are Gaussian beside the law: floor and tail free, the offset within about
`OFFSET_SD` of its estimate, the law's departure of `mergelaw.planning.misfit`, and the sampling
error ``sd(k)^2 (1/n - 1/C(M, k))`` of n subsets. A quantity is a weighed sum of losses, so that its
variance given any measurements is known before they are made: ``v - c' K^-1 c`` (universal kriging,
Rasmussen & Williams 2006, section 2.7). What lowers that most is a c-optimal design (Atkinson,
Donev & Tobias 2007, Optimum Experimental Designs, section 10.4), one batch at a time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from math import comb
from typing import NamedTuple

import numpy as np

from mergelaw.laws import forms
from mergelaw.laws.forms import Array
from mergelaw.planning.curve_errors import OFFSET_SD
from mergelaw.planning.estimators import Through
from mergelaw.planning.misfit import correlation

ROUNDING = 1e-6
"""A standard error that is a smaller share of its terms is what is left of their rounding."""


class State(NamedTuple):
    """What is known of one curve.

    Attributes
    ----------
    curve
        The law so far.
    sigma
        Size of its departure, nats per token.
    n_subsets
        By k: subsets measured.
    errors
        By measured k: standard errors from subsets that were not, nats per token.
    sds
        By k: standard deviation of the losses over subsets, at a measured k the one that its error
        and count come from, so that one more subset lowers that error; None where nothing tells it.
    """

    pool: int
    curve: Through
    sigma: float
    n_subsets: Mapping[int, int]
    errors: Mapping[int, float]
    sds: Mapping[int, float | None]


class Target(NamedTuple):
    """A quantity: ``sum weights * L(at)``; `at` may be infinite, which is the floor."""

    name: str
    at: Array
    weights: Array
    unit: str = "nats per token"


class Candidate(NamedTuple):
    """A batch that could be measured next.

    Attributes
    ----------
    n_new
        Subsets of k to measure.
    cost
        Of all of them.
    before, after
        Standard errors of the quantity.
    """

    k: int
    n_new: int
    cost: float
    before: float
    after: float

    @property
    def shrinks(self) -> float:
        """Share of the standard error that goes away."""
        return 1 - self.after / self.before if self.before > 0 else 0.0

    @property
    def worth(self) -> float:
        """Variance that goes away for the cost."""
        return (self.before**2 - self.after**2) / self.cost


def target_of(text: str, curve: Through, pool: int) -> Target | None:
    """Return the quantity of `pool-loss`, `floor`, `k85`, `k90` or `loss:K`; None: it is none."""
    name, _, number = text.partition(":")
    if text == "floor":
        return Target(text, np.array([np.inf]), np.ones(1))
    if text == "pool-loss":
        return Target(text, np.array([float(pool)]), np.ones(1))
    if name == "loss" and number.isdigit() and 1 <= int(number) <= pool:
        return Target(text, np.array([float(number)]), np.ones(1))
    if text in ("k85", "k90") and pool > 2:
        return _return_target(text, int(text[1:]) / 100, curve, pool)
    return None


def _return_target(text: str, share: float, curve: Through, pool: int) -> Target:
    """Return k of a return, to first order in the losses at 1, there and the pool.

    From ``F = L(1) - L(k) - share (L(1) - L(M)) = 0``: ``dk = dF / L'(k)``, k being continuous.
    """
    b = curve.offset
    k = (pool + b + share * b * (pool - 1)) / (pool + b - share * (pool - 1))
    slope = -curve.tail / (k + b) ** 2
    weights = np.array([1 - share, -1, share]) / slope
    return Target(text, np.array([1.0, k, float(pool)]), weights, "experts")


def stderr(state: State, target: Target, errors: Mapping[int, float]) -> float:
    """Return the standard error of a quantity once these k are measured with these errors."""
    ks = np.array(sorted(errors), float)
    every = np.append(ks, target.at)
    slopes = _slopes(state.curve, every)
    cov = OFFSET_SD**2 * np.outer(slopes[:, 2], slopes[:, 2])
    cov += state.sigma**2 * correlation(every, every)
    cov[: len(ks), : len(ks)] += np.diag([errors[int(k)] ** 2 for k in ks])
    weights = _best_weights(cov, slopes[:, :2], target.weights)
    error = math.sqrt(max(float(weights @ cov @ weights), 0.0))
    alone = math.sqrt(float(np.abs(weights) @ np.abs(cov) @ np.abs(weights)))
    return error if error > ROUNDING * alone else 0.0


def _best_weights(cov: Array, flat: Array, wanted: Array) -> Array:
    """Return the weights of the least variance: the points', then minus those of the quantity.

    Floor and tail are free: the weights of the points reproduce both, which leaves those of the
    null space of `flat` to choose (no wide prior, whose rounding would be told as an error).
    """
    n = len(cov) - len(wanted)
    start = np.linalg.lstsq(flat[:n].T, flat[n:].T @ wanted)[0]
    free = np.linalg.svd(flat[:n])[0][:, 2:]
    weights = np.append(start, -wanted)
    moves = np.vstack([free, np.zeros((len(wanted), free.shape[1]))])
    moved = np.linalg.lstsq(moves.T @ cov @ moves, -moves.T @ cov @ weights)[0]
    best: Array = weights + moves @ moved
    return best


def _slopes(curve: Through, k: Array) -> Array:
    """Return the derivatives by floor, tail and offset, an offset of 0 too: shape (k, 3)."""
    return curve._replace(case="free_offset").slopes(k)


def candidates(
    state: State, target: Target, batch: Callable[[int, int], int], cost: float
) -> list[Candidate]:
    """Return the batches that could be measured next, the most worth first.

    Parameters
    ----------
    batch : function of k and the subsets left
        How many subsets of k to measure at once.
    cost : float
        Of merging and scoring one subset, in any unit; positive.
    """
    before = stderr(state, target, state.errors)
    found = []
    for k in range(1, state.pool + 1):
        done = state.n_subsets.get(k, 0)
        left = comb(state.pool, k) - done
        n_new = min(batch(k, left), left)
        error = sampling_error(state.sds.get(k), done + n_new, comb(state.pool, k))
        if left and error is not None:
            error = min(error, state.errors.get(k, error))  # no mean is known less well by more
            after = stderr(state, target, {**state.errors, k: error})
            found.append(Candidate(k, n_new, n_new * cost, before, after))
    return sorted(found, key=lambda item: -item.worth)


def sampling_error(sd: float | None, n: int, n_pool: int) -> float | None:
    """Return ``sd sqrt(1/n - 1/C)`` (Cochran, Sampling Techniques, section 2.6); None: not known.

    0 where all subsets are in, whatever their spread.
    """
    if n >= n_pool:
        return 0.0
    return None if sd is None else float(sd * np.sqrt(1 / n - 1 / n_pool))


def spreads(known: Mapping[int, float], pool: int) -> dict[int, float | None]:
    """Return the spread over subsets at every k from that at some.

    Between them by the finite pool's variance, ``v0 (1/k - 1/M)``
    (`mergelaw.laws.forms.finite_pool_variance`), v0 being the mean over the k that are known.
    """
    shape = {k: float(forms.finite_pool_variance(k, 1.0, pool)) for k in range(1, pool + 1)}
    each = [sd**2 / shape[k] for k, sd in known.items() if k < pool]
    if not each:
        return dict.fromkeys(range(1, pool + 1))
    v0 = float(np.mean(each))
    return {k: known.get(k, float(np.sqrt(v0 * part))) for k, part in shape.items()}


def total_stderr(stderrs: Sequence[float]) -> float:
    """Return the root mean square of standard errors."""
    return float(np.sqrt(np.mean(np.square(stderrs))))
