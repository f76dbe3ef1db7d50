"""The loss at one merge and its derivatives, as sums over the tokens of folds of items."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mergelaw.laws.forms import Array


@dataclass(frozen=True)
class Folds:
    """Items of the text, dealt into folds: the unit of resampling.

    Attributes
    ----------
    domains : tuple of str, length folds
        Domain of each fold.
    n_items, n_tokens : int arrays, shape (folds,)
        Items, and scored tokens.
    """

    domains: tuple[str, ...]
    n_items: Array
    n_tokens: Array

    @property
    def names(self) -> tuple[str, ...]:
        """The domains, each once, in the text's order."""
        return tuple(dict.fromkeys(self.domains))

    @cached_property
    def membership(self) -> Array:
        """Whether a fold is of a domain, shape (domains, folds), 0 or 1."""
        names = np.asarray(self.names)[:, None]
        found: Array = (names == np.asarray(self.domains)[None]).astype(float)
        return found

    def per_token(self, sums: Array, counts: Array | None = None) -> Array:
        """Return the mean per token of each domain: sums are divided once.

        Parameters
        ----------
        sums : array, shape (folds, ...)
        counts : array, shape (folds,), optional
            How often each fold is counted, for resampling; once without it.

        Returns
        -------
        array, shape (domains, ...)
        """
        chosen = self.membership if counts is None else self.membership * counts
        tokens = chosen @ self.n_tokens
        means: Array = np.tensordot(chosen, sums, 1) / tokens.reshape(-1, *[1] * (sums.ndim - 1))
        return means

    def moved(self, sums: Array, totals: Array) -> Array:
        """Return sums of folds, moved by so much per token that a domain's are its total.

        Parameters
        ----------
        sums : array, shape (folds, ...)
            Nearly right.
        totals : array, shape (domains, ...)
            Exact.

        Returns
        -------
        array, shape (folds, ...)
        """
        mine = self.membership
        shares = mine * self.n_tokens / (mine @ self.n_tokens)[:, None]
        found: Array = sums + np.tensordot(shares.T, totals - np.tensordot(mine, sums, 1), 1)
        return found


@dataclass(frozen=True)
class Derivatives:
    """Loss, gradient and curvature in the weights of a merge, ``base + sum_i w_i psi(v_i)``.

    All are sums over scored tokens, in nats; of a fold of items each.

    Attributes
    ----------
    experts : tuple of str
        Sorted.
    groups : tuple of str
        Groups of layers that have weights of their own; `("model",)` for one weight per expert.
    weights : array, shape (groups * experts,)
        Where the derivatives are taken; group by group.
    folds : Folds
    nll : array, shape (folds,)
    gradient : array, shape (folds, groups * experts)
    curvature : array, shape (folds, groups * experts, groups * experts)
    """

    experts: tuple[str, ...]
    groups: tuple[str, ...]
    weights: Array
    folds: Folds
    nll: Array
    gradient: Array
    curvature: Array

    def curve(self) -> "CurveDerivatives":
        """Return what the curve in k and the scale needs, at a merge of equal weights."""
        n, scale = len(self.experts), float(self.weights.sum())
        mean = np.full(n, 1 / n)
        apart = np.eye(n) - 1 / n
        return CurveDerivatives(
            self.experts,
            scale,
            self.folds,
            self.nll,
            slope=self.gradient @ mean,
            radial=np.einsum("i,fij,j->f", mean, self.curvature, mean),
            spread=np.einsum("ri,fij,rj->fr", apart, self.curvature, apart),
        )


@dataclass(frozen=True)
class CurveDerivatives:
    """Derivatives at the full merge of equal weights, along it and along each task vector.

    All are sums over scored tokens, in nats. With ``d_i = psi(v_i) - mean``, unscaled:

    Attributes
    ----------
    experts : tuple of str
        Sorted.
    scale : float
        Of the merge: each weight is scale / experts.
    folds : Folds
    nll : array, shape (folds,)
    slope, radial : arrays, shape (folds,)
        First and second derivative by the scale.
    spread : array, shape (folds, experts)
        ``d_i' H d_i``.
    third : array, shape (domains, experts), optional
        Third derivative along d_i, summed over the whole domain, as only its size is used; None
        where the route does not measure it.
    """

    experts: tuple[str, ...]
    scale: float
    folds: Folds
    nll: Array
    slope: Array
    radial: Array
    spread: Array
    third: Array | None = None

    def with_third(self, third: Array) -> "CurveDerivatives":
        """Return the same with third derivatives, shape (domains, experts)."""
        return replace(self, third=third)
