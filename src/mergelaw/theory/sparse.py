"""Which few experts to merge: sets of them ranked by what the quadratic models promise."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from math import comb

import numpy as np

from mergelaw.laws.forms import Array

MOST = 1000
"""Sets of experts that are all tried; of more, some are searched for."""

Merit = Callable[[frozenset[int]], float]
"""Returns the least merit that the models promise with some experts."""


def supports(n_experts: int, size: int, merit: Merit) -> list[frozenset[int]]:
    """Return sets of so many experts, the most promising first.

    All of them are tried where they are few. Else experts are left out one by one, always the one
    that is missed least, and then exchanged as long as that helps.

    Parameters
    ----------
    n_experts, size : int
        Of the pool, and of a set.
    merit : callable
        Asked once of each set.
    """
    known = cache(merit)
    if comb(n_experts, size) <= MOST:
        tried = [frozenset(chosen) for chosen in combinations(range(n_experts), size)]
    else:
        tried = list(_searched(n_experts, size, known))
    return sorted(set(tried), key=lambda chosen: (known(chosen), sorted(chosen)))


def _searched(n_experts: int, size: int, merit: Merit) -> Iterator[frozenset[int]]:
    chosen = frozenset(range(n_experts))
    while len(chosen) > size:
        chosen = min((chosen - {one} for one in sorted(chosen)), key=merit)
    while True:
        yield chosen
        others = sorted(frozenset(range(n_experts)) - chosen)
        swaps = [chosen - {out} | {new} for out in sorted(chosen) for new in others]
        yield from swaps
        best = min(swaps, key=merit, default=chosen)
        if merit(best) >= merit(chosen):
            return
        chosen = best


def members(chosen: frozenset[int], n_experts: int) -> Array:
    """Return which experts a set holds, shape (experts,)."""
    return np.isin(np.arange(n_experts), sorted(chosen))
