"""Weights that a way has found on a text."""

from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.judging import Judged
from mergelaw.theory.penalty import Choice
from mergelaw.theory.surface import Spent


@dataclass(frozen=True)
class Found:
    """Weights, their loss on the text that they were chosen on, and what that cost.

    Attributes
    ----------
    way : str
        A value of `mergelaw.theory.ways.WAYS`.
    weights : array, shape (groups * experts,)
    value : float
        The objective, in nats per token.
    nll : array, shape (folds,)
        Summed loss of each fold at the weights.
    spent : Spent
        What the way asked of the surface.
    converged : bool
        Whether it ended by itself, and not by a limit on its cost.
    notes : tuple of str
        What a reader must know of it.
    choice : Choice, optional
        The pull towards equal weights, where there is one.
    judged : Judged, optional
        Value, and difference from the search's start.
    """

    way: str
    weights: Array
    value: float
    nll: Array
    spent: Spent
    converged: bool
    notes: tuple[str, ...] = ()
    choice: Choice | None = None
    judged: Judged | None = None

    def n_experts(self, n_pool: int) -> int:
        """Return how many experts have a weight other than 0 in some group."""
        return int((np.abs(self.weights.reshape(-1, n_pool)) > 0).any(axis=0).sum())
