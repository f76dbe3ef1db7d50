"""The loss of every subset from derivatives at one merge; their ranking, and their spread by k."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Predicted
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.surface import shares_of
from mergelaw.laws.uncertainty import generator
from mergelaw.theory.derivatives import Derivatives
from mergelaw.theory.fold_draws import FoldDraws, totals_with_macro, with_macro
from mergelaw.theory.quadratic import Quadratics

MOST_SUBSETS = 5_000
"""Subsets of one k that are all looked at; of more, so many are drawn at random."""


class SubsetPredictor:
    """Losses of subsets merged at a scale, to second order around the whole pool's merge.

    Parameters
    ----------
    found : Derivatives
        At a merge of equal weights.
    third : array, shape (domains, experts), optional
        Third derivatives along d_i: the size of what is missed; without them it is not known.
    """

    def __init__(self, found: Derivatives, third: Array | None = None) -> None:
        self.found = found
        self.scale = float(found.weights.sum())
        self.third = None if third is None else totals_with_macro(found.folds, third)

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains, `macro` last."""
        return (*self.found.folds.names, MACRO)

    @property
    def n_negative(self) -> int:
        """How many directions of the weights the macro loss bends down along, clearly."""
        shares = np.full(len(self.found.folds.names), 1 / len(self.found.folds.names))
        return Quadratics.of(self.found).n_negative(shares)

    def fold_sums(self, members: Array, scale: float | None = None) -> Array:
        """Return the predicted loss of each fold, summed over its tokens, shape (folds, subsets).

        Parameters
        ----------
        members : bool array, shape (subsets, experts)
            Columns in the order of the derivatives' experts.
        scale : float, optional
            That of the merge without it.
        """
        found, scale = self.found, self.scale if scale is None else scale
        step = scale * shares_of(members) - found.weights
        n = len(found.experts)
        pairs = (step[:, :, None] * step[:, None, :]).reshape(len(step), n * n)
        curvature = found.curvature.reshape(len(found.nll), n * n)
        sums: Array = found.nll[:, None] + found.gradient @ step.T + curvature @ pairs.T / 2
        return sums

    def losses(self, members: Array, scale: float | None = None) -> Array:
        """Return the predicted losses, nats per token, shape (domains + 1, subsets)."""
        return with_macro(self.found.folds, self.fold_sums(members, scale))

    def orders(self, ks: Array) -> Array:
        """Return the standard deviation of what higher orders add, shape (domains + 1, subsets).

        ``c^3/6 r(k)^3 sqrt(mean_i T[d_i, d_i, d_i]^2)``: the third order along one d_i, as far out
        as a subset of k lies, ``r(k)^2 = (M - k)/(k (M - 1))`` of the mean |d_i|^2. 0 where third
        derivatives were not measured.
        """
        if self.third is None:
            return np.zeros((len(self.domains), len(ks)))
        n = self.third.shape[1]
        along = self.scale**3 / 6 * np.sqrt((self.third**2).mean(axis=1))
        errors: Array = along[:, None] * ((n - ks) / (ks * (n - 1))) ** 1.5
        return errors

    def predicted(
        self,
        members: Array,
        names: Sequence[str],
        draws: FoldDraws,
        measured: Array | None = None,
        text: "SubsetPredictor | None" = None,
        seed: int = 0,
    ) -> list[Predicted]:
        """Return what `mergelaw.laws.ranking.rank` takes, for each domain and macro.

        A draw has one resample of the text for all subsets, and for each subset a deviation of its
        own for higher orders. The text of a domain of one fold stays as it is: errors are then of
        this text alone.

        Parameters
        ----------
        members : bool array, shape (subsets, experts)
        names : sequence of str
            Of the subsets.
        draws : FoldDraws
            Of the folds of `text`.
        measured : array, shape (domains + 1, subsets), optional
            Measured losses, NaN where there is none: they are told, and not used.
        text : SubsetPredictor, optional
            Of a route with more folds, whose draws less their mean are added to the losses; this
            one without it.
        seed : int
            With domain and subset it names the deviations for higher orders.
        """
        ks, losses = members.sum(axis=1), self.losses(members)
        orders, folds = self.orders(ks), self if text is None else text
        sums = folds.fold_sums(members)
        moved = losses + draws.means(sums) - with_macro(draws.folds, sums)
        moved = np.where(np.isnan(moved), losses, moved)
        result = []
        for d, domain in enumerate(self.domains):
            of_text = moved[:, d].std(axis=0, ddof=1)
            drawn = moved[:, d] + orders[d] * _deviations(seed, domain, tuple(names), len(moved))
            told = np.full(len(ks), np.nan) if measured is None else measured[d]
            stderr, freedom = _joined(orders[d], of_text, float(draws.freedom[d]))
            result.append(Predicted(names, ks, losses[d], stderr, told, drawn, freedom))
        return result

    def spread(self, k: int, scale: float | None = None) -> Array:
        """Return the standard deviation of the loss over subsets of k, shape (domains + 1,).

        Divisor n - 1, as of measured subsets; NaN for one subset.
        """
        members = members_of(len(self.found.experts), k)
        if len(members) < 2:
            return np.full(len(self.domains), np.nan)
        spread: Array = self.losses(members, scale).std(axis=1, ddof=1)
        return spread

    def leading_variance(self, k: int) -> Array:
        """Return the leading term of the variance over subsets of k, shape (domains + 1,).

        ``c^2 a' Sigma a (1/k - 1/M)`` with a the gradient at the whole merge and Sigma the pool's
        covariance, divisor M - 1 (Wang et al., corollary 3.2, with the factor of a finite pool).
        Times C/(C - 1), C the number of subsets, it is the variance with divisor C - 1.
        """
        n = len(self.found.experts)
        gradient = with_macro(self.found.folds, self.found.gradient)
        part = np.sum((gradient - gradient.mean(axis=1, keepdims=True)) ** 2, axis=1) / (n - 1)
        leading: Array = self.scale**2 * part * (1 / k - 1 / n)
        return leading


