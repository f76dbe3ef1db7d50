"""Checkpoints merged span by span: read, combined and written in memory that does not grow."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mergelaw.config.methods import Method
from mergelaw.errors import CheckpointError
from mergelaw.merging.combinations import Join
from mergelaw.merging.methods import Recipe, merged_delta, recipe
from mergelaw.merging.pool import Place, Pool, Sparsified, blocks, not_finite, spans
from mergelaw.merging.sparsifiers import Psi
from mergelaw.merging.statistics import BlockSums, Sums, add, square
from mergelaw.merging.workers import parallel

Write = Callable[[str, int, Tensor], None]
"""Takes a tensor's name, the first entry, and the merged entries."""


@dataclass(frozen=True)
class Merge:
    """A merge that is planned: thresholds, angles and signs of whole tensors are known.

    Attributes
    ----------
    pool : Pool
        Base and task vectors.
    experts : tuple of str
        In the order of summation.
    steps : Recipe
        The method.
    psi : mapping of str to callable
        What is done to each expert's task vector.
    join : callable
        How they are combined.
    dtypes : mapping of str to torch.dtype
        Type of each merged tensor.
    accumulate : torch.dtype
        Type of the sum over experts.
    statistics : bool
        Whether statistics beyond rounding and density are gathered.
    """

    pool: Pool
    experts: tuple[str, ...]
    steps: Recipe
    psi: Mapping[str, Psi]
    join: Join
    dtypes: Mapping[str, torch.dtype]
    accumulate: torch.dtype
    statistics: bool

    @classmethod
    def plan(
        cls,
        pool: Pool,
        experts: Iterable[str],
        method: Method,
        seed: str,
        dtypes: Mapping[str, torch.dtype],
        accumulate: torch.dtype = torch.float32,
        statistics: bool = False,
    ) -> "Merge":
        """Make the passes over the pool that the method needs before anything is merged.

        Parameters
        ----------
        seed : str
            Names the random numbers; see `mergelaw.merging.methods.recipe`.

        Raises
        ------
        CheckpointError
            If a checkpoint cannot be read, or has an entry that is not finite.
        """
        steps, chosen = recipe(method, seed), tuple(sorted(experts))
        psi = {expert: steps.sparsify(pool, expert) for expert in chosen}
        join = steps.planned(Sparsified(pool, psi), chosen)
        return cls(pool, chosen, steps, psi, join, dtypes, accumulate, statistics)

    def spans(self) -> list[Place]:
        """Return all spans of all tensors, in order."""
        return spans(self.pool.segments, self.steps.whole_rows)

    def run(
        self, todo: Sequence[Place], write: Write | None
    ) -> Generator[tuple[Place, Sums], None, None]:
        """Merge spans on worker processes; yield each with its sums when it is written.

        Parameters
        ----------
        todo : sequence of Place
            Spans.
        write : callable, optional
            Called in the workers; without it, nothing is written.

        Raises
        ------
        CheckpointError
            If a checkpoint cannot be read, has an entry that is not finite, or the merged one does
            not fit its type.
        OSError
            If it cannot be written.
        """
        yield from parallel(partial(self._spans, write), todo, self.pool.n_workers)

    def _spans(self, write: Write | None, todo: Iterable[Place]) -> Iterator[tuple[Place, Sums]]:
        held = torch.empty(0)
        for span in todo:
            if held.numel() < span.n or held.dtype != self.dtypes[span.tensor]:
                held = torch.empty(span.n, dtype=self.dtypes[span.tensor])
            out, sums = held[: span.n], Sums()
            for block in blocks(span, self.steps.whole_rows):
                part = out[block.start - span.start : block.stop - span.start]
                add(sums, self._block(block, part))
            if write is not None:
                write(span.tensor, span.start, out)
            yield span, sums

    def _block(self, block: Place, out: Tensor) -> Sums:
        """Merge one block into `out`; return its sums."""
        sums = BlockSums(counted=self.steps.sparse, full=self.statistics)
        base, deltas = self.pool.read(block, self.experts)
        pairs = zip(self.experts, deltas, strict=True)
        rows = (sums.seen(delta, self.psi[expert](delta, block)) for expert, delta in pairs)
        delta = merged_delta(base, rows, self.join, block, self.accumulate)
        found = sums.of_merged(delta)
        merged = delta.add_(base)
        out.copy_(merged)
        lost = torch.sub(out, merged)
        found["rounding"] = square(lost)
        return self._checked(block, found, out)

    def _checked(self, block: Place, sums: Sums, out: Tensor) -> Sums:
        """Return the sums of a block; one that is not finite tells of an entry that is not."""
        if not math.isfinite(sums["rounding"] + sums["merged"]):
            error = not_finite(self.pool, self.experts, block.tensor)
            if error is not None:
                raise error
            if not out.isfinite().all():
                raise CheckpointError(
                    f"{block.tensor}: a merged entry is too large for {out.dtype}; "
                    "choose another output type"
                )
        return sums
