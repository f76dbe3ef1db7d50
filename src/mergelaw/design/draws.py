"""Subsets drawn from the pool: all, at random, along permutations, along a circle."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from mergelaw.design.subset import Subset, subset_of


def exhaustive(pool: Sequence[str], ks: Sequence[int] | None = None) -> Iterator[Subset]:
    """Yield every subset of the pool.

    Without `ks` the order is binary counting, so that a new expert at the pool's end appends. With
    `ks` the subsets of the first k come first, so that a new k at the list's end appends.
    """
    if ks is None:
        for bits in range(1, 2 ** len(pool)):
            yield subset_of(name for i, name in enumerate(pool) if bits >> i & 1)
    else:
        for k in ks:
            members = itertools.combinations(range(len(pool)), k)
            for chosen in sorted(members, key=lambda indices: indices[::-1]):
                yield subset_of(pool[i] for i in chosen)


def uniform(pool: Sequence[str], ks: Sequence[int], per_k: int, seed: int) -> Iterator[Subset]:
    """Yield `per_k` subsets at each k, drawn without replacement; a larger `per_k` appends."""
    draws = [_distinct(pool, k, min(per_k, math.comb(len(pool), k)), seed) for k in ks]
    for round_ in itertools.zip_longest(*draws):
        yield from (subset for subset in round_ if subset is not None)


def _distinct(pool: Sequence[str], k: int, count: int, seed: int) -> list[Subset]:
    """Draw distinct k-subsets one after the other, so that a longer draw extends a shorter one."""
    generator = random.Random(f"{seed}/uniform/{k}")
    drawn: dict[Subset, None] = {}
    while len(drawn) < count:
        drawn[subset_of(generator.sample(list(pool), k))] = None
    return list(drawn)


def permutations(
    pool: Sequence[str], count: int, candidates: int, seed: int
) -> list[tuple[str, ...]]:
    """Draw permutations far apart: the paper's Algorithm 1.

    The first is random and the second its reverse; each further one is the candidate whose smallest
    Hamming distance to those chosen is largest (Wang et al., arXiv 2509.24244, Algorithm 1).
    """
    generator = random.Random(f"{seed}/permutations")
    first = tuple(generator.sample(list(pool), len(pool)))
    chosen = [first, first[::-1]]
    while len(chosen) < count:
        tried = [tuple(generator.sample(list(pool), len(pool))) for _ in range(candidates)]
        chosen.append(max(tried, key=lambda p: min(_hamming(p, q) for q in chosen)))
    return chosen[:count]


def prefixes(orders: Sequence[tuple[str, ...]], ks: Sequence[int]) -> Iterator[Subset]:
    """Yield the first k of each permutation, permutation by permutation."""
    for order in orders:
        yield from (subset_of(order[:k]) for k in ks)


def cyclic(order: Sequence[str], k: int) -> list[Subset]:
    """Return every run of k neighbours on the circle of an order: each expert in k of M subsets.

    One subset alone where k is all of them. Pairs are not balanced: neighbours meet often.
    """
    m = len(order)
    starts = range(m if k < m else 1)
    return [subset_of(order[(start + step) % m] for step in range(k)) for start in starts]


def _hamming(a: Sequence[str], b: Sequence[str]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))
