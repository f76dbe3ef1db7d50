"""Subsets in the order of their expected loss, and how sure that order is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import t as student

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL

TIED = 0.05
"""A subset cannot be told from the first if it is the better one with this probability at least."""


ROUNDING = 1e-12
"""Nats per token that are none."""


@dataclass(frozen=True)
class RankedSubset:
    """A subset and what is known of its loss, in nats per token.

    Attributes
    ----------
    subset : str
        Experts joined by '+'.
    k : int
    loss_predicted : float
        What is expected of it; of a measured subset, its measured loss (or what the surface makes
        of that, where the measurement has an error).
    stderr, low, high : float
        Standard error, and the interval that holds the loss, not below 0, with the ranking's level.
    measured : float or None
        Its loss in the table; None: not measured.
    p_best, p_within : float
        Probability that no candidate is better; that none is better by more than `within`.
    regret : float
        By how much it is expected to be above the best, whichever that is.
    tied : bool
        Whether it cannot be told from the first of the ranking.
    """

    subset: str
    k: int
    loss_predicted: float
    stderr: float
    low: float
    high: float
    measured: float | None
    p_best: float
    p_within: float
    regret: float
    tied: bool


@dataclass(frozen=True)
class Ranking:
    """Subsets by expected loss, the least first.

    Attributes
    ----------
    rows : tuple of RankedSubset
    target : str
        Whose loss it is.
    text : {"other", "this"}
        Whether losses are meant on other text of the kind, or on the measured text alone.
    level : float
        Of the intervals.
    within : float
        Nats per token; see `RankedSubset`.
    n_measured : int
        Merges that predictions are made from.
    random_regret : float
        Regret of a candidate taken at random.
    notes : tuple of str
        What a reader has to know.
    n_items : dict of str to int
        Items of each domain of the target; 0 where the table does not tell.
    """

    rows: tuple[RankedSubset, ...]
    target: str
    text: str
    level: float
    within: float
    n_measured: int
    random_regret: float
    notes: tuple[str, ...]
    n_items: Mapping[str, int]

    @property
    def best(self) -> RankedSubset:
        """The subset with the least expected loss."""
        return self.rows[0]

    @property
    def tells(self) -> bool:
        """Whether the first is expected to be no worse than a candidate taken at random."""
        return self.best.regret <= self.random_regret + ROUNDING

    @property
    def n_tied(self) -> int:
        """How many subsets cannot be told from the first, itself among them."""
        return sum(row.tied for row in self.rows)

    def table(self) -> pl.DataFrame:
        """Return a row per subset."""
        return pl.DataFrame([asdict(row) for row in self.rows], infer_schema_length=None)

    def facts(self, top: int | None = None) -> dict[str, Any]:
        """Return the ranking for JSON, all of it or the first rows."""
        told = {name: getattr(self, name) for name in ("target", "text", "level", "within")}
        told |= {"n_subsets": len(self.rows), "n_measured": self.n_measured, "n_tied": self.n_tied}
        told |= {"n_items": dict(self.n_items), "tells": self.tells}
        told |= {"random_regret": self.random_regret, "notes": list(self.notes)}
        return told | {"subsets": [asdict(row) for row in self.rows[:top]]}


@dataclass(frozen=True)
class Predicted:
    """Losses of candidates, as any way of predicting tells them.

    Attributes
    ----------
    names : sequence of str
        Experts joined by '+'.
    ks : int array, shape (subsets,)
    losses, stderr : arrays, shape (subsets,)
    measured : array, shape (subsets,)
        NaN where nothing was measured.
    draws : array, shape (draws, subsets)
        Losses that could be true, all of a draw together: what they share stands in each.
    freedom : float or array, shape (subsets,)
        Degrees of freedom of the errors.
    """

    names: Sequence[str]
    ks: Array
    losses: Array
    stderr: Array
    measured: Array
    draws: Array
    freedom: float | Array


def rank(
    predicted: Predicted, target: str, text: str, within: float, n_measured: int,
    notes: Sequence[str] = (), n_items: Mapping[str, int] | None = None,
) -> Ranking:  # fmt: skip
    """Rank subsets by what is expected of them.

    Parameters
    ----------
    predicted : Predicted
    target, text, within, n_measured, notes, n_items
        See `Ranking`.
    """
    draws = predicted.draws
    order = np.lexsort((predicted.ks, predicted.losses))
    best = draws.min(axis=1)
    p_best = best_chances(draws)
    above = draws - best[:, None]
    regret, p_within = above.mean(axis=0), (above <= within).mean(axis=0)
    first = order[0]
    rival = draws[:, [first]]
    better = (draws < rival).mean(axis=0) + (draws == rival).mean(axis=0) / 2  # equals are no worse
    half = student.ppf((1 + LEVEL) / 2, predicted.freedom) * predicted.stderr
    rows = tuple(
        RankedSubset(
            predicted.names[i],
            int(predicted.ks[i]),
            float(predicted.losses[i]),
            float(predicted.stderr[i]),
            max(float(predicted.losses[i] - half[i]), 0.0),
            float(predicted.losses[i] + half[i]),
            None if np.isnan(predicted.measured[i]) else float(predicted.measured[i]),
            float(p_best[i]),
            float(p_within[i]),
            float(regret[i]),
            bool(i == first or better[i] >= TIED),
        )
        for i in order
    )
    return Ranking(
        rows, target, text, LEVEL, within, n_measured, float(regret.mean()), tuple(notes),
        dict(n_items or {}),
    )  # fmt: skip


def best_chances(draws: Array) -> Array:
    """Return the probability of each subset that no other is better, shape (subsets,).

    Parameters
    ----------
    draws : array, shape (draws, subsets)
    """
    wins = draws == draws.min(axis=1, keepdims=True)
    chances: Array = (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0)
    return chances
