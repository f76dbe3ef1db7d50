"""The largest entries of tensors that are never held whole: exact counts in streaming passes.

Magnitudes are non-negative floats, whose bit patterns rise with their value. Small groups of
tensors are selected from by a worker on its own. For large ones, a sample brackets the pattern at
the asked rank; one pass counts what lies above the bracket and how often each pattern within it
occurs. Where the sample misled, or the bracket is wide, further passes narrow it.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergelaw.merging.pool import NotFiniteError, Place, Segment, blocks, spans
from mergelaw.merging.workers import parallel

Magnitudes = Callable[[Place], Tensor]
"""Non-negative float32 entries at a place, shape (n,)."""
Group = tuple[Segment, ...]
"""Tensors that share a threshold, in order."""

HELD = 2**23
"""Entries of a group whose patterns a worker holds."""
SAMPLE, RUN = 2**18, 2**10
"""Entries of a sample, and of each of its evenly spaced runs."""
MARGIN = 8.0
"""Standard errors of a sampled rank on either side of the bracket."""
BINS = 2**20
"""Patterns, or equal ranges of them, that are counted apart at most."""
INFINITY = 0x7F800000
"""Pattern of infinity; NaNs lie above."""


@dataclass(frozen=True)
class Cut:
    """Which entries of a group are kept: those of largest magnitude.

    Attributes
    ----------
    threshold : float
        Magnitudes above it are kept.
    end : int
        Entries equal to it are kept if their flat index is below `end`.
    """

    threshold: float
    end: int

    def keep(self, delta: Tensor, place: Place) -> Tensor:
        """Return the entries at a place with those that are not kept set to 0, shape (n,)."""
        n_ties = min(max(self.end - place.flat.start, 0), place.n)
        below = float(np.nextafter(np.float32(self.threshold), np.float32(0)))
        if n_ties in (0, place.n):
            return _above(delta, below if n_ties else self.threshold)
        return torch.cat([_above(delta[:n_ties], below), _above(delta[n_ties:], self.threshold)])


EVERYTHING, NOTHING = Cut(0.0, 2**63 - 1), Cut(float("inf"), 0)


def largest(
    magnitudes: Magnitudes,
    groups: Sequence[Group],
    counts: Sequence[int],
    n_workers: int,
    ties: bool = True,
) -> list[Cut]:
    """Return, for each group, the cut that keeps exactly its `count` largest entries.

    Of equal magnitudes at the threshold, those with the smallest flat index are kept.

    Parameters
    ----------
    magnitudes : callable
        The entries at a place.
    groups : sequence of Group
        Tensors that share a cut.
    counts : sequence of int
        Entries to keep, by group.
    n_workers : int
        Processes that share the passes.
    ties : bool
        False keeps all entries that equal the threshold, so that more may be kept.

    Raises
    ------
    NotFiniteError
        If an entry is NaN or infinite.
    """
    sizes = [_n(group) for group in groups]
    cuts = {
        index: NOTHING if count <= 0 else EVERYTHING
        for index, (count, n) in enumerate(zip(counts, sizes, strict=True))
        if count <= 0 or count >= n
    }
    held = [i for i, n in enumerate(sizes) if i not in cuts and n <= HELD]
    held.sort(key=lambda i: -sizes[i])
    cuts |= dict(parallel(partial(_held, magnitudes, groups, counts, ties), held, n_workers))
    searches = {i: Search(groups[i], counts[i]) for i in range(len(groups)) if i not in cuts}
    for index, low, high in parallel(
        partial(_sampled, magnitudes, searches), list(searches), n_workers
    ):
        searches[index].open(low, high)
    _count(magnitudes, searches, n_workers)
    ends = _ends(magnitudes, searches, n_workers) if ties else {}
    for index, search in searches.items():
        cuts[index] = Cut(_value(search.low), ends.get(index, EVERYTHING.end))
    return [cuts[index] for index in range(len(groups))]


def _held(
    magnitudes: Magnitudes,
    groups: Sequence[Group],
    counts: Sequence[int],
    ties: bool,
    indices: Iterable[int],
) -> Iterator[tuple[int, Cut]]:
    """Yield (group, cut) of groups whose patterns are held at once."""
    for index in indices:
        group, start = groups[index], groups[index][0].start
        patterns = np.empty(_n(group), dtype=np.int32)
        for span in spans(group):
            for block in blocks(span):
                patterns[block.flat.start - start : block.flat.stop - start] = _patterns(
                    magnitudes(block), block
                )
        rank = len(patterns) - counts[index]
        threshold = int(np.partition(patterns, rank)[rank])
        end = EVERYTHING.end
        if ties:
            n_ties = counts[index] - int(np.count_nonzero(patterns > threshold))
            end = start + int(np.flatnonzero(patterns == threshold)[n_ties - 1]) + 1
        yield index, Cut(_value(threshold), end)


class Search:
    """The search for the pattern at a rank: a bracket, and what a pass counts of it."""

    def __init__(self, group: Group, count: int) -> None:
        self.group, self.count = group, count
        self.low, self.high, self.shift = 0, INFINITY - 1, 0
        self.above, self.bins = 0, np.zeros(0, dtype=np.int64)
        self.n_equal, self.n_kept = 0, 0  # entries equal to the threshold, and kept of them

    def open(self, low: int, high: int) -> None:
        """Start a pass over the patterns from low to high, in bins of 2^shift."""
        self.low, self.high, self.above = low, high, 0
        self.shift = max(0, (high - low).bit_length() - BINS.bit_length() + 1)
        self.bins = np.zeros(0, dtype=np.int64)

    def add(self, above: int, offsets: NDArray[np.uint32]) -> None:
        """Count a part of the group: its entries above the bracket, and the bins of those in it."""
        if not self.bins.size:
            self.bins = np.zeros(((self.high - self.low) >> self.shift) + 1, dtype=np.int64)
        self.above += above
        np.add.at(self.bins, offsets, 1)

    def close(self) -> None:
        """End a pass: narrow the bracket to the bin at the rank, or move it to where that lies."""
        reached = self.above + np.cumsum(self.bins[::-1])
        if self.above >= self.count:
            return self.open(self.high + 1, INFINITY - 1)
        if reached[-1] < self.count:
            return self.open(0, self.low - 1)
        from_top = int(np.searchsorted(reached, self.count))
        index = len(self.bins) - 1 - from_top
        self.n_equal = int(self.bins[index])
        self.n_kept = self.count - int(reached[from_top]) + self.n_equal
        low = self.low + (index << self.shift)
        return self.open(low, min(self.high, low + (1 << self.shift) - 1))

    @property
    def done(self) -> bool:
        """Whether the bracket is one pattern, and its entries are counted."""
        return self.low == self.high and self.n_equal > 0


def _sampled(
    magnitudes: Magnitudes, searches: Mapping[int, Search], indices: Iterable[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield (group, lowest pattern, highest pattern) of brackets from a sample of each group."""
    for index in indices:
        group, count = searches[index].group, searches[index].count
        sample = np.sort(
            np.concatenate([_patterns(magnitudes(run), run) for run in _runs(group)])
        ).tolist()
        share = count / _n(group)
        middle = len(sample) * (1 - share)
        margin = MARGIN * np.sqrt(share * (1 - share) * len(sample)) + 16
        low, high = int(middle - margin), int(middle + margin) + 1
        yield (
            index,
            sample[low] if low >= 0 else 0,
            sample[high] if high < len(sample) else INFINITY - 1,
        )


