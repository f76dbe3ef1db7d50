"""The curve in k and in the scale, predicted from derivatives at one merge."""

from dataclasses import dataclass

import numpy as np

from mergelaw.errors import FitError, listing
from mergelaw.laws.analyses.published_laws import first_k
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas import MACRO
from mergelaw.theory.derivatives import CurveDerivatives, Folds
from mergelaw.theory.fold_draws import FoldDraws, totals_with_macro, with_macro


@dataclass(frozen=True)
class Curve:
    """Mean loss over all subsets of k experts at a scale, of each domain and of macro.

    Around the merge of all M experts at scale c0, with d_i = psi(v_i) - mean, to second order
    (exact for a quadratic loss; subsets are drawn without replacement)::

        E[L | k, c] = loss + (c - c0) slope + (c - c0)^2/2 radial + c^2/2 (1/k - 1/M) trace
        trace = sum_i d_i' H d_i / (M - 1)                             = Tr(H Sigma)

    which is Wang et al., arXiv 2509.24244, theorem 3.1, with the scale kept, at another point of
    expansion and for a finite pool.

    Attributes
    ----------
    domains : tuple of str
        `macro` last; all arrays are in this order.
    n_experts : int
        M.
    scale : float
        c0.
    loss, slope, radial, trace : arrays, shape (domains + 1,)
        Nats per token.
    third : array, shape (domains + 1, experts), or None
        Third derivatives along d_i; None: not measured.
    """

    domains: tuple[str, ...]
    n_experts: int
    scale: float
    loss: Array
    slope: Array
    radial: Array
    trace: Array
    third: Array | None

    @classmethod
    def of(cls, found: CurveDerivatives) -> "Curve":
        """Return the curve of measured derivatives.

        Raises
        ------
        FitError
            If there are fewer than two experts, or a derivative is not finite.
        """
        n_experts = len(found.experts)
        _require(found)
        return cls(
            (*found.folds.names, MACRO),
            n_experts,
            found.scale,
            with_macro(found.folds, found.nll),
            with_macro(found.folds, found.slope),
            with_macro(found.folds, found.radial),
            with_macro(found.folds, found.spread).sum(axis=1) / (n_experts - 1),
            None if found.third is None else totals_with_macro(found.folds, found.third),
        )

    @property
    def ks(self) -> Array:
        """All k, from 1 to the pool."""
        return np.arange(1, self.n_experts + 1)

    @property
    def tail(self) -> Array:
        """``c0^2/2 trace``: A of the law L(k) = floor + A / k at the scale of the merge."""
        return self.scale**2 / 2 * self.trace

    @property
    def floor(self) -> Array:
        """``loss - A / M``: what the curve tends to for endless experts; the pool ends at `loss`.

        It is an extrapolation: the best that the pool reaches is the loss of its whole merge.
        """
        floor: Array = self.loss - self.tail / self.n_experts
        return floor

    @property
    def offset(self) -> Array:
        """``trace / (radial - trace / M)``: b of the law at the best scale of each k.

        Written at the base, the curve is ``level + c slope + c^2/2 (curvature + trace / k)`` with
        that divisor as curvature (`mergelaw.laws.scale_surface`). NaN where it is not above 0.
        """
        curvature = self.radial - self.trace / self.n_experts
        offset: Array = self.trace / np.where(curvature > 0, curvature, np.nan)
        return offset

    @property
    def base(self) -> Array:
        """Loss of the base (c = 0) by the same expansion; the base is far from the merge."""
        base: Array = self.loss - self.scale * self.slope + self.scale**2 / 2 * self.radial
        return base

    def at(self, k: Array, scale: Array | float | None = None) -> Array:
        """Return the mean loss at some k and scales, shape (domains + 1, points).

        Parameters
        ----------
        k : array, shape (points,)
        scale : array of that shape, or float, optional
            c; that of the merge without it.
        """
        points = weights_of_points(k, self.scale, self.n_experts, scale)
        terms = np.stack([self.loss, self.slope, self.radial, self.trace], axis=1)
        losses: Array = terms @ points
        return losses

    def best_scale(self, k: int | None = None) -> Array:
        """Return the scale at which the curve is lowest, shape (domains + 1,).

        ``c*(k) = (c0 radial - slope) / (radial + (1/k - 1/M) trace)``; NaN where that divisor, the
        curvature along the scale of k experts, is not above 0, so that there is no lowest point.

        Parameters
        ----------
        k : int, optional
            The whole pool without it.
        """
        bend = self.radial
        if k is not None:
            bend = bend + (1 / k - 1 / self.n_experts) * self.trace
        best: Array = (self.scale * self.radial - self.slope) / np.where(bend > 0, bend, np.nan)
        return best

    def order_error(self, k: Array) -> Array | None:
        """Return the size of what orders above the second add, shape (domains + 1, points).

        ``c0^3/6 (M - k)/(k^2 (M - 1)) sqrt(m^2 + s^2/M)``, m and s mean and standard deviation
        over experts of T[d_i, d_i, d_i]. The third order itself is ``c0^3 kappa(k)/6 m``, with
        ``kappa(k) = (M - k)(M - 2k) / (k^2 (M - 1)(M - 2))``, the third moment of the mean of k of
        M drawn without replacement; here it is without the change of sign that makes it vanish at
        k = M/2, where the fourth does not, and without experts' parts that happen to cancel. None
        where it was not measured.
        """
        return None if self.third is None else third_size(self.third, k, self.scale)

    def k_for_return(self, share: float) -> list[int | None]:
        """Return the first k that reaches a share of the fall from k = 1 to M, of each domain.

        None where nothing is better than k = 1. The predicted curve is straight in 1/k, so that k
        is the same wherever the tail is above 0.
        """
        return [first_k(curve, share) for curve in self.at(self.ks)]


