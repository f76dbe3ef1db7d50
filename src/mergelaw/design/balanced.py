"""Balanced designs: few subsets at a few k, every expert and every pair equally often at each."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from mergelaw.design.budget import (
    FEWEST_K,
    Family,
    family,
    is_two_design,
    order_of_k,
    spread_out,
    together,
)
from mergelaw.design.families import MOST_BLOCKS, smallest
from mergelaw.design.subset import Subset, subset_of

FEWEST_OF_A_CUT = 2
"""Subsets of a family that is cut short, at least: of one the spread cannot be told."""

RELABELLINGS = 200
"""Relabellings tried for one more design at a k that shares no subset with those before it."""

SORTED_UP_TO = 150
"""Families of more subsets keep the order of their construction."""


class Level(NamedTuple):
    """What a balanced design has at one k.

    Attributes
    ----------
    k : int
    subsets : tuple of Subset
    families : tuple of str
        Their constructions, one for each design that was added.
    is_exact : bool
        Every pair of experts is in equally many of the subsets, and so is every expert.
    experts, pairs : tuple of int
        The fewest and the most subsets that an expert, a pair of experts is in.
    cut_from : int or None
        Subsets of the whole family, where the budget ended within it.
    """

    k: int
    subsets: tuple[Subset, ...]
    families: tuple[str, ...]
    is_exact: bool
    experts: tuple[int, int]
    pairs: tuple[int, int]
    cut_from: int | None = None


Unit = tuple[Family, tuple[Subset, ...]]
"""Subsets that a budget buys together, and their construction."""


def balanced(
    pool: Sequence[str], merges: int, ks: tuple[int, ...] | None, seed: int
) -> Iterator[Subset]:
    """Yield the subsets of a balanced design, at most `merges`; a larger budget appends.

    Whole designs are bought one after the other: first one at every k, in the order of `ks` or else
    of `mergelaw.design.budget.order_of_k`; then a second one at every k, with other subsets, and so
    on to all. What is left over and buys no whole design is not used. Only of the first three k the
    last may be cut short: the law needs three.

    Parameters
    ----------
    pool : sequence of str
        Names of the experts; their order does not matter.
    merges : int
        The most subsets in all.
    ks : tuple of int, optional
        Numbers of experts; those that the budget does not reach have no subset.
    seed : int
        Decides, with the names, which expert stands at which point of each design.
    """
    for _, subsets in _bought(tuple(sorted(pool)), merges, ks, seed):
        yield from subsets


def levels(
    pool: Sequence[str], merges: int, ks: tuple[int, ...] | None, seed: int
) -> tuple[Level, ...]:
    """Return what `balanced` has at each k, with its imbalance, k rising."""
    units = _bought(tuple(sorted(pool)), merges, ks, seed)
    return tuple(
        _level(tuple(sorted(pool)), k, [unit for unit in units if unit[0].k == k])
        for k in sorted({unit[0].k for unit in units})
    )


@lru_cache(maxsize=64)
def _bought(
    pool: tuple[str, ...], merges: int, ks: tuple[int, ...] | None, seed: int
) -> tuple[Unit, ...]:
    order = ks or order_of_k(len(pool))
    done: list[Unit] = []
    left = merges
    for unit, is_first in _offered(pool, order, seed):
        subsets = unit[1]
        if len(subsets) > left:
            is_needed = is_first and len(done) < min(FEWEST_K, len(order))
            if is_needed and left >= FEWEST_OF_A_CUT:
                done.append((unit[0], subsets[:left]))
            break
        done.append(unit)
        left -= len(subsets)
    return tuple(done)


def _offered(pool: tuple[str, ...], order: Sequence[int], seed: int) -> Iterator[tuple[Unit, bool]]:
    """Yield units in the order of buying, and whether each is the first one of its k."""
    before: dict[int, list[Subset]] = {k: [] for k in order}
    for round_ in itertools.count():
        n_before = sum(map(len, before.values()))
        for k in order:
            offered = family(len(pool), k)
            subsets = _placed(pool, offered, f"{seed}/balanced/{k}/{round_}", before[k])
            before[k] += subsets
            if subsets:
                yield (offered, subsets), round_ == 0
        if sum(map(len, before.values())) == n_before:
            return


def _placed(
    pool: tuple[str, ...], offered: Family, name: str, before: Sequence[Subset]
) -> tuple[Subset, ...]:
    """Return a family on the pool relabelled at random, without any of the subsets before.

    Where none of `RELABELLINGS` is free of them: all subsets of k that are left (what a 2-design
    leaves of all subsets is one too), or none where they are too many.
    """
    draw, taken = random.Random(name), set(before)
    blocks = offered.blocks
    if len(blocks) <= SORTED_UP_TO:
        blocks = tuple(spread_out(len(pool), blocks))
    for _ in range(RELABELLINGS if taken else 1):
        at = draw.sample(pool, len(pool))
        subsets = [subset_of(at[point] for point in block) for block in blocks]
        if taken.isdisjoint(subsets):
            return tuple(subsets)
    if math.comb(len(pool), offered.k) > MOST_BLOCKS:
        return ()
    every = map(Subset, itertools.combinations(pool, offered.k))
    return tuple(subset for subset in every if subset not in taken)


def _level(pool: tuple[str, ...], k: int, units: Sequence[Unit]) -> Level:
    subsets = tuple(subset for _, part in units for subset in part)
    number = {name: i for i, name in enumerate(pool)}
    blocks = [frozenset(number[name] for name in subset.experts) for subset in subsets]
    singles, pairs = together(len(pool), blocks)
    is_exact, n_whole = is_two_design(len(pool), blocks), len(units[0][0].blocks)
    return Level(
        k,
        subsets,
        tuple(dict.fromkeys(offered.name for offered, _ in units)),
        is_exact,
        (min(singles), max(singles)),
        (min(pairs), max(pairs)),
        n_whole if not is_exact and len(subsets) < n_whole else None,
    )


def two_design(order: Sequence[str], k: int) -> list[Subset] | None:
    """Return the fewest subsets of k known here that hold every pair of experts equally often.

    None: no family is known but that of all subsets (see `mergelaw.design.families.smallest`).
    """
    known = smallest(len(order), k)
    if known is None or len(known.blocks) >= math.comb(len(order), k):
        return None
    return [subset_of(order[point] for point in block) for block in known.blocks]
