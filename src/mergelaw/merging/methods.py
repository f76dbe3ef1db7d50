"""Merging methods as recipes: how one task vector is made sparse, how several are combined.

    merged = base + combine(psi(v_1), ..., psi(v_k)),   v_i = expert_i - base

psi depends on the expert alone and never on the subset, so that a sweep applies it once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mergelaw.config.methods import (
    AverageMethod,
    DareMethod,
    Method,
    TaskArithmeticMethod,
    TiesMethod,
    TiesParameters,
)
from mergelaw.merging.operators import disjoint_mean, drop, mean, trim
from mergelaw.merging.task_vectors import TaskVectors

BLOCK = 2**16
"""Entries merged at a time: what is in work stays in the processor's cache."""

Combine = Callable[[Sequence[Tensor]], Tensor]
Sparsify = Callable[[TaskVectors, str], Tensor]


@dataclass(frozen=True)
class Recipe:
    """A method: `sparsify(vectors, expert)` gives psi(v), `combine(rows)` the merged delta."""

    sparsify: Sparsify
    combine: Combine


def recipe(method: Method, seed: str) -> Recipe:
    """Return the recipe of a method entry.

    Parameters
    ----------
    method : Method
        The config's entry.
    seed : str
        Names all random numbers of the study and mask seed; experts and tensors are added to it.

    Notes
    -----
    average : mean of the task vectors (Wortsman et al., arXiv 2203.05482).
    task_arithmetic : c / k times their sum (Ilharco et al., arXiv 2212.04089, with the scale of
    Wang et al., arXiv 2509.24244, Table 1).
    ties : trim, elect sign, disjoint mean, times c (Yadav et al., arXiv 2306.01708).
    dare : drop, rescale, then c times the mean (Yu et al., arXiv 2311.03099).
    """
    match method:
        case AverageMethod():
            return Recipe(_unchanged, partial(mean, scale=1.0))
        case TaskArithmeticMethod(parameters=p):
            return Recipe(_unchanged, partial(mean, scale=p.scale))
        case TiesMethod(parameters=p):
            return Recipe(partial(_trimmed, p), partial(disjoint_mean, scale=p.scale))
        case DareMethod(parameters=p):
            return Recipe(partial(_dropped, p.drop_rate, seed), partial(mean, scale=p.scale))


def merge_into(
    out: Tensor, base: Tensor, rows: Sequence[Tensor], combine: Combine, accumulate: torch.dtype
) -> None:
    """Write base + combine(rows) to `out`, rounded once to its type; the base without rows.

    Parameters
    ----------
    out : tensor, shape (n,)
        Overwritten.
    base : float32 tensor, shape (n,)
    rows : sequence of float32 tensors, shape (n,)
        psi(v) of each expert, in the order of summation.
    combine : callable
        A recipe's `combine`.
    accumulate : torch.dtype
        Type of the rows and of their running sum.
    """
    if not rows:
        out.copy_(base)
        return
    for start in range(0, base.numel(), BLOCK):
        block = slice(start, start + BLOCK)
        delta = combine([row[block].to(accumulate) for row in rows])
        out[block] = base[block] + delta.float()


def _unchanged(vectors: TaskVectors, expert: str) -> Tensor:
    return vectors.deltas[expert]


def _trimmed(parameters: TiesParameters, vectors: TaskVectors, expert: str) -> Tensor:
    delta = vectors.deltas[expert]
    if parameters.scope == "model":
        return trim(delta, parameters.density)
    return vectors.per_tensor(delta, lambda entries, _: trim(entries, parameters.density))


def _dropped(drop_rate: float, seed: str, vectors: TaskVectors, expert: str) -> Tensor:
    return vectors.per_tensor(
        vectors.deltas[expert],
        lambda entries, name: drop(entries, drop_rate, f"{seed}/{expert}/{name}"),
    )
