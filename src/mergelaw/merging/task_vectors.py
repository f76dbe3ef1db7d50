"""Base and task vectors of a pool, held in memory as flat float32 vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mergelaw.checkpoints.hub import Ref
from mergelaw.checkpoints.reading import BlockReader
from mergelaw.design import BASE
from mergelaw.merging.copies import verify_copies
from mergelaw.merging.methods import Recipe, merged_delta
from mergelaw.merging.pool import (
    Place,
    Pool,
    Segment,
    StreamedPool,
    blocks,
    not_finite,
    segments,
    whole,
)
from mergelaw.preflight.findings import Lineage
from mergelaw.preflight.report import preflight


@dataclass(frozen=True)
class TaskVectors:
    """Base weights and, for every expert, expert minus base.

    Attributes
    ----------
    segments : tuple of Segment
        Tensors in order of their names.
    base : float32 tensor, shape (n_params,)
    deltas : mapping of str to float32 tensor, shape (n_params,)
        Task vectors by expert.
    """

    segments: tuple[Segment, ...]
    base: Tensor
    deltas: Mapping[str, Tensor]
    n_workers: int = 1

    @classmethod
    def load(
        cls, base: Ref, experts: Mapping[str, Ref], lineage: Lineage = "strict"
    ) -> "TaskVectors":
        """Read a base and its experts.

        Raises
        ------
        CheckpointError
            If an expert does not match the base (all problems are listed), or holds a number that
            is not finite.
        """
        checked = preflight(base, experts, lineage=lineage)
        checked.raise_problems()
        parts = segments({name: checked.base.shapes[name] for name in checked.tensors})
        with BlockReader() as reader:
            verify_copies(checked, reader)
            pool = StreamedPool(checked.base, checked.experts, parts, reader, n_workers=1)
            return cls.of(pool, list(experts))

    @classmethod
    def of(cls, pool: Pool, experts: Sequence[str]) -> "TaskVectors":
        """Read all of a pool into memory."""
        n = pool.segments[-1].span.stop if pool.segments else 0
        flat = {name: torch.empty(n) for name in (BASE, *experts)}
        for part in pool.segments:
            for block in blocks(whole(part)):
                base, rows = pool.read(block, experts)
                for name, row in zip(flat, [base, *rows], strict=True):
                    flat[name][block.flat] = row
        for part in pool.segments:
            if not all(vector[part.span].sum().isfinite() for vector in flat.values()):
                error = not_finite(pool, experts, part.name)
                if error is not None:
                    raise error
        return cls(pool.segments, flat.pop(BASE), flat)

    def read(self, place: Place, experts: Sequence[str]) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the base and, one by one, the experts' task vectors at a place, shape (n,)."""
        return self.base[place.flat], (self.deltas[expert][place.flat] for expert in experts)

    def origin(self, expert: str, tensor: str) -> str:
        """Return whose a tensor is, for messages."""
        return "the base" if expert == BASE else f"expert {expert!r}"

    def sparsified(self, steps: Recipe) -> "TaskVectors":
        """Return the task vectors after a recipe's psi."""
        if not steps.sparse:
            return self
        updates = {expert: torch.empty_like(self.base) for expert in self.deltas}
        for expert, update in updates.items():
            psi = steps.sparsify(self, expert)
            for part in self.segments:
                for block in blocks(whole(part), steps.whole_rows):
                    update[block.flat] = psi(self.deltas[expert][block.flat], block)
        return replace(self, deltas=updates)

    def merge_into(
        self, out: Tensor, experts: Sequence[str], steps: Recipe, accumulate: torch.dtype
    ) -> None:
        """Write the merge of some experts to `out`, rounded once to its type.

        Parameters
        ----------
        out : tensor, shape (n_params,)
            Overwritten.
        experts : sequence of str
            In the order of summation; the base without any.
        steps : Recipe
            The recipe whose psi the task vectors have gone through.
        accumulate : torch.dtype
            Type of the sum over experts.
        """
        join = steps.planned(self, experts)
        parts = self.segments if steps.by_tensor else (Segment("", 0, tuple(self.base.shape)),)
        for part in parts:
            for block in blocks(whole(part)):
                base, rows = self.read(block, experts)
                delta = merged_delta(base, rows, join, block, accumulate)
                out[block.flat] = base + delta
