"""Intervals of a predicted curve: on this text from higher orders, on other text from items too."""

from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.curve_prediction import Curve, point_sums
from mergelaw.theory.derivatives import CurveDerivatives
from mergelaw.theory.fold_draws import FoldDraws


@dataclass(frozen=True)
class Band:
    """A predicted curve at some k and its errors, each of shape (domains + 1, points).

    Attributes
    ----------
    loss : array
        Nats per token.
    order_error : array
        Half-width on this text: the size of higher orders; NaN where it is not known.
    text_error : array
        Standard error from the choice of items; NaN where it is not known.
    reach : array, shape (domains + 1,)
        Standard errors that an interval reaches to each side.
    """

    loss: Array
    order_error: Array
    text_error: Array
    reach: Array

    @property
    def text_half(self) -> Array:
        """Half-width on other text: of both errors, which have nothing to do with each other."""
        half: Array = np.hypot(self.order_error, self.reach[:, None] * self.text_error)
        return half

    def ends(self, other_text: bool) -> tuple[Array, Array]:
        """Return the interval, not below 0: no loss is."""
        half = self.text_half if other_text else self.order_error
        return np.maximum(self.loss - half, 0.0), self.loss + half


def band(
    found: CurveDerivatives,
    draws: FoldDraws,
    second: CurveDerivatives | None = None,
    k: Array | None = None,
    text: CurveDerivatives | None = None,
) -> Band:
    """Return the predicted curve at the merge's own scale, with its errors.

    The interval on this text has no sampling in it: all subsets are in and the text is the same.
    What is missed is the third order and those above. Its half-width is the size of the third order
    (`Curve.order_error`) plus, where curvature was measured by a second route, the difference of
    the two curves: second differences over a third of a task vector have a part of the fourth
    order, and the Gauss-Newton matrix is not the Hessian. By the triangle inequality both add up.

    Parameters
    ----------
    found : CurveDerivatives
    draws : FoldDraws
        Of the folds of `text`.
    second : CurveDerivatives, optional
        The same by another route.
    k : array, optional
        From 1 to the pool without it.
    text : CurveDerivatives, optional
        The same by a route with more folds, which the error from the choice of items is taken from;
        `found` itself without it.
    """
    curve = Curve.of(found)
    ks = curve.ks if k is None else k
    loss = curve.at(ks)
    size = curve.order_error(ks)
    error = np.full(loss.shape, np.nan) if size is None else size
    if second is not None:
        error = error + np.abs(loss - Curve.of(second).at(ks))
    of_folds = point_sums(found if text is None else text, ks)
    return Band(loss, error, draws.stderr(of_folds), draws.reach)