def weights_of_points(k: Array, merged: float, n_experts: int, scale: object = None) -> Array:
    """Return what loss, slope, radial and trace are multiplied by at points, shape (4, points).

    Parameters
    ----------
    k : array, shape (points,)
    merged : float
        c0, the scale of the merge that derivatives are taken at.
    n_experts : int
    scale : array or float, optional
        c; c0 without it.
    """
    c = np.broadcast_to(np.asarray(merged if scale is None else scale, float), np.shape(k))
    step = c - merged
    rest = c**2 / 2 * (1 / np.asarray(k, float) - 1 / n_experts)
    return np.stack([np.ones_like(c), step, step**2 / 2, rest])


def third_size(third: Array, k: Array, scale: float) -> Array:
    """Return the size of the third order at some k: see `Curve.order_error`.

    Parameters
    ----------
    third : array, shape (domains + 1, experts)
        Nats per token.
    k : array, shape (points,)
    scale : float

    Returns
    -------
    array, shape (domains + 1, points)
    """
    n = third.shape[1]
    share = scale**3 / 6 * (n - k) / (k**2 * (n - 1))
    mean = np.hypot(third.mean(axis=1), third.std(axis=1, ddof=1) / np.sqrt(n))
    size: Array = mean[:, None] * share
    return size


def law_sums(found: CurveDerivatives) -> tuple[Array, Array]:
    """Return floor and tail of each fold, summed over its tokens, shape (folds,) each."""
    n = len(found.experts)
    tail: Array = found.scale**2 / 2 * found.spread.sum(axis=1) / (n - 1)
    return found.nll - tail / n, tail


def point_sums(found: CurveDerivatives, k: Array, scale: object = None) -> Array:
    """Return the predicted loss of each fold, summed over its tokens, shape (folds, points)."""
    n = len(found.experts)
    terms = [found.nll, found.slope, found.radial, found.spread.sum(axis=1) / (n - 1)]
    sums: Array = np.stack(terms, axis=1) @ weights_of_points(k, found.scale, n, scale)
    return sums


def scale_error(
    found: CurveDerivatives, draws: FoldDraws, text: CurveDerivatives | None = None
) -> Array:
    """Return the standard error of the best scale from the choice of text; NaN: not known.

    By the delta method about the mean of all folds: draws of a quotient whose divisor may come
    near 0 would have no spread to speak of.

    Parameters
    ----------
    found : CurveDerivatives
    draws : FoldDraws
    text : CurveDerivatives, optional
        Of the draws' folds, at the same merge; `found` itself without it.
    """
    radial, slope = with_macro(found.folds, found.radial), with_macro(found.folds, found.slope)
    folds = found if text is None else text
    sums = np.stack([folds.slope, folds.radial], axis=1)
    change = draws.means(sums) - with_macro(folds.folds, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = -change[..., 0] / radial + change[..., 1] * slope / radial**2
    return np.where(radial > 0, step.std(axis=0, ddof=1), np.nan)


def _require(found: CurveDerivatives) -> None:
    problems = []
    if len(found.experts) < 2:
        problems.append(
            f"experts: {len(found.experts)}; must be at least 2, as a curve is about subsets"
        )
    parts = {"loss": found.nll, "slope": found.slope, "curvature along the scale": found.radial}
    parts |= {"curvature along a task vector": found.spread}
    problems += [
        f"{name} of domain {domain!r} is not finite: {_which(values, found.folds, domain)}"
        for name, values in parts.items()
        for domain in found.folds.names
        if not np.isfinite(values[np.asarray(found.folds.domains) == domain]).all()
    ]
    if problems:
        raise FitError(listing("a prediction from one merge", problems))


def _which(values: Array, folds: Folds, domain: str) -> str:
    """Return how many folds are concerned, and the way out."""
    mine = values[np.asarray(folds.domains) == domain].reshape(folds.domains.count(domain), -1)
    bad = int((~np.isfinite(mine)).any(axis=1).sum())
    return f"{bad} of {len(mine)} folds; take float32, or another route"
