"""The second-order surface of losses over subsets: its features, and ridge regression on them."""

from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array

PENALTIES = 10.0 ** np.arange(-12, 1)
"""Ridge penalties tried, in units of the largest squared singular value of the features."""

RANK_TOLERANCE = 1e-9


class Spectrum(NamedTuple):
    """Singular value decomposition of centred features, without what does not vary.

    Attributes
    ----------
    left : array, shape (subsets, rank)
    scale : array, shape (rank,)
    right : array, shape (rank, features)
    """

    left: Array
    scale: Array
    right: Array

    @classmethod
    def of(cls, centred: Array) -> "Spectrum":
        """Decompose features whose mean is taken off, shape (subsets, features)."""
        left, scale, right = np.linalg.svd(centred, full_matrices=False)
        kept = scale > RANK_TOLERANCE * scale[0]
        return cls(left[:, kept], scale[kept], right[kept])


def shares_of(members: Array) -> Array:
    """Return the share 1/k of each member in a merge, shape (subsets, experts)."""
    shares: Array = members / members.sum(axis=1, keepdims=True)
    return shares


def products(shares: Array) -> Array:
    """Return the shares of the experts in each merge and all their products.

    These are the features of ``L(S) = c0 + (1/k) sum_i a_i + (1/k^2) sum_ij q_ij``, i and j in S.
    """
    pairs = shares[:, :, None] * shares[:, None, :]
    return np.hstack([shares, pairs.reshape(len(shares), -1)])


def leave_one_out(spectrum: Spectrum, losses: Array) -> Array:
    """Return the ridge coefficients of each domain, shape (features, domains).

    The penalty of each domain has the least leave-one-out error. Residuals with a subset left out
    are e / (1 - h) without refitting, h the leverage (Hastie, Tibshirani & Friedman 2009, section
    7.10.1); c0 is not penalised.
    """
    centred = losses - losses.mean(axis=0)
    projected = spectrum.left.T @ centred
    penalties = PENALTIES * spectrum.scale[0] ** 2
    errors = []
    for penalty in penalties:
        kept = spectrum.scale**2 / (spectrum.scale**2 + penalty)
        leverage = 1 / len(losses) + spectrum.left**2 @ kept
        residual = centred - spectrum.left @ (kept[:, None] * projected)
        errors.append(np.mean((residual / (1 - leverage)[:, None]) ** 2, axis=0))
    best = penalties[np.argmin(errors, axis=0)]
    scale = spectrum.scale[:, None]
    coefficients: Array = spectrum.right.T @ (scale * projected / (scale**2 + best))
    return coefficients
