"""A loss of many rows, made chunk by chunk, forward and in one or two passes backward.

Nothing of a chunk is kept: its graph is built again where it is differentiated. Memory is that of
one chunk; the price is one more forward pass of it in each pass backward.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

ChunkLoss = Callable[..., Tensor]
"""Loss of each row from hidden states, targets and weights; plain, differentiable operations."""


class Chunked(torch.autograd.Function):
    """Losses of rows: `apply(loss, rows, targets, hidden, *weights)`, shape (n,).

    `rows` is the length of a chunk, `hidden` of shape (n, width).
    """

    @staticmethod
    def forward(
        ctx: Any, loss: ChunkLoss, rows: int, targets: Tensor, hidden: Tensor, *weights: Tensor
    ) -> Tensor:
        """Return the losses."""
        ctx.loss, ctx.rows = loss, rows
        ctx.save_for_backward(targets, hidden, *weights)
        parts = _split(rows, hidden, targets)
        return torch.cat([loss(part, wanted, *weights) for part, wanted in parts])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of hidden states and weights; they can be differentiated."""
        targets, hidden, *weights = ctx.saved_tensors
        apply: Any = ChunkedGradient.apply
        return None, None, None, *apply(ctx.loss, ctx.rows, targets, *upstream, hidden, *weights)


class ChunkedGradient(torch.autograd.Function):
    """The gradient of `Chunked`: `apply(loss, rows, targets, upstream, hidden, *weights)`."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: ChunkLoss,
        rows: int,
        targets: Tensor,
        upstream: Tensor,
        hidden: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the gradients of hidden states and of each weight."""
        ctx.loss, ctx.rows = loss, rows
        ctx.save_for_backward(targets, upstream, hidden, *weights)
        totals = [torch.zeros_like(weight) for weight in weights]
        parts = []
        for wanted, up, part in _split(rows, targets, upstream, hidden):
            with torch.enable_grad():
                inputs = _leaves([part, *weights])
                nll = loss(inputs[0], wanted, *inputs[1:])
            of_part, *of_weights = torch.autograd.grad(nll, inputs, up)
            parts.append(of_part)
            for total, found in zip(totals, of_weights, strict=True):
                total += found
        return torch.cat(parts), *totals

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives by upstream, hidden states and weights; no further ones exist."""
        targets, scale, hidden, *weights = ctx.saved_tensors
        of_hidden, *of_weights = upstream
        totals = [torch.zeros_like(weight) for weight in weights]
        scales, parts = [], []
        with torch.enable_grad():
            for wanted, up, part, along in _split(ctx.rows, targets, scale, hidden, of_hidden):
                inputs = _leaves([up, part, *weights])
                nll = ctx.loss(inputs[1], wanted, *inputs[2:])
                first = torch.autograd.grad(nll, inputs[1:], inputs[0], create_graph=True)
                by_scale, by_part, *by_weights = torch.autograd.grad(
                    first, inputs, [along, *of_weights], materialize_grads=True
                )
                scales.append(by_scale)
                parts.append(by_part)
                for total, found in zip(totals, by_weights, strict=True):
                    total += found.detach()
        return None, None, None, torch.cat(scales), torch.cat(parts), *totals


def _split(rows: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]