@lru_cache(maxsize=16)
def _deviations(seed: int, domain: str, names: tuple[str, ...], count: int) -> Array:
    """Return normal deviations by draw and subset; each subset's hang on no other subset."""
    columns = [generator(seed, "orders", domain, name).standard_normal(count) for name in names]
    return np.stack(columns, axis=1)


def _joined(of_order: Array, of_text: Array, freedom: float) -> tuple[Array, Array]:
    """Return the error of both, and its degrees of freedom (Satterthwaite 1946).

    The size of higher orders is no estimate from draws: it has endless freedom.
    """
    square = of_order**2 + of_text**2
    known = of_text > 0
    joint = np.where(known, freedom * square**2 / np.where(known, of_text, 1.0) ** 4, np.inf)
    return np.sqrt(square), joint


def members_of(n_experts: int, k: int, seed: int = 0) -> Array:
    """Return all subsets of k, or a random sample where they are many, shape (subsets, experts)."""
    if comb(n_experts, k) <= MOST_SUBSETS:
        chosen = np.array(list(combinations(range(n_experts), k)))
    else:
        draw = generator(seed, "subsets", str(n_experts), str(k))
        chosen = np.argsort(draw.random((MOST_SUBSETS, n_experts)), axis=1)[:, :k]
    members = np.zeros((len(chosen), n_experts), bool)
    members[np.arange(len(chosen))[:, None], chosen] = True
    return members


def named_members(subsets: Sequence[str], experts: Sequence[str]) -> Array:
    """Return subsets, experts joined by '+', as rows of members."""
    parts = [set(name.split("+")) for name in subsets]
    members: Array = np.array([[name in part for name in experts] for part in parts], bool)
    return members
