"""How much better one merge is than another on a text, with the error of the choice of items."""

from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.goal import Goal


@dataclass(frozen=True)
class Judged:
    """An objective's value at some weights, and its difference from that of a reference.

    Attributes
    ----------
    value : float
        Nats per token.
    losses : array, shape (domains,)
    difference : float
        Of the value from the reference's.
    stderr : float
        Of the difference, over the choice of items; infinite where a domain has one only.
    """

    value: float
    losses: Array
    difference: float
    stderr: float

    @property
    def is_told(self) -> bool:
        """Whether the difference is more than two standard errors."""
        return abs(self.difference) > 2 * self.stderr


def judge(goal: Goal, folds: Folds, nll: Array, reference: Array) -> Judged:
    """Compare two merges from their summed losses, shape (folds,), item by item or fold by fold.

    Notes
    -----
    A domain's loss is a ratio of sums; the error of a paired difference is that of Cochran
    (Sampling Techniques, 3rd ed., eq. 6.13) with residuals of both merges taken together, towards
    other text of the kind: no factor for a finite text. The worst domain is held as it is.
    """
    losses, before = folds.per_token(nll), folds.per_token(reference)
    member, shares = folds.membership, (goal.shares(losses), goal.shares(before))
    apart = (shares[0] @ member) * (nll - (losses @ member) * folds.n_tokens)
    apart -= (shares[1] @ member) * (reference - (before @ member) * folds.n_tokens)
    n_folds, n_tokens = member.sum(axis=1), member @ folds.n_tokens
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = n_folds / (n_folds - 1) * (member @ apart**2) / n_tokens**2
    counted = (shares[0] + shares[1]) > 0
    alone = counted & (n_folds < 2)
    error = np.inf if alone.any() else float(variances[counted].sum()) ** 0.5
    value = goal.value(losses)
    return Judged(value, losses, value - goal.value(before), error)
