"""Merges in memory: one subset of a pool after the other, written to one flat vector."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mergelaw.config.methods import Scaled
from mergelaw.costs.memory import Holding
from mergelaw.merging.combinations import weights_of
from mergelaw.merging.methods import Recipe, merged_delta
from mergelaw.merging.operators import mean
from mergelaw.merging.pool import BLOCK, Place, Pool, Segment, Sparsified, blocks, whole
from mergelaw.merging.task_vectors import TaskVectors


class Merger(Protocol):
    """Writes merges."""

    def merge_into(self, out: Tensor, experts: Sequence[str]) -> None:
        """Write the merge of some experts, rounded once to the type of `out`.

        Parameters
        ----------
        out : tensor, shape (n_params,)
            Overwritten; tensors in the order of their names.
        experts : sequence of str
            In the order of summation; the base without any.
        """


@dataclass(frozen=True)
class ExactMerger:
    """Merges that are each summed anew: the bits that the merge engine writes to disk.

    Attributes
    ----------
    pool : Pool
        Gives psi(v) of each expert.
    parts : tuple of Segment
        What is merged in one go.
    steps : Recipe
        The method.
    accumulate : torch.dtype
        Type of the sum over experts.
    """

    pool: Pool
    parts: tuple[Segment, ...]
    steps: Recipe
    accumulate: torch.dtype

    def merge_into(self, out: Tensor, experts: Sequence[str]) -> None:
        """Write the merge of some experts."""
        join = self.steps.planned(self.pool, experts)
        for block in self._blocks(self.parts):
            base, rows = self.pool.read(block, experts)
            delta = merged_delta(base, rows, join, block, self.accumulate)
            out[block.flat] = delta.add_(base)

    def combine_into(
        self,
        out: Tensor,
        experts: Sequence[str],
        weights: Sequence[float] | Mapping[str, Sequence[float]],
    ) -> None:
        """Write the base plus a weighted sum of psi(v), rounded once to the type of `out`.

        These are the bits of Task Arithmetic with these weights, `normalize: false` and scale 1.

        Parameters
        ----------
        out : tensor, shape (n_params,)
            Overwritten.
        experts : sequence of str
            In the order of summation; at least one.
        weights : sequence of float, or mapping of str to sequence of float
            One for each expert; by tensor, where they differ from tensor to tensor.
        """
        by_tensor = isinstance(weights, Mapping)
        for block in self._blocks(self.pool.segments if by_tensor else self.parts):
            chosen = weights[block.tensor] if isinstance(weights, Mapping) else weights
            base, rows = self.pool.read(block, experts)
            typed = (row.to(self.accumulate) for row in rows)
            out[block.flat] = mean(typed, chosen, 1.0, normalize=False).float().add_(base)

    def _blocks(self, parts: Sequence[Segment]) -> Iterator[Place]:
        most = BLOCK * torch.get_num_threads()  # a thread has a block
        for part in parts:
            yield from blocks(whole(part), self.steps.whole_rows, most)


class RunningMerger:
    """Weighted means that are updated by the experts that change from one merge to the next.

    The running sum is float32 and starts from zero, and again wherever summing anew takes no more
    rows. A merge then depends, in its last bits, on those before it since the last start.

    Parameters
    ----------
    exact : ExactMerger
        Whose combination is a weighted mean.
    mean : Scaled
        Its parameters.
    """

    def __init__(self, exact: ExactMerger, mean: Scaled) -> None:
        self._exact, self._mean = exact, mean
        self._sum = torch.zeros(exact.pool.segments[-1].span.stop)
        self._experts: tuple[str, ...] = ()

    def merge_into(self, out: Tensor, experts: Sequence[str]) -> None:
        """Write the merge of some experts."""
        gone = [name for name in self._experts if name not in experts]
        new = [name for name in experts if name not in self._experts]
        anew = len(gone) + len(new) >= len(experts)
        if anew:
            gone, new = [], list(experts)
        names = [*gone, *new]
        weights = weights_of(self._mean, names)
        signed = [-weight for weight in weights[: len(gone)]] + weights[len(gone) :]
        factor = self._factor(experts)
        most = BLOCK * torch.get_num_threads()
        for part in self._exact.parts:
            for block in blocks(whole(part), self._exact.steps.whole_rows, most):
                base, rows = self._exact.pool.read(block, names)
                total = self._sum[block.flat]
                if anew:
                    total.zero_()
                for row, weight in zip(rows, signed, strict=True):
                    total.add_(row, alpha=weight)
                out[block.flat] = (total * factor).add_(base)
        self._experts = tuple(experts)

    def _factor(self, experts: Sequence[str]) -> float:
        """Return what the weighted sum is multiplied by."""
        if not experts or not self._mean.normalize:
            return self._mean.scale
        return self._mean.scale / sum(weights_of(self._mean, experts))


def hold(
    pool: Pool,
    experts: Sequence[str],
    steps: Recipe,
    accumulate: torch.dtype,
    holding: Holding,
) -> ExactMerger:
    """Return what merges a pool with one method.

    Parameters
    ----------
    pool : Pool
        Base and task vectors, held as stored or on disk.
    experts : sequence of str
        Those that occur in the merges.
    steps : Recipe
        The method, whose facts of whole tensors are gathered here.
    accumulate : torch.dtype
        Type of the sum over experts.
    holding : Holding
        With "float32", psi(v) is read into memory; else the pool is read for every merge.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or has an entry that is not finite where all are read here.
    """
    if holding == "float32":
        vectors = TaskVectors.of(pool, experts)
        vectors.sparsify(steps)
        parts = vectors.segments if steps.by_tensor else (vectors.flat,)
        return ExactMerger(vectors, parts, steps, accumulate)
    psi = {expert: steps.sparsify(pool, expert) for expert in experts}
    return ExactMerger(Sparsified(pool, psi), pool.segments, steps, accumulate)
