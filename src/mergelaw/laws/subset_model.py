"""The loss of every subset from that of some: the second-order surface with honest errors.

Experts' own parts and their pairs are penalised apart, and the surface misses merges of few experts
by more than merges of many. With one penalty and one misfit for all, as `mergelaw.laws.surface`
has them for gains, intervals came out two to four times too wide on exhaustive studies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mergelaw.errors import FitError
from mergelaw.laws.forms import Array
from mergelaw.laws.surface import Spectrum, shares_of

PENALTIES = 10.0 ** np.arange(-12, 1.01, 0.25)
"""Penalties tried, in units of the largest squared singular value of the features."""

PAIRS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Variances tried of a pair's coefficient, in units of that of an expert's own."""

FLOORS = (0.003, 0.03, 0.3)
"""Variances tried of the misfit of the whole pool's merge, in units of a single expert's."""

FEWEST = 3
"""Merges that a surface is fitted to; of two, one degree of freedom would tell the errors."""

ROUNDING = 1e-24
"""Squared deviations below it, in units of the squared losses, are rounding."""


@dataclass(frozen=True)
class SubsetModel:
    """A fitted surface ``L(S) = c0 + (1/k) sum_i a_i + (1/k^2) sum_ij q_ij``, i and j in S.

    Ridge regression as the posterior of a Gaussian prior, flat in c0; the penalty and the weight
    of pairs have the largest restricted likelihood (Patterson & Thompson 1971, Biometrika 58:545;
    Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, sections 2.7 and 5.4.1).

    Attributes
    ----------
    members : bool array, shape (subsets, experts)
        The merges that it was fitted to.
    has_pairs : bool
        Whether the surface has a term for each pair; else experts have own parts alone.
    pairs : float
        Prior variance of a pair's coefficient over that of an expert's own.
    penalty : float
        Variance of the misfit over the prior variance of an expert's own coefficient.
    variance : float
        Of the misfit, where `misfit_weight` is 1; squared nats per token.
    freedom : int
        Degrees of freedom of all errors: merges less one.
    floor : float
        Of the misfit's weight (see `misfit_weight`).
    left : float
        Of the degrees of freedom, those that the surface does not take up.
    """

    members: Array
    has_pairs: bool
    pairs: float
    penalty: float
    variance: float
    freedom: int
    floor: float
    left: float
    _root: Array
    _centre: Array
    _spectrum: Spectrum
    _losses: Array

    def predict(self, members: Array) -> tuple[Array, Array]:
        """Return the loss of each subset and its standard error, the misfit of the merge in it."""
        error = np.hypot(self.surface_error(members), self.misfit(members))
        return self.expected(members), error

    def expected(self, members: Array) -> Array:
        """Return the loss that is expected of each subset."""
        found: Array = self.surface(members, self._losses[None])[0]
        return found

    def surface_error(self, members: Array) -> Array:
        """Return the standard error of the surface at subsets, without the misfit of a merge."""
        error: Array = np.sqrt(self.variance * self._spread(self._centred(members)))
        return error

    def misfit(self, members: Array) -> Array:
        """Return the standard deviation of what the surface misses in each merge."""
        missed: Array = np.sqrt(self.variance * misfit_weight(members, self.floor))
        return missed

    def surface(self, members: Array, losses: Array) -> Array:
        """Return surfaces fitted with the same penalties to other losses of the same merges.

        Parameters
        ----------
        losses : array, shape (fits, merges)

        Returns
        -------
        Array, shape (fits, subsets)
        """
        level, coefficients = self._level(losses.T), self._coefficients(losses.T)
        found: Array = (level + self._centred(members) @ coefficients).T
        return found

    def draws(self, members: Array, losses: Array, draw: np.random.Generator, tail: Array) -> Array:
        """Return surfaces that the losses allow, at subsets, shape (draws, subsets): no misfit.

        Parameters
        ----------
        losses : array, shape (draws, merges)
            Losses of the fitted merges in each draw: the measured ones, or those on other items.
        draw : numpy.random.Generator
        tail : array, shape (draws,)
            What all errors of a draw are stretched by.
        """
        right, scale = self._spectrum.right, self._spectrum.scale
        error = np.sqrt(self.variance) * tail
        noise = draw.standard_normal((right.shape[1], len(tail))) / np.sqrt(self.penalty)
        kept = np.sqrt(self.penalty / (scale**2 + self.penalty)) - 1
        noise += right.T @ (kept[:, None] * (right @ noise))
        level = draw.standard_normal(len(tail)) / np.linalg.norm(self._root)
        noise = level + self._centred(members) @ noise
        drawn: Array = self.surface(members, losses) + (error * noise).T
        return drawn

    def _centred(self, members: Array) -> Array:
        return _features(members, self.pairs if self.has_pairs else None) - self._centre

    def _level(self, losses: Array) -> Array:
        return np.asarray(self._root**2 @ losses / (self._root @ self._root))

    def _coefficients(self, losses: Array) -> Array:
        left, scale, right = self._spectrum
        weighed = (losses - self._level(losses)) * self._root[:, None]
        shrunk = (left.T @ weighed) * (scale / (scale**2 + self.penalty))[:, None]
        found: Array = right.T @ shrunk
        return found

    def _spread(self, centred: Array) -> Array:
        """Return the variance of the surface over that of the misfit."""
        scale, right = self._spectrum.scale, self._spectrum.right
        known = (centred @ right.T) ** 2 @ (scale**2 / (scale**2 + self.penalty))
        prior = (centred**2).sum(axis=1)
        spread: Array = 1 / (self._root @ self._root) + (prior - known) / self.penalty
        return spread


