"""Gains from a fitted surface of losses, so that a sample of subsets tells those of all."""

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.surface import Spectrum, leave_one_out, products, shares_of

LEAST_CARRIED = 0.95
"""A gain is told when the subsets vary along this share of its direction, squared lengths."""


def surface_gains(members: Array, losses: Array) -> Array:
    """Return the gains of a quadratic surface fitted to the losses of any set of merges.

    ``L(S) = c0 + (1/k) sum_i a_i + (1/k^2) sum_ij q_ij``, i and j in S: what a loss quadratic in
    the mean of the task vectors gives (the form of a mixture experiment: Scheffe 1958, J. R. Stat.
    Soc. B 20:344). Ridge regression on a and q; the penalty of each domain has the least
    leave-one-out error. The gain is the balanced one, the mean over k = 1..M-1 and over all S
    of the fitted L(S) - L(S + donor), in closed form.

    Parameters
    ----------
    members : bool array, shape (subsets, experts)
        Without the base.
    losses : array, shape (subsets, domains)

    Returns
    -------
    Array, shape (experts, domains): NaN for a donor that the subsets tell too little of, and
    for all where they have one k.
    """
    n_experts = members.shape[1]
    nothing = np.full((n_experts, losses.shape[1]), np.nan)
    if len(np.unique(members.sum(axis=1))) < 2:
        return nothing
    features = products(shares_of(members))
    spectrum = Spectrum.of(features - features.mean(axis=0))
    directions = np.array([mean_step(n_experts, donor) for donor in range(n_experts)])
    carried = ((directions @ spectrum.right.T) ** 2).sum(axis=1) / (directions**2).sum(axis=1)
    gains = directions @ leave_one_out(spectrum, losses)
    return np.where((carried >= LEAST_CARRIED)[:, None], gains, nothing)


def mean_step(n_experts: int, donor: int) -> Array:
    """Return the mean of features(S) - features(S + donor): over S of each k, then over k.

    An S of k without the donor holds a given other expert with the chance k / (M - 1) and a given
    pair of others with k (k - 1) / ((M - 1) (M - 2)).
    """
    steps = [
        _mean_features(n_experts, donor, k, joined=False)
        - _mean_features(n_experts, donor, k, joined=True)
        for k in range(1, n_experts)
    ]
    mean: Array = np.mean(steps, axis=0)
    return mean


def _mean_features(n_experts: int, donor: int, k: int, joined: bool) -> Array:
    """Return the mean features of the S of k experts without the donor, with it `joined` or not."""
    one = np.full(n_experts, k / (n_experts - 1))
    one[donor] = joined
    pair_chance = k * (k - 1) / max((n_experts - 1) * (n_experts - 2), 1)
    two = np.full((n_experts, n_experts), pair_chance)
    two[donor] = two[:, donor] = joined * one
    np.fill_diagonal(two, one)
    merged = k + joined
    return np.concatenate([one / merged, two.ravel() / merged**2])
