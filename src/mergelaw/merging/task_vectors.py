"""Base and task vectors of a pool, held in memory as flat float32 vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mergelaw.checkpoints.reading import BlockReader
from mergelaw.design import BASE
from mergelaw.hub import Ref
from mergelaw.merging.copies import verify_copies
from mergelaw.merging.disk_pool import pool_of
from mergelaw.merging.methods import Recipe
from mergelaw.merging.pool import Place, Pool, Segment, blocks, not_finite, whole
from mergelaw.preflight.findings import Lineage
from mergelaw.preflight.report import preflight

LARGE = 2**24
"""Entries of a model from which passes over it repay the start of processes."""


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
    n_workers : int
        Processes that passes over the pool are shared between.
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
        with BlockReader() as reader:
            verify_copies(checked, reader)
            return cls.of(pool_of(checked, reader), list(experts))

    @classmethod
    def of(cls, pool: Pool, experts: Sequence[str]) -> "TaskVectors":
        """Read all of a pool into memory."""
        n = pool.segments[-1].span.stop if pool.segments else 0
        n_workers = pool.n_workers if n >= LARGE else 1
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
        return cls(pool.segments, flat.pop(BASE), flat, n_workers)

    def read(self, place: Place, experts: Sequence[str]) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the base and, one by one, the experts' task vectors at a place, shape (n,)."""
        return self.base[place.flat], (self.deltas[expert][place.flat] for expert in experts)

    def origin(self, expert: str, tensor: str) -> str:
        """Return whose a tensor is, for messages."""
        return "the base" if expert == BASE else f"expert {expert!r}"

    def sparsify(self, steps: Recipe) -> None:
        """Put the task vectors through a recipe's psi, in place."""
        for expert, delta in self.deltas.items() if steps.sparse else ():
            psi = steps.sparsify(self, expert)
            for part in self.segments:
                for block in blocks(whole(part), steps.whole_rows):
                    delta[block.flat] = psi(delta[block.flat], block)

    @property
    def flat(self) -> Segment:
        """All tensors as one, which small models are merged faster as."""
        return Segment("", 0, tuple(self.base.shape))
