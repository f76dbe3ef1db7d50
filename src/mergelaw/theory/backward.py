"""Gradients and Hessian-vector products of the loss, in the weights of task vectors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mergelaw.costs.memory import available_bytes
from mergelaw.costs.theory import HELD_VECTORS
from mergelaw.evaluation.loss import Batch, scored_states
from mergelaw.evaluation.memory import Room, is_out_of_memory
from mergelaw.laws.forms import Array
from mergelaw.models.head import Head
from mergelaw.theory.attention import Attention, attending, checkpointed
from mergelaw.theory.directions import Directions
from mergelaw.theory.undifferentiable import NoRoomBackwardError

TOGETHER_TOKENS = 256
"""Padded tokens of a batch up to which products of all directions are taken in one go. Measured on
the ladder, on a CPU, against one by one: 100 tokens, 0.53 (width 32) to 0.79 (128) of the time;
300 tokens, 0.94 and 1.27."""

CHECKPOINT_SHARE = 0.5
"""Share of the free memory that activations may take before layers are made again."""


class Backward:
    """A model that is differentiated, and what its gradients are projected on.

    Parameters
    ----------
    model : transformers causal language model
        Its parameters are the directions' tensors.
    directions : Directions
    """

    def __init__(self, model: Any, directions: Directions) -> None:
        self.model, self.directions = model, directions
        named = dict(model.named_parameters())
        self._parameters = [named[part.name] for part in directions.pool.segments]
        self._head = Head.of(model)
        self._rooms = {"gradient": Room(), "curvature": Room()}

    def gradient(self, batches: Sequence[Batch]) -> tuple[float, Array]:
        """Return summed loss and gradient of some batches, shape (groups * experts,).

        Raises
        ------
        NoRoomBackwardError
            If memory runs out on an item alone.
        RuntimeError
            If the model cannot be differentiated.
        """
        longest = max(batch.input_ids.numel() for batch in batches)
        loss, total = 0.0, np.zeros((1, self.directions.n))
        with checkpointed(self.model, self._crowded(longest)):
            for nll, found in self._fitting(batches, "gradient", self._first):
                loss, total = loss + nll, total + found
        return loss, total[0]

    def curvature(
        self, batches: Sequence[Batch], attention: Attention
    ) -> tuple[float, Array, Array]:
        """Return loss, gradient and curvature of some batches, by backward passes of backward ones.

        Returns
        -------
        loss : float
        gradient : array, shape (n,)
        curvature : array, shape (n, n)
            Row i is the product with direction i.

        Raises
        ------
        NoRoomBackwardError, RuntimeError
            As `gradient`.
        """
        loss, total = 0.0, np.zeros((self.directions.n + 1, self.directions.n))
        with attending(self.model, attention):
            for nll, found in self._fitting(batches, "curvature", self._second):
                loss, total = loss + nll, total + found
        return loss, total[0], total[1:]

    def _first(self, batch: Batch) -> tuple[float, Array]:
        loss = self._loss(batch)
        grads = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        return float(loss.detach()), self.directions.dots([grad[None] for grad in grads])

    def _second(self, batch: Batch) -> tuple[float, Array]:
        loss = self._loss(batch)
        grads = torch.autograd.grad(
            loss, self._parameters, create_graph=True, materialize_grads=True
        )
        rows = [self.directions.dots([grad[None] for grad in grads])]
        small = batch.input_ids.numel() <= TOGETHER_TOKENS and self.directions.stackable
        for group in range(len(self.directions.groups.names)):
            rows += self._products(grads, group, small)
        return float(loss.detach()), np.concatenate(rows)

    def _products(self, grads: Sequence[Tensor], group: int, together: bool) -> Iterator[Array]:
        """Yield rows of curvature: of all experts in a group, or one by one."""
        own = [index for index in self.directions.segments(group) if grads[index].requires_grad]
        if not own:  # a loss that is linear in them
            yield np.zeros((len(self.directions.experts), self.directions.n))
        elif together:
            yield self._product(grads, own, self.directions.together(group, self._parameters), True)
        else:
            for expert in range(len(self.directions.experts)):
                along = self.directions.along(group, expert, self._parameters)
                yield self._product(grads, own, along, False)

    def _product(
        self, grads: Sequence[Tensor], own: Sequence[int], along: Sequence[Tensor], many: bool
    ) -> Array:
        places = self.directions.segments(self.directions.groups.of_tensor[own[0]])
        chosen = [tensor for index, tensor in zip(places, along, strict=True) if index in own]
        found = torch.autograd.grad(
            [grads[index] for index in own],
            self._parameters,
            chosen,
            retain_graph=True,
            materialize_grads=True,
            is_grads_batched=many,
        )
        return self.directions.dots([row if many else row[None] for row in found])

    def _loss(self, batch: Batch) -> Tensor:
        """Return the summed loss of a batch's scored tokens."""
        with torch.enable_grad():
            hidden, targets = scored_states(self.model, self._head, batch)
            return self._head.differentiable_nll(hidden, targets).double().sum()

    def _fitting(
        self,
        batches: Sequence[Batch],
        kind: str,
        work: Callable[[Batch], tuple[float, Array]],
    ) -> Iterator[tuple[float, Array]]:
        """Yield what is found of each batch; where memory runs out, of its halves."""
        waiting, room = list(reversed(batches)), self._rooms[kind]
        while waiting:
            batch = waiting.pop()
            items, length = batch.input_ids.shape
            if items > 1 and items * length > room.tokens:
                waiting += reversed(batch.halves())
                continue
            found = _or_none(work, batch)
            if found is not None:
                yield found
            elif items > 1:
                room.shrink(items, length)
                waiting.append(batch)
            else:
                raise NoRoomBackwardError(kind, length)

    def _crowded(self, n_tokens: int) -> bool:
        """Tell whether activations of a batch fill the memory, so that layers are made again."""
        config = self.model.config.get_text_config()
        width = n_tokens * config.hidden_size * self._parameters[0].element_size()
        needed = HELD_VECTORS * width * config.num_hidden_layers
        return bool(needed > CHECKPOINT_SHARE * free_bytes(self._parameters[0].device))


def _or_none(
    work: Callable[[Batch], tuple[float, Array]], batch: Batch
) -> tuple[float, Array] | None:
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None  # outside of `except`: the error would hold on to the pass's memory


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device: of a GPU, or what this process may still use."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()
