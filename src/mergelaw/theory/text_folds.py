"""The text of a surface, dealt into folds: which items, and the batches that are differentiated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mergelaw.config.theory import Route
from mergelaw.data.encode import Encoded
from mergelaw.evaluation.loss import Batch, make_batches
from mergelaw.evaluation.text import EvalText
from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Folds

MOST_FOLDS = 8
"""Folds of a domain, by default at most: enough for a spread, few enough that batches stay full."""

BACKWARD_TOKENS = 256
"""Tokens of a fold, about, at least, where passes go backward. A pass over a shorter batch takes
nearly as long. Measured on the ladder's default study, on a CPU, in forward passes over its text:
nine products and a gradient over 27 folds of 100 tokens took 97 (width 32) and 76 (width 128), over
9 folds of 300 tokens 74 and 50 to 66; a gradient 15 and 6, and 6 and 4 to 5."""


@dataclass(frozen=True)
class FoldedText:
    """A text and the fold of each of its items.

    Attributes
    ----------
    text : EvalText
    of_item : int array, shape (items,)
        Number of the fold of each item; folds go domain by domain.
    folds : Folds
    """

    text: EvalText
    of_item: Array
    folds: Folds

    @classmethod
    def of(
        cls, text: EvalText, most_folds: int = MOST_FOLDS, least_tokens: int = 1
    ) -> "FoldedText":
        """Deal the items of each domain in turn into folds.

        Parameters
        ----------
        text : EvalText
        most_folds : int
            Of a domain.
        least_tokens : int
            Of a fold, on average, scored or not; a domain with fewer is one fold.
        """
        fold_of: list[int] = []
        domains: list[str] = []
        for shard in text.shards:
            length = sum(len(item.input_ids) for item in shard.items)
            n_folds = max(1, min(most_folds, len(shard.items), length // least_tokens))
            fold_of += [len(domains) + index % n_folds for index in range(len(shard.items))]
            domains += [shard.domain] * n_folds
        of_item = np.asarray(fold_of)
        tokens = np.concatenate([shard.n_tokens for shard in text.shards])
        n_tokens = np.bincount(of_item, tokens, len(domains)).astype(np.int64)
        n_items = np.bincount(of_item, minlength=len(domains))
        return cls(text, of_item, Folds(tuple(domains), n_items, n_tokens))

    @classmethod
    def of_route(cls, text: EvalText, route: Route) -> "FoldedText":
        """Deal as a route needs it: into few folds where it goes backward."""
        return cls.of(text, least_tokens=BACKWARD_TOKENS if route == "hvp" else 1)

    @cached_property
    def items(self) -> list[Encoded]:
        """All items, in the order of the text."""
        return [item for shard in self.text.shards for item in shard.items]

    def sums(self, item_sums: Array) -> Array:
        """Return the sums of each fold, from those of items, in float64.

        Parameters
        ----------
        item_sums : array, shape (..., items)

        Returns
        -------
        array, shape (..., folds)
        """
        n_folds = len(self.folds.domains)
        rows = [np.bincount(self.of_item, row, n_folds) for row in np.atleast_2d(item_sums)]
        found: Array = np.stack(rows).reshape(*item_sums.shape[:-1], n_folds)
        return found

    def members(self, fold: int) -> Array:
        """Return the numbers of a fold's items."""
        found: Array = np.flatnonzero(self.of_item == fold)
        return found

    def batches(self, fold: int, batch_tokens: int) -> tuple[Batch, ...]:
        """Return a fold's batches; items are numbered within the fold."""
        return make_batches([self.items[i] for i in self.members(fold)], batch_tokens)

    def share(self, folds: Sequence[int]) -> float:
        """Return the share of the scored tokens that some folds hold."""
        chosen = self.folds.n_tokens[list(folds)].sum()
        return float(chosen / self.folds.n_tokens.sum())


def folds_taken(folds: Folds, chosen: Sequence[int]) -> Folds:
    """Return some of the folds, in the order given."""
    index = list(chosen)
    domains = tuple(folds.domains[i] for i in index)
    return Folds(domains, folds.n_items[index], folds.n_tokens[index])
