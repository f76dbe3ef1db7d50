"""Facts of whole tensors, gathered block by block: sums that are added in one fixed order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergelaw.merging.operators import elected_sign
from mergelaw.merging.pool import NotFiniteError, Place, Pool, blocks, not_finite, spans
from mergelaw.merging.selection import Cut, Group, Magnitudes, largest
from mergelaw.merging.workers import parallel

Sums = NDArray[np.float64]
Measure = Callable[[Place], Tensor]
"""Numbers of a block, of any one shape, that are summed over a tensor."""


def tensor_sums(pool: Pool, measure: Measure, whole_rows: bool = False) -> dict[str, Sums]:
    """Return, for each tensor, the sum of what `measure` returns of its blocks, in float64.

    Spans and blocks are always cut alike and summed in order, so that the sums are the same for a
    pool on disk and in memory, and for any number of workers.
    """
    work = spans(pool.segments, whole_rows)
    parts = dict(
        parallel(partial(_measured, measure, whole_rows), list(enumerate(work)), pool.n_workers)
    )
    sums: dict[str, Sums] = {}
    for number, place in enumerate(work):
        before = sums.get(place.tensor)
        sums[place.tensor] = parts[number] if before is None else before + parts[number]
    return sums


def _measured(
    measure: Measure, whole_rows: bool, work: Iterable[tuple[int, Place]]
) -> Iterator[tuple[int, Sums]]:
    for number, span in work:
        parts = [measure(block).double().numpy() for block in blocks(span, whole_rows)]
        yield number, np.sum(parts, axis=0)


def dot_products(rows: Sequence[Tensor]) -> Tensor:
    """Return the dot products of k rows, in their type, shape (k, k)."""
    stacked = torch.stack(list(rows))
    return stacked @ stacked.T


def grams(pool: Pool, experts: Sequence[str]) -> dict[str, Sums]:
    """Return, by tensor, the dot products of the base and the experts' task vectors.

    In float64: angles between models that hardly differ hang on the last digits.
    """

    def products(place: Place) -> Tensor:
        base, rows = pool.read(place, experts)
        return dot_products([row.double() for row in (base, *rows)])

    return tensor_sums(pool, products)


def l1_factors(
    pool: Pool, expert: str, psi: Callable[[Tensor, Place], Tensor], whole_rows: bool
) -> dict[str, float]:
    """Return, by tensor, the L1 norm of a task vector over that of psi of it; 1 where that is 0."""

    def norms(place: Place) -> Tensor:
        _, [delta] = pool.read(place, [expert])
        return torch.stack([delta.abs().sum(), psi(delta, place).abs().sum()])

    return {
        tensor: float(np.float32(before / after)) if after else 1.0
        for tensor, (before, after) in tensor_sums(pool, norms, whole_rows).items()
    }


def energies(
    pool: Pool,
    experts: Sequence[str],
    select: Callable[[Iterable[Tensor], Place], Sequence[Tensor]],
) -> dict[str, list[float]]:
    """Return, by tensor, each expert's share of the selected entries' sum of squares."""

    def squares(place: Place) -> Tensor:
        _, rows = pool.read(place, experts)
        return torch.stack([row.square().sum() for row in select(rows, place)])

    return {
        tensor: (sums / (sums.sum() or 1.0)).astype(np.float32).tolist()
        for tensor, sums in tensor_sums(pool, squares).items()
    }


def nonzeros(pool: Pool, entries: Measure) -> dict[str, int]:
    """Return, by tensor, how many entries are not 0."""
    sums = tensor_sums(pool, lambda place: torch.count_nonzero(entries(place)))
    return {tensor: int(count) for tensor, count in sums.items()}


def cuts(
    pool: Pool,
    experts: Sequence[str],
    magnitudes: Magnitudes,
    groups: Sequence[Group],
    counts: Sequence[int],
    ties: bool = True,
) -> list[Cut]:
    """Return the cuts of groups; say whose entry is not finite, if one is."""
    try:
        return largest(magnitudes, groups, counts, pool.n_workers, ties)
    except NotFiniteError as error:
        raise not_finite(pool, experts, error.tensor) or error from None


def sign_balance(
    pool: Pool, experts: Sequence[str], weights: Sequence[float], whole_rows: bool
) -> int:
    """Return how many more coordinates of the model have a positive weighted sum than a negative.

    A sum of 0 counts as neither.
    """

    def balance(place: Place) -> Tensor:
        _, rows = pool.read(place, experts)
        weighted = [row * weight for row, weight in zip(rows, weights, strict=True)]
        up, down = elected_sign(weighted, 1), elected_sign(weighted, -1)
        return (up.sum() + down.sum()) / 2  # they cancel where the sum is 0

    return int(sum(sums.item() for sums in tensor_sums(pool, balance, whole_rows).values()))
