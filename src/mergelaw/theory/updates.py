"""How far merges that elect signs are from means of fixed updates, in weights alone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import Tensor

from mergelaw.config.methods import Elected, Method
from mergelaw.design import Subset
from mergelaw.laws.forms import Array
from mergelaw.merging.combinations import weights_of
from mergelaw.merging.in_memory import ExactMerger
from mergelaw.merging.operators import elected_sign
from mergelaw.merging.pool import BLOCK, Place, blocks, whole

SUBSETS_PER_K = 8
"""Subsets drawn at each k; all, where there are fewer."""


def has_updates(method: Method) -> bool:
    """Tell whether a method has effective updates: it elects signs, and averages what agrees."""
    return isinstance(method.parameters, Elected)


def sampled_subsets(experts: Sequence[str], name: str, per_k: int = SUBSETS_PER_K) -> list[Subset]:
    """Return a few subsets of every k below the pool, drawn by a stream that `name` names.

    Sorted by k, then by experts; none twice.
    """
    seed = int.from_bytes(hashlib.sha256(f"{name}/updates".encode()).digest()[:8], "little")
    rng = np.random.default_rng(seed)
    names = sorted(experts)
    return [
        Subset(chosen)
        for k in range(1, len(names))
        for chosen in sorted(_some(names, k, per_k, rng))
    ]


def _some(
    names: Sequence[str], k: int, wanted: int, rng: np.random.Generator
) -> set[tuple[str, ...]]:
    """Return so many subsets of k, each once; all, where there are no more."""
    if comb(len(names), k) <= wanted:
        return set(combinations(names, k))
    found: set[tuple[str, ...]] = set()
    while len(found) < wanted:
        chosen = sorted(rng.choice(len(names), k, replace=False))
        found.add(tuple(names[i] for i in chosen))
    return found


def effective_updates(rows: Sequence[Tensor], p: Elected, experts: Sequence[str]) -> Tensor:
    """Return what each expert adds to the merge of the whole pool, times the pool: (M, n).

    ``u_i = M c agreed_i / count``: the entries of the row that agree with the elected sign, over
    the weight of those that do. Their mean is the pool's merged delta.

    Parameters
    ----------
    rows : sequence of float32 tensors, shape (n,)
        psi(v) of all experts.
    p : Elected
        Weights and scale.
    experts : sequence of str
        Of the rows.
    """
    weights = torch.tensor(weights_of(p, experts))[:, None]
    weighted = torch.stack(list(rows)) * weights
    sign = elected_sign(list(weighted), 1)
    agreed = (weighted * sign).clamp_(min=0)
    counts = (agreed.gt(0) * weights).sum(0)
    total = agreed * sign * (len(rows) * p.scale)
    return total / counts.add(counts == 0) if p.normalize else total


def residuals(
    merger: ExactMerger, method: Method, experts: Sequence[str], subsets: Sequence[Subset]
) -> dict[int, tuple[int, float]]:
    """Return, by k, the number of subsets and the residual of the mean of effective updates.

    ``sqrt(sum |delta_S - mean_S u|^2 / sum |delta_S - delta_pool|^2)`` over the subsets S of k: 0
    where a merge is the mean of updates that hang on each expert alone, and 1 where it is no nearer
    to that mean than to the whole pool's merge.

    Parameters
    ----------
    merger : ExactMerger
        Of the method; no model is run.
    method : Method
        Elects signs.
    experts : sequence of str
        The pool, sorted.
    subsets : sequence of Subset
        Of less than the pool.
    """
    pool, steps = merger.pool, merger.steps
    joins = {s.name: steps.planned(pool, s.experts) for s in subsets}
    whole_pool = steps.planned(pool, experts)
    sums = {k: np.zeros(2) for k in sorted({subset.k for subset in subsets})}
    for block in _blocks(merger):
        base, rows = pool.read(block, experts)
        held = dict(zip(experts, (row.clone() for row in rows), strict=True))
        merged = whole_pool(base, iter(held.values()), block)
        updates = effective_updates(list(held.values()), method.parameters, experts)
        index = {name: number for number, name in enumerate(experts)}
        for subset in subsets:
            delta = joins[subset.name](base, _rows(held, subset), block)
            mean = updates[[index[name] for name in subset.experts]].mean(0)
            sums[subset.k] += [_square(delta - mean), _square(delta - merged)]
    counts = {k: sum(subset.k == k for subset in subsets) for k in sums}
    return {k: (counts[k], _ratio(found)) for k, found in sums.items()}


def _rows(held: Mapping[str, Tensor], subset: Subset) -> Iterator[Tensor]:
    return (held[name] for name in subset.experts)


def _blocks(merger: ExactMerger) -> Iterator[Place]:
    most = BLOCK * torch.get_num_threads()
    for part in merger.pool.segments:
        yield from blocks(whole(part), merger.steps.whole_rows, most)


def _square(tensor: Tensor) -> float:
    return float(tensor.double().square().sum())


def _ratio(sums: Array) -> float:
    return float(np.sqrt(sums[0] / sums[1])) if sums[1] else 0.0
