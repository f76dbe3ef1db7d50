"""Base and task vectors of a pool, read block by block in float32: from disk, or held in memory."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from mergelaw.design import BASE
from mergelaw.errors import CheckpointError

BLOCK = 2**16
"""Entries in work at a time: a row of them, in float32, fits the processor's cache many times."""

SPAN = 2**22
"""Entries of one tensor that a worker takes at a time; the unit of resuming."""


@dataclass(frozen=True)
class Segment:
    """One tensor's place in a flat vector of all tensors, sorted by name."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        """The tensor's entries in the flat vector."""
        return slice(self.start, self.start + self.n)

    @property
    def row(self) -> int:
        """Entries of a row: the last dimension; a vector is one row."""
        return max(1, self.shape[-1]) if self.shape else 1


@dataclass(frozen=True)
class Place:
    """Entries [start, stop) of one tensor."""

    segment: Segment
    start: int
    stop: int

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        return self.segment.name

    @property
    def n(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    @property
    def flat(self) -> slice:
        """The entries in the flat vector of all tensors."""
        return slice(self.segment.start + self.start, self.segment.start + self.stop)

    def cut(self, length: int) -> Iterator["Place"]:
        """Yield consecutive places of at most `length` entries."""
        for start in range(self.start, self.stop, length):
            yield Place(self.segment, start, min(start + length, self.stop))


def segments(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Segment, ...]:
    """Return the segments of named tensors, sorted by name."""
    start, found = 0, []
    for name in sorted(shapes):
        found.append(Segment(name, start, tuple(shapes[name])))
        start = found[-1].span.stop
    return tuple(found)


def spans(parts: Sequence[Segment], whole_rows: bool = False) -> list[Place]:
    """Return all entries of tensors as spans, in order."""
    return [place for part in parts for place in whole(part).cut(_length(part, SPAN, whole_rows))]


def blocks(place: Place, whole_rows: bool = False, most: int = BLOCK) -> Iterator[Place]:
    """Yield the blocks of a span, of at most `most` entries or one row."""
    yield from place.cut(_length(place.segment, most, whole_rows))


def whole(segment: Segment) -> Place:
    """Return the place of all of a tensor's entries."""
    return Place(segment, 0, segment.n)


def _length(segment: Segment, most: int, whole_rows: bool) -> int:
    return max(1, most // segment.row) * segment.row if whole_rows else most


class Pool(Protocol):
    """Base and task vectors, wherever they lie."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All tensors, sorted by name."""

    @property
    def n_workers(self) -> int:
        """Processes that passes over the pool are shared between."""

    def read(self, place: Place, experts: Sequence[str]) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the base and, one by one, the experts' task vectors at a place, of shape (n,).

        They are float32, and not to be changed. A task vector is formed when it is drawn: who
        needs only one at a time keeps it in the processor's cache.
        """

    def origin(self, expert: str, tensor: str) -> str:
        """Return where a tensor of an expert, or of `base`, comes from, for messages."""


class NotFiniteError(CheckpointError):
    """A tensor has a NaN or infinite entry."""

    def __init__(self, tensor: str) -> None:
        super().__init__(tensor)
        self.tensor = tensor


def not_finite(pool: Pool, experts: Sequence[str], tensor: str) -> CheckpointError | None:
    """Return the error that says in whose tensor a NaN or infinite entry is, if one is."""
    [part] = [part for part in pool.segments if part.name == tensor]
    for block in blocks(whole(part)):
        base, rows = pool.read(block, experts)
        for expert, row in zip((BASE, *experts), [base, *rows], strict=True):
            if not row.isfinite().all():
                return not_finite_error(pool.origin(expert, tensor), tensor)
    return None


def not_finite_error(origin: str, tensor: str) -> CheckpointError:
    """Return the error that says whose tensor has a NaN or infinite entry."""
    return CheckpointError(
        f"{origin}: {tensor} has a NaN or infinite entry; train or download it again"
    )


@dataclass(frozen=True)
class Sparsified:
    """A pool whose task vectors have gone through a recipe's psi."""

    pool: Pool
    psi: Mapping[str, Callable[[Tensor, Place], Tensor]]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All tensors, sorted by name."""
        return self.pool.segments

    @property
    def n_workers(self) -> int:
        """Processes that passes over the pool are shared between."""
        return self.pool.n_workers

    def read(self, place: Place, experts: Sequence[str]) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the base and, one by one, psi of the task vectors at a place, shape (n,)."""
        base, deltas = self.pool.read(place, experts)
        pairs = zip(experts, deltas, strict=True)
        return base, (self.psi[expert](delta, place) for expert, delta in pairs)

    def origin(self, expert: str, tensor: str) -> str:
        """Return where a tensor of an expert, or of `base`, comes from, for messages."""
        return self.pool.origin(expert, tensor)
