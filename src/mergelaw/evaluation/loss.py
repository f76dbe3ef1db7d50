"""Exact token cross-entropy of a causal language model: sums and counts, divided by nobody here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergelaw.data.encode import Encoded
from mergelaw.errors import DataError
from mergelaw.evaluation.memory import Room, is_out_of_memory
from mergelaw.models.head import Head, backbone
from mergelaw.models.rotary import stretch_of


@dataclass(frozen=True)
class Batch:
    """Items padded at the right to one length.

    Padding is at the right, so that a causal model never attends to it and no mask is needed.

    Attributes
    ----------
    input_ids : int64 tensor, shape (items, length)
    positions : int64 tensor, shape (scored,)
        Flat positions whose next token is scored.
    targets : int64 tensor, shape (scored,)
        The scored tokens.
    items : int64 tensor, shape (scored,)
        Item of each scored token.
    """

    input_ids: Tensor
    positions: Tensor
    targets: Tensor
    items: Tensor

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return the first and the last rows as two batches."""
        half = len(self.input_ids) // 2
        border = half * self.input_ids.shape[1]
        return (
            self._rows(slice(half), self.positions < border, 0),
            self._rows(slice(half, None), self.positions >= border, border),
        )

    def _rows(self, rows: slice, scored: Tensor, start: int) -> "Batch":
        return Batch(
            self.input_ids[rows],
            self.positions[scored] - start,
            self.targets[scored],
            self.items[scored],
        )


def make_batches(items: Sequence[Encoded], batch_tokens: int) -> tuple[Batch, ...]:
    """Group items of like length into batches of at most `batch_tokens` padded tokens.

    Parameters
    ----------
    items : sequence of Encoded
        Items; their index is the item number in the batches.
    batch_tokens : int
        Padded tokens of a batch; a longer single item is a batch of its own.
    """
    order = sorted(range(len(items)), key=lambda i: -len(items[i].input_ids))
    groups: list[list[int]] = []
    for index in order:
        longest = len(items[groups[-1][0]].input_ids) if groups else 0
        if groups and longest * (len(groups[-1]) + 1) <= batch_tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return tuple(_collate(items, group) for group in groups)


def _collate(items: Sequence[Encoded], group: Sequence[int]) -> Batch:
    length = max(len(items[i].input_ids) for i in group)
    ids = np.zeros((len(group), length), dtype=np.int64)
    scored = np.zeros((len(group), length), dtype=bool)
    for row, index in enumerate(group):
        ids[row, : len(items[index].input_ids)] = items[index].input_ids
        scored[row, : len(items[index].scored)] = items[index].scored
    rows, columns = np.nonzero(scored)
    tensors = (ids, rows * length + columns - 1, ids[rows, columns], np.asarray(group)[rows])
    return Batch(*(torch.from_numpy(array) for array in tensors))


@torch.inference_mode()
def item_nll(
    model: Any,
    batches: Sequence[Batch],
    n_items: int,
    room: Room | None = None,
    source: Callable[[int], str] = "item {}".format,
) -> NDArray[np.float64]:
    """Return the summed negative log-likelihood of every item's scored tokens.

    Parameters
    ----------
    model : transformers causal language model
        In evaluation mode, on a CPU, one GPU or split over several.
    batches : sequence of Batch
        From `make_batches`.
    n_items : int
        Number of items in all batches.
    room : Room, optional
        What fits into memory, kept from call to call; by default found out anew.
    source : callable
        What an error calls an item, given its number.

    Returns
    -------
    float64 array, shape (n_items,)
        Nats. logsumexp is taken in float32 whatever the model's type; sums over tokens in float64.

    Raises
    ------
    DataError
        If memory runs out on an item alone. Batches of several are halved before that.
    """
    room, head = room or Room(), Head.of(model)
    total = torch.zeros(n_items, dtype=torch.float64)
    waiting = list(reversed(batches))
    while waiting:
        batch = waiting.pop()
        if not len(batch.items):
            continue
        items, length = batch.input_ids.shape
        if items > 1 and items * length > room.tokens:
            waiting += reversed(batch.halves())
            continue
        nll = _nll_or_none(model, head, batch)
        if nll is not None:
            room.fitted()
            total.index_add_(0, batch.items, nll)
        elif items > 1:
            room.shrink(items, length)
            waiting.append(batch)
        else:
            raise DataError(
                f"memory runs out on {source(int(batch.items[0]))} alone ({length:,} tokens): "
                "lower evaluation.max_length and prepare the text again, or give more memory"
            )
    return total.numpy()


def _nll_or_none(model: Any, head: Head, batch: Batch) -> Tensor | None:
    """Return -log p of a batch's scored tokens, float64 on the CPU; None if memory ran out."""
    try:
        return head.nll(*scored_states(model, head, batch)).double().cpu()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # outside of `except`: the error would hold on to the pass's memory


def scored_states(model: Any, head: Head, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the hidden states that predict a batch's scored tokens, and these tokens.

    Returns
    -------
    hidden : tensor, shape (scored, hidden_size)
    targets : int64 tensor, shape (scored,)
        Both where the head is.
    """
    ids = batch.input_ids.to(model.get_input_embeddings().weight.device)
    stretch = stretch_of(model)
    if stretch and stretch.grows and ids.shape[1] >= stretch.limit:
        # transformers keeps the frequencies of the longest batch until one below the limit comes
        backbone(model)(input_ids=ids[:1, :1], use_cache=False)
    hidden = backbone(model)(input_ids=ids, use_cache=False).last_hidden_state
    hidden = hidden.flatten(0, 1)[batch.positions.to(hidden.device)]
    return hidden.to(head.device), batch.targets.to(head.device)


@torch.inference_mode()
def fault(model: Any, item: Encoded) -> str:
    """Say where an item's loss stops being finite: in hidden states, in logits, or at a token."""
    head = Head.of(model)
    (batch,) = make_batches([item], 1)
    hidden, _ = scored_states(model, head, batch)
    for row in hidden[:, None]:
        logits = head.logits(row)
        if row.isnan().any() or row.isinf().any():
            return "its hidden states hold NaN or infinity"
        if logits.isnan().any():
            return "its logits hold NaN"
        if not logits.isfinite().all():
            return "its logits hold infinity, and no NaN"
    return "scored alone it is finite"