def _runs(group: Group) -> Iterator[Place]:
    """Yield evenly spaced runs of a group's entries."""
    n, starts = _n(group), np.cumsum([0, *(part.n for part in group)])
    for first in range(0, n, max(RUN, n * RUN // SAMPLE)):
        index = int(np.searchsorted(starts, first, side="right")) - 1
        start = first - int(starts[index])
        yield Place(group[index], start, min(start + RUN, group[index].n))


def _count(magnitudes: Magnitudes, searches: Mapping[int, Search], n_workers: int) -> None:
    """Make passes over the groups until every bracket is one pattern."""
    while todo := {index: search for index, search in searches.items() if not search.done}:
        work = _work(todo)
        left = Counter(index for index, _ in work)
        for index, above, offsets in parallel(partial(_counted, magnitudes, todo), work, n_workers):
            todo[index].add(above, offsets)
            left[index] -= 1
            if not left[index]:
                todo[index].close()  # now: a group's bins are not kept for the whole pass


def _counted(
    magnitudes: Magnitudes, searches: Mapping[int, Search], work: Iterable[tuple[int, Place]]
) -> Iterator[tuple[int, int, NDArray[np.uint32]]]:
    """Yield (group, entries above its bracket, bins of those in it) of each span."""
    for index, span in work:
        search, above, found = searches[index], 0, []
        width = np.uint32(search.high - search.low)
        for block in blocks(span):
            bits = _patterns(magnitudes(block), block)
            above += int(np.count_nonzero(bits > search.high))
            offsets = (bits - np.int32(search.low)).view(np.uint32)  # below the bracket: huge
            found.append(offsets[np.flatnonzero(offsets <= width)] >> np.uint32(search.shift))
        yield index, above, np.concatenate(found)


def _ends(magnitudes: Magnitudes, searches: Mapping[int, Search], n_workers: int) -> dict[int, int]:
    """Return, by group, the flat index behind the last tie that is kept, where not all are."""
    todo = {i: search for i, search in searches.items() if search.n_kept < search.n_equal}
    work = _work(todo)
    n_ties = dict(parallel(partial(_ties, magnitudes, todo), _numbered(work), n_workers))
    wanted = {index: search.n_kept for index, search in todo.items()}
    last = []
    for number, (index, place) in enumerate(work):
        if 0 < wanted[index] <= n_ties[number]:
            last.append((index, place, wanted[index]))
        wanted[index] -= n_ties[number]
    return dict(parallel(partial(_tie, magnitudes, todo), last, n_workers))


def _numbered(work: Sequence[tuple[int, Place]]) -> list[tuple[int, int, Place]]:
    return [(number, index, place) for number, (index, place) in enumerate(work)]


def _ties(
    magnitudes: Magnitudes, searches: Mapping[int, Search], work: Iterable[tuple[int, int, Place]]
) -> Iterator[tuple[int, int]]:
    """Yield (number of the span, entries in it that equal its group's threshold)."""
    for number, index, span in work:
        counts = (
            np.count_nonzero(_patterns(magnitudes(block), block) == searches[index].low)
            for block in blocks(span)
        )
        yield number, int(sum(counts))


def _tie(
    magnitudes: Magnitudes, searches: Mapping[int, Search], work: Iterable[tuple[int, Place, int]]
) -> Iterator[tuple[int, int]]:
    """Yield (group, flat index behind the wanted tie of a span)."""
    for index, span, wanted in work:
        for block in blocks(span):
            ties = np.flatnonzero(_patterns(magnitudes(block), block) == searches[index].low)
            if wanted <= len(ties):
                yield index, block.flat.start + int(ties[wanted - 1]) + 1
                break
            wanted -= len(ties)


def _work(searches: Mapping[int, Search]) -> list[tuple[int, Place]]:
    """Return the spans of all groups, group by group."""
    return list(
        itertools.chain.from_iterable(
            ((index, span) for span in spans(search.group)) for index, search in searches.items()
        )
    )


def _n(group: Group) -> int:
    return sum(part.n for part in group)


def _above(delta: Tensor, threshold: float) -> Tensor:
    """Set entries of magnitude up to the threshold to 0; a NaN stays."""
    return torch.nn.functional.hardshrink(delta, threshold)


def _patterns(entries: Tensor, place: Place) -> NDArray[np.int32]:
    """Return the bit patterns of the entries of a block."""
    bits: NDArray[np.int32] = entries.contiguous().view(torch.int32).numpy()
    if bits.size and bits.max() >= INFINITY:
        raise NotFiniteError(place.tensor)
    return bits


def _value(pattern: int) -> float:
    return float(np.array(pattern, dtype=np.int32).view(np.float32))