def misfit_weight(members: Array, floor: float) -> Array:
    """Return the variance of what a surface misses in each merge: 1 for a single expert's.

    ``((1/k - 1/M) / (1 - 1/M))^2``, and a floor: the whole pool is the centre that merges are
    expanded at, and terms of third order shrink with the squared distance from it, 1/k - 1/M, to
    the power 3 in variance; the surface takes up a part of them where k is small.
    """
    n_experts = members.shape[1]
    distance = (1 / members.sum(axis=1) - 1 / n_experts) / max(1 - 1 / n_experts, 1e-9)
    weight: Array = (distance**2 + floor) / (1 + floor)
    return weight


def fit_subsets(
    members: Array,
    losses: Array,
    floors: Sequence[float] = FLOORS,
    fewest_left: float = 0.0,
) -> SubsetModel:
    """Fit the surface to measured merges.

    Parameters
    ----------
    members : bool array, shape (subsets, experts)
        No row twice, none without an expert.
    losses : array, shape (subsets,)
        Nats per token.
    floors : sequence of float
        Floors of the misfit's weight; that with the largest likelihood is taken.
    fewest_left : float
        Surfaces that leave fewer degrees of freedom are not taken: their misfit is not known.

    Raises
    ------
    FitError
        If there are fewer than three merges, or no surface leaves so many degrees of freedom.
    """
    if len(members) < FEWEST:
        raise FitError(
            f"{len(members)} measured merges: a surface needs at least {FEWEST}; measure more"
        )
    found = [
        _fitted(members, losses, floor, pairs, fewest_left)
        for floor in floors
        for pairs in (PAIRS if has_pairs(members) else (None,))
    ]
    likelihood, model = max(found, key=lambda pair: pair[0])
    if not np.isfinite(likelihood):
        raise FitError(f"no surface of {len(members)} merges leaves {fewest_left:g} degrees free")
    return model


def has_pairs(members: Array) -> bool:
    """Tell whether merges carry terms of pairs: more than experts' own, and pairs in some."""
    n_merged = members.sum(axis=1)
    n_some = int(((n_merged > 1) & (n_merged < members.shape[1])).sum())
    return len(members) > members.shape[1] + 1 and n_some > 0


def unseen_pairs(members: Array) -> int:
    """Return how many pairs of experts no merge has but that of the whole pool."""
    some = members[~members.all(axis=1)].astype(int)
    met = np.triu(some.T @ some, 1) > 0
    n_experts = members.shape[1]
    unseen: int = n_experts * (n_experts - 1) // 2 - int(met.sum())
    return unseen


def _features(members: Array, pairs: float | None) -> Array:
    """Return shares, their squares, and the products of two, scaled to their prior's variance."""
    shares = shares_of(members)
    if pairs is None:
        return np.hstack([shares, shares**2])
    first, second = np.triu_indices(members.shape[1], 1)
    crossed = np.sqrt(2 * pairs) * shares[:, first] * shares[:, second]  # q_ij and q_ji are one
    return np.hstack([shares, shares**2, crossed])


def _fitted(
    members: Array, losses: Array, floor: float, pairs: float | None, fewest_left: float
) -> tuple[float, SubsetModel]:
    """Return the largest restricted log likelihood over penalties, and the model that has it.

    The misfit's standard deviation has a uniform prior (Gelman 2006, Bayesian Analysis 1:515):
    without it a surface with as many terms as merges may pass for one that misses nothing.
    """
    root = 1 / np.sqrt(misfit_weight(members, floor))
    features = _features(members, pairs)
    weight = root**2 / (root @ root)
    centre, centred = weight @ features, root * (losses - weight @ losses)
    spectrum = Spectrum.of((features - centre) * root[:, None])
    squares = (spectrum.left.T @ centred) ** 2
    rest = max(float(centred @ centred - squares.sum()), 0.0)
    rest += ROUNDING * float(losses @ losses)
    freedom = len(losses) - 1
    penalties = PENALTIES * spectrum.scale[0] ** 2
    summed = spectrum.scale**2 + penalties[:, None]
    quadratic = (squares / summed).sum(axis=1) + rest / penalties
    logs = np.log(summed).sum(axis=1) + (freedom - len(squares)) * np.log(penalties)
    likelihood = -(freedom * np.log(quadratic / freedom) + logs) / 2
    likelihood += np.log(root).sum() - np.log(root @ root) / 2
    left = freedom - (spectrum.scale**2 / summed).sum(axis=1)
    likelihood[left < fewest_left] = -np.inf
    likelihood += np.log(PENALTIES) / 2
    best = int(np.argmax(likelihood))
    variance = float(penalties[best] * quadratic[best] / freedom)
    model = SubsetModel(
        members, pairs is not None, pairs or 0.0, float(penalties[best]), variance, freedom,
        floor, float(left[best]), root, centre, spectrum, losses,
    )  # fmt: skip
    return float(likelihood[best]), model
