"""Which subsets of k to measure next: a balanced design, or those whose pairs were seen least."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb

from mergelaw.design import Subset, two_design
from mergelaw.design.subset import subset_of

MOST_LISTED = 20_000
"""Subsets of one k that are looked at, all or this many drawn at random."""


class BatchSize:
    """How many subsets of a k to measure at once: a whole balanced design, or at most so many."""

    def __init__(self, pool: int, most: int) -> None:
        self.pool, self.most = pool, most

    def __call__(self, k: int, left: int) -> int:
        """Return the number at k with so many subsets left.

        A first batch is the least 2-design, where one of at most twice `most` is known.
        """
        if left < comb(self.pool, k):
            return min(left, self.most)
        design = two_design([str(i) for i in range(self.pool)], k)
        if design is not None and len(design) <= 2 * self.most:
            return len(design)
        return min(left, self.most)


def next_subsets(
    pool: Sequence[str], k: int, n_new: int, done: Sequence[Subset], seed: int = 0
) -> tuple[Subset, ...]:
    """Return subsets of k to measure next, none of those done.

    Nothing done at k: a 2-design of that many subsets on the pool in an order drawn by the seed, if
    one is known. Else one after the other the subset whose pairs, then experts, were seen least.
    """
    names = sorted(pool)
    if not done:
        order = random.Random(f"{seed}/next/{k}").sample(names, len(names))
        design = two_design(order, k)
        if design is not None and len(design) == n_new:
            return tuple(design)
    taken = set(done)
    free = [subset for subset in _listed(names, k, seed) if subset not in taken]
    return tuple(_least_seen(free, done, n_new))


def _listed(names: Sequence[str], k: int, seed: int) -> list[Subset]:
    if comb(len(names), k) <= MOST_LISTED:
        return [Subset(experts) for experts in combinations(names, k)]
    draw = random.Random(f"{seed}/next/{k}/listed")
    return list(dict.fromkeys(subset_of(draw.sample(names, k)) for _ in range(MOST_LISTED)))


def _least_seen(free: list[Subset], done: Sequence[Subset], n_new: int) -> Iterator[Subset]:
    pairs = Counter(pair for subset in done for pair in combinations(subset.experts, 2))
    experts = Counter(name for subset in done for name in subset.experts)

    def seen(subset: Subset) -> tuple[int, int]:
        """Return how much the squares of the counts of pairs, and of experts, would grow."""
        of_pairs = sum(2 * pairs[pair] + 1 for pair in combinations(subset.experts, 2))
        return of_pairs, sum(2 * experts[name] + 1 for name in subset.experts)

    for _ in range(min(n_new, len(free))):
        best = min(free, key=seen)
        free.remove(best)
        pairs.update(combinations(best.experts, 2))
        experts.update(best.experts)
        yield best
