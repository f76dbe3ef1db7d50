"""Which k a budget of merges goes to, and how many subsets each gets."""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from mergelaw.design.families import Block, Blocks, Known, smallest
from mergelaw.design.orbits import develop, starters

EXACT_UP_TO = 4
"""A 2-design is taken where it has at most so many subsets per expert; else a near-balanced one."""

INEXACT = 0.25
"""What a near-balanced family, whose mean errs more, counts for against a 2-design."""

FEWEST_K = 3
"""The law has three parameters: it needs as many k."""


class Family(NamedTuple):
    """Subsets of k of the pool's positions that are measured together.

    Attributes
    ----------
    k : int
    name : str
        Of the construction.
    blocks : tuple of frozenset of int
    is_exact : bool
        Every pair of experts is equally often in one of them (and every expert).
    """

    k: int
    name: str
    blocks: Blocks
    is_exact: bool


@lru_cache(maxsize=512)
def family(m: int, k: int) -> Family:
    """Return the subsets of k that a budget buys together: a 2-design, or a near-balanced family.

    Near-balanced are the m shifts around a circle of one block (two where a pair meets less than
    once): every expert is in equally many, and pairs are in numbers as near as a search has them.
    """
    known = _affordable(m, k)
    if known:
        return Family(k, known.family, known.blocks, True)
    few = min(k, m - k)
    blocks = tuple(develop(starters(m, few, _n_circles(m, k)), m))
    if few != k:
        blocks = tuple(frozenset(range(m)) - block for block in blocks)
    return Family(k, "shifts around a circle", blocks, is_two_design(m, blocks))


def _affordable(m: int, k: int) -> Known | None:
    known = smallest(m, k)
    small = known and (len(known.blocks) <= EXACT_UP_TO * m or math.comb(m, k) <= m)
    return known if small else None


def _n_circles(m: int, k: int) -> int:
    few = min(k, m - k)
    return 1 if few * (few - 1) >= m - 1 else 2


@lru_cache(maxsize=32)
def order_of_k(m: int) -> tuple[int, ...]:
    """Return all k in the order in which a budget buys them: it depends on the pool alone.

    The ends come first: 1 (the experts themselves) and m (the whole pool, one merge). Then always
    the k with the largest distance to those before it, in log k, per merge that its family costs
    (a near-balanced family counts a quarter): spread out, and cheap where exact designs are. For a
    pool of 9: 1, 9, 3, 6, 4, 8, 2, 5, 7.
    """
    chosen, rest = [1, m], list(range(2, m))
    values = {k: _value(m, k) for k in rest}
    while rest:
        gains = {k: values[k] * min(abs(math.log(k / c)) for c in chosen) for k in rest}
        best = max(rest, key=lambda k: (gains[k], -k))
        chosen.append(best)
        rest.remove(best)
    return tuple(chosen)


def merges_for(m: int, n_k: int) -> int:
    """Return the merges that one family at each of the first `n_k` k costs."""
    return sum(len(family(m, k).blocks) for k in order_of_k(m)[:n_k])


def _value(m: int, k: int) -> float:
    """Return what a merge of k counts for: one over their number, less where inexact."""
    known = _affordable(m, k)
    return 1 / len(known.blocks) if known else INEXACT / (m * _n_circles(m, k))


def is_two_design(m: int, blocks: Sequence[Block]) -> bool:
    """Tell whether every pair of m points is in equally many of the blocks, and every point."""
    singles, pairs = together(m, blocks)
    return len(set(singles)) == 1 and len(set(pairs)) <= 1


def together(m: int, blocks: Sequence[Block]) -> tuple[list[int], list[int]]:
    """Return in how many blocks each of m points is, and each pair of them."""
    at = [0] * m  # bit b of at[i]: point i is in block b
    for number, block in enumerate(blocks):
        for point in block:
            at[point] |= 1 << number
    pairs = [(a & b).bit_count() for a, b in itertools.combinations(at, 2)]
    return [bits.bit_count() for bits in at], pairs


def spread_out(m: int, blocks: Blocks) -> Iterator[Block]:
    """Yield the blocks so that the first ones alone have every point about equally often.

    Each next one has the points that were in the fewest so far; of several the first.
    """
    left, seen = list(blocks), [0] * m
    while left:
        best = min(left, key=lambda block: sum(2 * seen[p] + 1 for p in block))
        left.remove(best)
        for point in best:
            seen[point] += 1
        yield best
