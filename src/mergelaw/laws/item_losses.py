"""Losses of several models on the same items, and on the same draws of other items."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import Array
from mergelaw.laws.uncertainty import generator, resampled


class Loss(NamedTuple):
    """A loss, and what it would be with other items.

    Attributes
    ----------
    value : float
        Nats per token.
    draws : array, shape (resamples,)
        The same draws of the items for all models of a domain; NaN where it has one item.
    """

    value: float
    draws: Array

    def less(self, other: "Loss") -> "Loss":
        """Return by how much it is above another one, draw by draw."""
        return Loss(self.value - other.value, self.draws - other.draws)

    @property
    def error(self) -> float | None:
        """Token standard error; None where there is one item, whose noise cannot be seen."""
        error = float(np.std(self.draws, ddof=1))
        return error if np.isfinite(error) else None


def losses_on(items: pl.DataFrame, study: Study, domain: str) -> list[Loss]:
    """Return the loss of each row, with the draws that curves take for the items of this domain.

    Parameters
    ----------
    items : polars.DataFrame
        Columns `item_nll_sum` and `item_n_tokens`, lists of one length: the same items.
    """
    nll, n_tokens = (
        np.array(items[name].to_list(), dtype=float, ndmin=2)
        for name in ("item_nll_sum", "item_n_tokens")
    )
    draw = generator(study.seed, "items", domain)
    drawn = resampled(nll, n_tokens, draw, study.laws.resamples)
    values = nll.sum(axis=1) / n_tokens.sum(axis=1)
    return [Loss(float(value), draws) for value, draws in zip(values, drawn.T, strict=True)]


def mean_loss(losses: Sequence[Loss]) -> Loss:
    """Return the unweighted mean of losses; those of one domain keep their common draws."""
    values, draws = zip(*losses, strict=True)
    return Loss(float(np.mean(values)), np.mean(draws, axis=0))
