"""Exact token cross-entropy of a causal language model: sums and counts, divided by nobody here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergelaw.data.encode import Encoded
from mergelaw.errors import CheckpointError

CHUNK_ROWS = 2048
"""Scored positions whose logits are held at once."""

LOGIT_SCALES = ("logit_scale", "logits_scaling", "output_multiplier")
"""Config keys of models (Cohere, Granite, ...) whose logits are not the head's output alone."""


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
def item_nll(model: Any, batches: Sequence[Batch], n_items: int) -> NDArray[np.float64]:
    """Return the summed negative log-likelihood of every item's scored tokens.

    Parameters
    ----------
    model : transformers causal language model
        In evaluation mode; its backbone is `model.base_model`, its head the output embeddings.
    batches : sequence of Batch
        From `make_batches`.
    n_items : int
        Number of items in all batches.

    Returns
    -------
    float64 array, shape (n_items,)
        Nats. logsumexp is taken in float32 whatever the model's type; sums over tokens in float64.
    """
    total = torch.zeros(n_items, dtype=torch.float64)
    for batch in batches:
        hidden = model.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        hidden = hidden.flatten(0, 1)[batch.positions]
        nll = torch.cat(
            [
                token_nll(model, rows, targets)
                for rows, targets in zip(
                    torch.split(hidden, CHUNK_ROWS),
                    torch.split(batch.targets, CHUNK_ROWS),
                    strict=True,
                )
            ]
        )
        total.index_add_(0, batch.items.cpu(), nll.double().cpu())
    return total.numpy()


def token_nll(model: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return -log p(target) of each row, in float32.

    Parameters
    ----------
    hidden : tensor, shape (rows, hidden_size)
    targets : int64 tensor, shape (rows,)

    Raises
    ------
    CheckpointError
        If the model does more to its logits than cap them (`final_logit_softcapping`).
    """
    return torch.nn.functional.cross_entropy(_logits(model, hidden), targets, reduction="none")


def _logits(model: Any, hidden: Tensor) -> Tensor:
    """Apply the head, with what the model's own forward pass does to its output.

    Raises
    ------
    CheckpointError
        If the model scales its logits, which families do in different ways.
    """
    config = model.config.get_text_config()
    scaled = [key for key in LOGIT_SCALES if getattr(config, key, None) not in (None, 1)]
    if scaled:
        raise CheckpointError(
            f"models of type {config.model_type!r} scale their logits by {scaled[0]} = "
            f"{getattr(config, scaled[0])}, which mergelaw does not do: they cannot be scored"
        )
    logits: Tensor = model.get_output_embeddings()(hidden).float()
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    return logits if cap is None else cap * torch.tanh(logits / cap)
