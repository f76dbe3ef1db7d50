"""The losses of all domains as functions of second order about one point."""

from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Derivatives


@dataclass(frozen=True)
class Quadratics:
    """Losses per token, ``loss + slope (w - centre) + (w - centre)' curvature (w - centre) / 2``.

    Attributes
    ----------
    centre : array, shape (weights,)
    loss : array, shape (domains,)
    slope : array, shape (domains, weights)
    curvature : array, shape (domains, weights, weights)
        Symmetric.
    """

    centre: Array
    loss: Array
    slope: Array
    curvature: Array

    @classmethod
    def of(cls, found: Derivatives, counts: Array | None = None) -> "Quadratics":
        """Return the models of measured derivatives.

        Parameters
        ----------
        found : Derivatives
        counts : array, shape (folds,), optional
            How often each fold is counted; once without it.
        """
        turned = np.swapaxes(found.curvature, 1, 2)
        return cls(
            found.weights,
            found.folds.per_token(found.nll, counts),
            found.folds.per_token(found.gradient, counts),
            found.folds.per_token((found.curvature + turned) / 2, counts),
        )

    def at(self, weights: Array) -> Array:
        """Return the losses at some weights, shape (..., domains) for shape (..., weights)."""
        step = weights - self.centre
        bent: Array = np.einsum("...i,dij,...j->...d", step, self.curvature, step)
        losses: Array = self.loss + step @ self.slope.T + bent / 2
        return losses

    def slopes_at(self, weights: Array) -> Array:
        """Return the gradients at some weights, shape (domains, weights)."""
        slopes: Array = self.slope + self.curvature @ (weights - self.centre)
        return slopes

    def unit(self) -> float:
        """Return the size of a direction's curvature, mean over domains and directions."""
        values = np.linalg.eigvalsh(self.curvature.mean(axis=0))
        return float(np.abs(values).mean())

    def n_negative(self, shares: Array) -> int:
        """Return how many directions a mixture of the domains bends down along, clearly."""
        values = np.linalg.eigvalsh(np.tensordot(shares, self.curvature, 1))
        return int((values < -1e-3 * np.abs(values).max()).sum())
