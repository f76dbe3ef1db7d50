"""Weights judged on text that they were not chosen on, item by item."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mergelaw.evaluation.text import EvalText
from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.goal import Goal
from mergelaw.theory.judging import Judged, judge


def items_of(text: EvalText) -> Folds:
    """Return the items of a text as folds of one item each."""
    domains = tuple(shard.domain for shard in text.shards for _ in shard.items)
    n_tokens = np.concatenate([shard.n_tokens for shard in text.shards]).astype(np.int64)
    return Folds(domains, np.ones(len(domains), dtype=np.int64), n_tokens)


@dataclass
class HeldOut:
    """A text that merges are judged on, each scored once.

    Attributes
    ----------
    item_losses : callable
        Returns the summed loss of each item at some weights: one forward pass.
    items : Folds
        One fold an item.
    n_weights : int
        That `item_losses` takes: weights of one group of layers serve for all.
    reference : array, shape (experts,)
        Weights that all others are compared with: the full average's.
    """

    item_losses: Callable[[Array], Array]
    items: Folds
    n_weights: int
    reference: Array
    _known: dict[bytes, Array] = field(default_factory=dict)

    def losses(self, weights: Array) -> Array:
        """Return the summed loss of each item."""
        whole = np.tile(weights, self.n_weights // len(weights))
        key = whole.tobytes()
        if key not in self._known:
            self._known[key] = self.item_losses(whole)
        return self._known[key]

    def judged(self, goal: Goal, weights: Array) -> Judged:
        """Return the objective here, and its paired difference from the reference's."""
        return judge(goal, self.items, self.losses(weights), self.losses(self.reference))
