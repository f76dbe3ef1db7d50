"""Losses that are polynomials of a few parameters, with exact derivatives along task vectors."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mergelaw.theory.derivatives import Derivatives, Folds


@dataclass
class Polynomial:
    """Loss per token of each fold: ``a + b'x + x'Qx/2 + C[x, x, x]/6``, x = sum_i w_i v_i."""

    vectors: np.ndarray  # (experts, parameters)
    folds: Folds
    constant: np.ndarray  # (folds,)
    linear: np.ndarray  # (folds, parameters)
    quadratic: np.ndarray  # (folds, parameters, parameters), symmetric
    cubic: np.ndarray  # (folds, parameters, parameters, parameters), symmetric

    @property
    def n(self):
        return len(self.vectors)

    @property
    def experts(self):
        return tuple(f"e{i}" for i in range(self.n))

    def at(self, x):
        """Return the loss of each fold, summed over its tokens, at parameters (parameters,)."""
        loss = self.constant + self.linear @ x + np.einsum("fij,i,j->f", self.quadratic, x, x) / 2
        loss = loss + np.einsum("fijk,i,j,k->f", self.cubic, x, x, x) / 6
        return loss * self.folds.n_tokens

    def merged(self, subset, scale):
        """Return the summed losses of the merge of some experts."""
        return self.at(scale * self.vectors[list(subset)].mean(axis=0))

    def mean_losses(self, subset, scale):
        """Return the losses per token by domain and of macro, written out anew."""
        sums = self.merged(subset, scale)
        names = np.array(self.folds.domains)
        tokens = self.folds.n_tokens
        each = [sums[names == n].sum() / tokens[names == n].sum() for n in self.folds.names]
        return np.array([*each, np.mean(each)])

    def enumerated(self, k, scale):
        """Return the losses of all subsets of k, shape (subsets, domains + 1)."""
        subsets = combinations(range(self.n), k)
        return np.array([self.mean_losses(subset, scale) for subset in subsets])

    def derivatives(self, scale=1.0):
        """Return exact loss, gradient and curvature in the weights at the whole pool's merge."""
        v, tokens = self.vectors, self.folds.n_tokens
        x = scale * v.mean(axis=0)
        slope = self.linear + self.quadratic @ x + np.einsum("fijk,j,k->fi", self.cubic, x, x) / 2
        hessian = self.quadratic + np.einsum("fijk,k->fij", self.cubic, x)
        curvature = np.einsum("ai,fij,bj->fab", v, hessian, v)
        return Derivatives(
            self.experts,
            ("model",),
            np.full(self.n, scale / self.n),
            self.folds,
            self.at(x),
            slope @ v.T * tokens[:, None],
            curvature * tokens[:, None, None],
        )

    def third(self):
        """Return third derivatives along d_i, sums of each domain, shape (domains, experts)."""
        d = self.vectors - self.vectors.mean(axis=0)
        along = np.einsum("fijk,ai,aj,ak->fa", self.cubic, d, d, d)
        return self.folds.membership @ (along * self.folds.n_tokens[:, None])


def third_moment(k, n):
    """Return the third moment of the mean of k of n drawn without replacement, 1 at k = 1.

    ``kappa(k) = (n - k)(n - 2k) / (k^2 (n - 1)(n - 2))``.
    """
    k = np.asarray(k, float)
    return (n - k) * (n - 2 * k) / (k**2 * (n - 1) * (n - 2))


def third_order(curve, k):
    """Return what the third order adds at some k, exact for a cubic: (domains + 1, points)."""
    share = curve.scale**3 / 6 * third_moment(k, curve.n_experts)
    return curve.third.mean(axis=1)[:, None] * share


def polynomial(seed=0, n=5, parameters=4, folds=(3, 4), cubic=0.0):
    """Return a random loss, convex but for its cubic part."""
    draw = np.random.default_rng([seed, n, parameters])
    names = tuple(f"d{d}" for d, count in enumerate(folds) for _ in range(count))
    n_folds, p = len(names), parameters
    tokens = draw.integers(20, 60, n_folds)
    roots = draw.standard_normal((n_folds, p, p))
    tensor = cubic * draw.standard_normal((n_folds, p, p, p))
    orders = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 3, 2), (0, 2, 3, 1), (0, 3, 2, 1)]
    return Polynomial(
        draw.standard_normal((n, p)) + 0.5,
        Folds(names, np.ones(n_folds, int), tokens),
        8 + draw.standard_normal(n_folds),
        draw.standard_normal((n_folds, p)),
        roots @ roots.transpose(0, 2, 1) / p + 0.1 * np.eye(p),
        np.mean([tensor.transpose(order) for order in orders], axis=0),
    )
