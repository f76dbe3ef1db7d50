"""Which subsets are candidates: all of them, or, of very many, those that a search comes by."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from math import comb

import numpy as np

from mergelaw.laws.forms import Array

MOST = 2**16
"""Subsets that are all looked at: those of 16 experts."""

Predict = Callable[[Array], Array]
"""Returns the expected loss of subsets, given their rows of members."""


def n_subsets(n_experts: int, ks: Iterable[int]) -> int:
    """Return the number of subsets of some k."""
    return sum(comb(n_experts, k) for k in ks)


def all_subsets(n_experts: int, ks: Iterable[int]) -> Array:
    """Return every subset of the given k, shape (subsets, experts)."""
    chosen = [subset for k in ks for subset in combinations(range(n_experts), k)]
    members = np.zeros((len(chosen), n_experts), bool)
    for row, subset in zip(members, chosen, strict=True):
        row[list(subset)] = True
    return members


def searched(n_experts: int, ks: Iterable[int], predict: Predict) -> Array:
    """Return the subsets that a greedy search with exchanges looks at, shape (subsets, experts).

    The best subset of k grows from that of k - 1 by the expert that lowers the loss most; then one
    member is exchanged for one other as long as that lowers it.
    """
    wanted, looked_at = set(ks), list[Array]()
    current = np.zeros(n_experts, bool)
    for k in range(1, max(wanted) + 1):
        grown = _changed(current, [(i,) for i in np.flatnonzero(~current).tolist()])
        current, seen = grown[np.argmin(predict(grown))], [grown]
        while True:
            inside, outside = (np.flatnonzero(a).tolist() for a in (current, ~current))
            swaps = [(i, j) for i in inside for j in outside]
            near = np.vstack([current[None], _changed(current, swaps)])
            seen.append(near)
            best = int(np.argmin(predict(near)))
            if best == 0:
                break
            current = near[best]
        looked_at += seen if k in wanted else []
    return np.unique(np.vstack(looked_at), axis=0)


def _changed(row: Array, changes: Sequence[tuple[int, ...]]) -> Array:
    """Return copies of a row with some members taken in or out, one for each change."""
    rows = np.tile(row, (len(changes), 1))
    for copy, places in zip(rows, changes, strict=True):
        copy[list(places)] ^= True
    return rows
