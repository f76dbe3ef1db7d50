"""Passes over a text at given weights of the experts: forward, backward, counted, kept."""

import time
from collections.abc import Sequence
from copy import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mergelaw.costs import add_work
from mergelaw.costs.theory import GRADIENT
from mergelaw.errors import CheckpointError
from mergelaw.evaluation.checkpoint import check_finite, scoring_flops
from mergelaw.evaluation.loss import Batch, item_nll, scored_states
from mergelaw.evaluation.memory import Room
from mergelaw.laws.forms import Array
from mergelaw.models.head import Head
from mergelaw.sweep.engine import Engine
from mergelaw.theory.backward import Backward
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.directions import Directions
from mergelaw.theory.shown import Shown, key_of
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import FoldedText, folds_taken
from mergelaw.theory.undifferentiable import NotDifferentiableError

Kept = TypeVar("Kept")

MOST_KEPT = 4
"""Points at which losses and gradients are kept: that of the merge, and a few after it."""


class Passes:
    """What a model is asked at weights: losses, gradients, logits.

    Parameters
    ----------
    engine : Engine
        Its recipe in use gives psi(v).
    directions : Directions
        psi(v) of the experts.
    folded : FoldedText
        The text.
    batch_tokens : int
        Padded tokens of a batch that is differentiated.

    Attributes
    ----------
    shown : Shown
        Puts merges into the model.
    spent : Spent
    """

    def __init__(
        self, engine: Engine, directions: Directions, folded: FoldedText, batch_tokens: int
    ) -> None:
        self.engine, self.directions, self.folded = engine, directions, folded
        self.batch_tokens = batch_tokens
        self.backward, self.shown = Backward(engine.model, directions), Shown(engine, directions)
        self.spent, self._room = Spent(), Room()
        self._kept_items: dict[bytes, Array] = {}
        self._kept_gradients: dict[bytes, tuple[FoldedText, Array]] = {}
        self._flops = scoring_flops(engine.model, folded.text.length)

    def refolded(self, folded: FoldedText) -> "Passes":
        """Return passes over the same text in other folds; all else is shared, also what is known.

        What is kept is of items and of whole domains, so that it is true of any folds.
        """
        other = copy(self)
        other.folded = folded
        return other

    @property
    def all_folds(self) -> list[int]:
        """Numbers of all folds."""
        return list(range(len(self.folded.folds.domains)))

    def show(self, weights: Array) -> None:
        """Put the merge into the model, unless it is there."""
        self.shown.show(weights)

    def shown_items(self, owner: str) -> Array:
        """Return the losses of the items under what the model holds: one forward pass."""
        text, model, start = self.folded.text, self.engine.model, time.perf_counter()
        nll = item_nll(model, text.batches, text.n_items, self._room, text.item_source)
        check_finite(model, text, range(text.n_items), nll, owner)
        self.count(time.perf_counter() - start, forwards=1.0, losses=1)
        return nll

    def item_losses(self, weights: Array) -> Array:
        """Return the summed loss of each item, shape (items,): one forward pass, or what was kept.

        Raises
        ------
        CheckpointError
            If one is not finite; names domain and item.
        DataError
            If memory runs out on an item alone.
        """
        key = key_of(weights)
        if key not in self._kept_items:
            self.show(weights)
            _keep(self._kept_items, key, self.shown_items(self.shown.named(weights)))
        return self._kept_items[key].copy()

    def losses(self, weights: Array) -> Array:
        """Return the summed loss of each fold, shape (folds,)."""
        return self.folded.sums(self.item_losses(weights))

    def losses_of(self, weights: Array, chosen: Sequence[int]) -> Array:
        """Return the losses of some folds: a forward pass of these alone."""
        if list(chosen) == self.all_folds:
            return self.losses(weights)
        start, model = time.perf_counter(), self.engine.model
        self.show(weights)
        sums = np.zeros(len(chosen))
        for index, fold in enumerate(chosen):
            members, named = self.folded.members(fold), self.shown.named(weights)
            nll = item_nll(model, self.fold_batches(fold), len(members), self._room)
            check_finite(model, self.folded.text, members.tolist(), nll, named)
            sums[index] = nll.sum()
        share = self.folded.share(chosen)
        self.count(time.perf_counter() - start, forwards=share, losses=1)
        return sums

    def gradient(self, weights: Array, chosen: Sequence[int]) -> tuple[Array, Array]:
        """Return loss and gradient of some folds: forward and backward.

        Raises
        ------
        NotDifferentiableError
            If an operation of the model has no pass backward.
        NoRoomBackwardError
            If memory runs out on an item alone.
        CheckpointError
            If a number is not finite; names domain and direction.
        """
        start = time.perf_counter()
        self.show(weights)
        try:
            parts = [self.backward.gradient(self.fold_batches(fold)) for fold in chosen]
        except (RuntimeError, NotImplementedError) as error:
            named = self.shown.named(weights)
            raise NotDifferentiableError(
                f"{named} cannot be differentiated ({_first_line(error)})"
            ) from error
        nll, gradient = (np.stack(rows) for rows in zip(*parts, strict=True))
        share = self.folded.share(chosen)
        self.count(time.perf_counter() - start, forwards=GRADIENT * share, gradients=1)
        self.check_finite_in(folds_taken(self.folded.folds, chosen), gradient)
        if list(chosen) == self.all_folds:
            self.keep_gradient(weights, gradient)
            items = self._kept_items.get(key_of(weights))
            nll = nll if items is None else self.folded.sums(items)
        return nll, gradient

    def keep_gradient(self, weights: Array, gradient: Array) -> None:
        """Keep the exact gradient of all folds."""
        _keep(self._kept_gradients, key_of(weights), (self.folded, gradient))

    def kept_gradient(self, weights: Array) -> tuple[Array, Array | None] | None:
        """Return the exact gradient of each domain, and of each fold; None: not taken lately.

        That of folds is None where it was taken over other folds.
        """
        kept = self._kept_gradients.get(key_of(weights))
        if kept is None:
            return None
        folded, gradient = kept
        return folded.folds.membership @ gradient, gradient if folded is self.folded else None

    def domain_gradient(self, weights: Array) -> Array:
        """Return the exact gradient of each domain, taken with a domain's items together.

        Raises
        ------
        NotDifferentiableError, NoRoomBackwardError, CheckpointError
            As `gradient`.
        """
        kept = self.kept_gradient(weights)
        if kept is not None:
            return kept[0]
        whole = self.refolded(FoldedText.of(self.folded.text, most_folds=1))
        return whole.gradient(weights, whole.all_folds)[1]

    @torch.inference_mode()
    def logits(self, weights: Array, batches: Sequence[Batch]) -> Tensor:
        """Return the logits of the scored tokens of some batches, float32."""
        self.show(weights)
        head = Head.of(self.engine.model)
        return torch.cat(
            [head.logits(scored_states(self.engine.model, head, batch)[0]) for batch in batches]
        )

    def fold_batches(self, fold: int) -> tuple[Batch, ...]:
        """Return a fold's batches."""
        return self.folded.batches(fold, self.batch_tokens)

    def check_finite_in(self, folds: Folds, values: Array) -> None:
        """Refuse derivatives that are not finite: names domain and direction."""
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            fold, *place = bad[0]
            names = [
                f"{group}/{name}"
                for group in self.directions.groups.names
                for name in self.directions.experts
            ]
            along = f" along {names[place[0]]}" if place else ""
            raise CheckpointError(
                f"a derivative of the loss is not finite on domain {folds.domains[fold]!r}{along}:"
                f" {len(bad)} of {values.size} numbers; compute in float32 (dtype), or check the "
                "weights of that expert"
            )

    def count(
        self,
        seconds: float,
        forwards: float,
        losses: int = 0,
        gradients: int = 0,
        products: int = 0,
    ) -> None:
        """Count passes, and add their work to the running job's."""
        self.spent.n_losses += losses
        self.spent.n_gradients += gradients
        self.spent.n_products += products
        self.spent.forwards += forwards
        self.spent.seconds += seconds
        add_work(round(forwards * self.folded.text.length.n_tokens), forwards * self._flops)


def _keep(kept: dict[bytes, Kept], key: bytes, value: Kept) -> None:
    """Keep a value, and forget the oldest beyond `MOST_KEPT`."""
    kept[key] = value
    if len(kept) > MOST_KEPT:
        kept.pop(next(iter(kept)))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
