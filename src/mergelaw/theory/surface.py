"""The loss as a function of the experts' weights: what searches and predictions ask of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Derivatives, Folds


@dataclass
class Spent:
    """What was asked of a surface so far.

    Attributes
    ----------
    n_losses, n_gradients, n_products : int
        Passes over the whole text: forward alone; forward and backward; one more direction of
        curvature.
    forwards : float
        The same in forward passes, by convention: a gradient is 3, a Hessian-vector product 4, a
        Gauss-Newton product 1.
    seconds : float
    """

    n_losses: int = 0
    n_gradients: int = 0
    n_products: int = 0
    forwards: float = 0.0
    seconds: float = field(default=0.0)


class Surface(Protocol):
    """Loss of ``base + sum_i w_i psi(v_i)`` on one text, by weight.

    Weights are arrays of shape (groups * experts,), group by group.
    """

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, sorted."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of layers with weights of their own; ("model",) for one weight per expert."""

    @property
    def folds(self) -> Folds:
        """Folds of the text."""

    @property
    def spent(self) -> Spent:
        """What was asked so far."""

    def losses(self, weights: Array) -> Array:
        """Return the summed loss of each fold, shape (folds,): one forward pass."""

    def gradient(self, weights: Array) -> tuple[Array, Array]:
        """Return the loss and its gradient, shapes (folds,) and (folds, groups * experts)."""

    def curvature(self, weights: Array, folds: Sequence[int] | None = None) -> Derivatives:
        """Return loss, gradient and curvature; on some folds alone where they are given."""
