"""Pure tensor operators that merging methods are made of.

Entries are float32 and flat. `drop` and `prune` act on one expert's task vector, whatever the
subset; the others reduce the rows of a subset, coordinate by coordinate. What keeps the largest
entries is in `mergelaw.merging.selection`.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LANES = 4
"""Random numbers of 16 bits in a 64-bit word."""
LEVELS = 2**16
"""Values of a random number: chances are multiples of 1 / LEVELS."""


def drop(delta: Tensor, drop_rate: float, key: str, start: int, rescale: bool) -> Tensor:
    """Set each entry to 0 with probability `drop_rate`; divide the others by 1 - drop_rate.

    The mask depends on `key` and the entry's index alone. The rate is rounded to a multiple of
    2^-16 below 1, and the same rounded rate divides: the mean over masks is the task vector.
    Source: Yu et al., "Language Models are Super Mario" (DARE), arXiv 2311.03099, equations 2-4.

    Parameters
    ----------
    delta : float32 tensor, shape (n,)
    drop_rate : float
        In [0, 1).
    key : str
        Names the stream of random numbers.
    start : int
        Index of the first entry in the tensor that `key` names.
    rescale : bool
        Whether kept entries are divided.
    """
    threshold = min(round(drop_rate * LEVELS), LEVELS - 1)
    if threshold == 0:
        return delta
    kept = _as_float(random_uint16(key, start, delta.numel()) >= threshold).mul_(delta)
    return kept.mul_(LEVELS / (LEVELS - threshold)) if rescale else kept


def prune(
    delta: Tensor, row: int, density: float, epsilon: float, key: str, start: int, rescale: bool
) -> Tensor:
    """Keep entries at random, the larger of a row with a higher chance (MagPrune).

    An entry of rank r (0 is the row's smallest magnitude, the first of equal ones) is kept with
    chance density - epsilon + 2 epsilon r / (row - 1), rounded to a multiple of 2^-16, and divided
    by it. Source: Deep et al., "DELLA-Merging", arXiv 2406.11617, section 3.1.

    Parameters
    ----------
    delta : float32 tensor, shape (n,)
        Whole rows.
    row : int
        Entries of a row.
    density, epsilon : float
        Mean chance of being kept, and what the largest entry's is above it.
    key, start, rescale
        As in `drop`.
    """
    steps = np.linspace(-1, 1, row) if row > 1 else np.zeros(1)
    chance = np.rint(np.clip(density + epsilon * steps, 0, 1) * LEVELS).astype(np.int32)
    chances = chance[_ranks(delta, row)]
    kept = _as_float(random_uint16(key, start, delta.numel()) < chances).mul_(delta)
    if not rescale:
        return kept
    return kept.mul_(torch.from_numpy((LEVELS / np.maximum(chances, 1)).astype(np.float32)))


def _ranks(delta: Tensor, row: int) -> NDArray[np.int64]:
    """Return each entry's rank in its row by magnitude, then position, shape (n,)."""
    magnitudes = delta.abs().view(torch.int32).numpy().reshape(-1, row)
    keys = (magnitudes.astype(np.uint64) << np.uint64(32)) | np.arange(row, dtype=np.uint64)
    keys.sort(axis=1)  # by bit pattern, then by position
    order = (keys & np.uint64(2**32 - 1)).astype(np.int64)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(row)[None], axis=1)
    return ranks.reshape(-1)


def _as_float(mask: NDArray[np.bool_]) -> Tensor:
    """Return 1.0 and 0.0; torch's own conversion of a bool takes six times as long."""
    return torch.from_numpy(mask.view(np.uint8)).float()


