"""What is trained: a model that returns the loss of scored tokens, logits made chunk by chunk."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from mergelaw.errors import TrainingError
from mergelaw.experts.rows import MicroBatch, micro_batches
from mergelaw.experts.text import Item
from mergelaw.models.head import Head, backbone, chunk_rows

TRIAL = (12, 7, 10, 9)
"""Lengths of the items that packing is tried on: two rows of two."""

SEEN = {"float32": 1e-3, "bfloat16": 3e-2}
"""Relative change of an item's loss by another one in its row that is put down to rounding."""


class Trainee(nn.Module):
    """A causal language model under training.

    Its forward pass goes through the backbone and then through the head at positions that predict
    a scored token, a chunk of them at a time: no matrix of all logits is ever there.

    Parameters
    ----------
    causal : transformers causal language model
        Also one with adapters in it.
    """

    def __init__(self, causal: Any) -> None:
        super().__init__()
        self.causal = causal
        self.config = causal.config  # where libraries look for the model's width
        self.kind = causal.config.get_text_config().model_type
        self.head = ScoredHead(Head.of(causal))

    def forward(self, batch: MicroBatch) -> Tensor:
        """Return -log p of each scored token in float32, shape (scored,), nats."""
        places = {} if batch.position_ids is None else {"position_ids": batch.position_ids}
        inner = backbone(self.causal)
        hidden = inner(input_ids=batch.input_ids, use_cache=False, **places).last_hidden_state
        nll: Tensor = self.head(hidden.flatten(0, 1)[batch.sources], batch.targets)
        return nll


class ScoredHead(nn.Module):
    """The model's head and the loss behind it, whose weight is its own: gathered once a pass.

    Parameters
    ----------
    head : Head
        The model's.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.weight = head.embeddings.weight
        self.bias = getattr(head.embeddings, "bias", None)
        self._finish = head.finished

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return -log p of the targets in float32.

        Parameters
        ----------
        hidden : tensor, shape (scored, hidden_size)
        targets : int64 tensor, shape (scored,)
        """
        rows = chunk_rows(self.weight.shape[0], hidden.device)
        chunks = list(zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True))
        if len(chunks) == 1:
            return self._nll(*chunks[0])
        return torch.cat([self._in_little_memory(*chunk) for chunk in chunks])

    def _nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self._finish(linear(hidden, self.weight, self.bias))
        return cross_entropy(logits, targets, reduction="none")

    def _in_little_memory(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the same; its logits are made anew in the backward pass."""
        nll: Tensor = checkpoint(self._nll, hidden, targets, use_reentrant=False)
        return nll


@torch.no_grad()
def check_packing(trainee: Any, precision: str, device: torch.device, title: str) -> None:
    """Refuse a model in which an item of a packed row sees the items before it.

    Parameters
    ----------
    trainee : Trainee
        Prepared or not.
    precision : {'float32', 'bfloat16'}
        Of its forward pass.
    title : str
        What an error calls the training.

    Raises
    ------
    TrainingError
        If the loss of two items is not the same apart and in one row; names the model's type.
    """
    trainee.eval()
    ids = [3 + np.arange(n, dtype=np.int32) for n in TRIAL]
    items = [Item(tokens, np.arange(len(tokens)) > 0) for tokens in ids]
    apart, packed = (_sums(trainee, items, most, device) for most in (None, sum(TRIAL) // 2))
    trainee.train()
    if not torch.allclose(apart, packed, rtol=SEEN[precision], atol=0, equal_nan=True):
        raise TrainingError(
            f"{title}: models of type {trainee.kind!r} cannot be trained on packed "
            "rows: an item sees those before it; leave out training.expert.pack"
        )


def _sums(trainee: Any, items: list[Item], pack_to: int | None, device: torch.device) -> Tensor:
    """Return the summed loss of each item."""
    (batch,) = micro_batches(items, pack_to=pack_to, micro_batch_rows=None)
    moved = batch.to(device)
    total = torch.zeros(len(items), dtype=torch.float64, device=device)
    return total.index_add_(0, moved.items, trainee(moved).double())
