"""Blocks shifted around a circle, and the search for those that balance pairs."""

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

TRIES, STEPS = 12, 400
"""Random beginnings of a search, and exchanges tried from each."""

LONGEST = 100_000
"""A search has fewer beginnings where it would compare more points than so many."""


def develop(blocks: Iterable[Sequence[int]], modulus: int) -> Iterator[frozenset[int]]:
    """Yield all shifts of each block modulo `modulus`, each once; point `modulus` stays put."""
    for block in blocks:
        shifts = (
            frozenset(p if p == modulus else (p + s) % modulus for p in block)
            for s in range(modulus)
        )
        yield from dict.fromkeys(shifts)


def differences(blocks: Iterable[Sequence[int]], modulus: int) -> list[int]:
    """Return how often each difference 0, 1, ... occurs between two points of one block.

    The pair {x, x + d} is in so many of the shifted blocks.
    """
    counts = [0] * modulus
    for block in blocks:
        for a in block:
            for b in block:
                counts[(a - b) % modulus] += a != b
    return counts


@lru_cache(maxsize=256)
def starters(m: int, k: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Return base blocks whose shifts modulo m have every pair as nearly equally often as found.

    Every point is in k of each block's m shifts. Of pairs the squared counts of the differences
    are made small by exchanging one point of one block at a time (a descent that takes what is not
    worse, from several random beginnings; always the same blocks). 0 spread: a cyclic difference
    family, whose shifts are a 2-design (Colbourn & Dinitz, Handbook, 2007, II.18).
    """
    draw = random.Random(f"{m}/{k}/{count}")
    target = count * k * (k - 1) / (m - 1)
    tries = min(TRIES, max(1, LONGEST // (STEPS * (2 * k + m))))
    found = [_descent(m, k, count, target, draw) for _ in range(tries)]
    return min(found)[1]


def _descent(
    m: int, k: int, count: int, target: float, draw: random.Random
) -> tuple[float, tuple[tuple[int, ...], ...]]:
    """Return the spread of the differences that exchanges come down to, and the blocks."""
    blocks = [draw.sample(range(m), k) for _ in range(count)]
    counts = differences(blocks, m)
    spread = _spread(counts, target)
    for _ in range(STEPS):
        which, place, new = draw.randrange(count), draw.randrange(k), draw.randrange(m)
        if new in blocks[which]:
            continue
        changed = _exchanged(counts, blocks[which], place, new)
        if (after := _spread(changed, target)) <= spread:
            blocks[which][place], counts, spread = new, changed, after
    return spread, tuple(sorted(tuple(sorted(block)) for block in blocks))


def _exchanged(counts: list[int], block: list[int], place: int, new: int) -> list[int]:
    """Return the counts of differences after the point at a place of a block is another."""
    m, old = len(counts), block[place]
    changed = counts.copy()
    for i, other in enumerate(block):
        if i != place:
            for point, step in ((old, -1), (new, 1)):
                changed[(point - other) % m] += step
                changed[(other - point) % m] += step
    return changed


def _spread(counts: list[int], target: float) -> float:
    return sum((count - target) ** 2 for count in counts[1:])