def random_uint16(key: str, start: int, count: int) -> NDArray[np.uint16]:
    """Return `count` random 16-bit numbers from position `start` of the stream that `key` names.

    Philox4x64-10 (Salmon et al., SC 2011) in counter mode: number i is 16 bits of word i // 4.
    """
    step = LANES * 4  # a step of the counter gives four words
    before = start % step
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    generator = np.random.Philox(key=seed).advance(start // step)
    raw = generator.random_raw(-(-(before + count) // LANES)).astype("<u8", copy=False)
    numbers: NDArray[np.uint16] = raw.view("<u2")[before : before + count]
    return numbers


def mean(rows: Iterable[Tensor], weights: Sequence[float], scale: float, normalize: bool) -> Tensor:
    """Return scale / (sum of weights) times the weighted sum over the experts, summed in order.

    Parameters
    ----------
    rows : iterable of tensors, shape (n,)
        Effective updates of k experts.
    weights : sequence of float
        One for each expert; ones give scale / k times the sum.
    scale : float
        c; 1 gives the mean.
    normalize : bool
        False leaves the sum of the weights out.
    """
    total = ordered_sum(_times(row, w) for row, w in zip(rows, weights, strict=True))
    return total.mul_(scale / sum(weights) if normalize else scale)


def disjoint_mean(
    rows: Iterable[Tensor],
    weights: Sequence[float],
    scale: float,
    normalize: bool,
    zero_sign: Literal[1, -1] = 1,
) -> Tensor:
    """Return scale times the weighted mean over the experts that agree with the elected sign.

    The sign elected at a coordinate is that of the weighted sum; entries of 0 are never counted.
    Source: Yadav et al., "TIES-Merging", arXiv 2306.01708, steps 2 and 3.

    Parameters
    ----------
    rows, weights, scale, normalize
        As in `mean`; without `normalize`, the weighted sum of those that agree.
    zero_sign : int
        Sign elected where the sum is 0.
    """
    rows = [_times(row, w) for row, w in zip(rows, weights, strict=True)]
    return agreeing_mean(rows, weights, elected_sign(rows, zero_sign), normalize).mul_(scale)


def agreeing_mean(
    rows: Sequence[Tensor], weights: Sequence[float], sign: Tensor, normalize: bool
) -> Tensor:
    """Return the sum over the rows that agree with a sign, over the sum of their weights.

    Parameters
    ----------
    rows : sequence of tensors, shape (n,)
        Already multiplied by their weights; entries of 0 are never counted.
    weights : sequence of float
        One for each row.
    sign : tensor, shape (n,)
        +1 or -1.
    normalize : bool
        False returns the sum.
    """
    total, count = torch.zeros_like(sign), torch.zeros_like(sign)
    for row, weight in zip(rows, weights, strict=True):
        agreeing = (row * sign).clamp_(min=0)  # the magnitude where the signs agree, else 0
        total += agreeing
        if normalize:
            count += _times(agreeing.gt_(0), weight)
    total.mul_(sign)
    return total.div_(count.add_(count == 0)) if normalize else total


def elected_sign(rows: Sequence[Tensor], zero_sign: Literal[1, -1] = 1) -> Tensor:
    """Return the sign of the sum over rows, +1 or -1, shape (n,)."""
    total = ordered_sum(rows).mul_(zero_sign).add_(0.0)  # -0 becomes 0, whose sign is +
    return torch.copysign(torch.ones_like(total), total).mul_(zero_sign)


def linear(base: Tensor, rows: Iterable[Tensor], coefficients: Sequence[float]) -> Tensor:
    """Return a linear combination, summed in order: first of the base, then of the rows.

    Parameters
    ----------
    base : float32 tensor, shape (n,)
    rows : iterable of tensors, shape (n,)
        Task vectors of k experts.
    coefficients : sequence of float
        k + 1 of them.
    """
    pairs = zip(itertools.chain([base], rows), coefficients, strict=True)
    return ordered_sum(_times(row, coefficient) for row, coefficient in pairs)


def ordered_sum(rows: Iterable[Tensor]) -> Tensor:
    """Return the sum over rows, first to last, in the type of the rows."""
    drawn = iter(rows)
    total = next(drawn).clone()
    for row in drawn:
        total += row
    return total


def _times(row: Tensor, weight: float) -> Tensor:
    return row if weight == 1 else row * weight
