"""Pure tensor operators that merging methods are made of.

Task vectors are float32 and flat. `trim` and `drop` act on one expert's task vector, whatever the
subset; the others reduce the vectors of a subset, coordinate by coordinate.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LANES = 4
"""Random numbers of 16 bits in a 64-bit word."""


def trim(delta: Tensor, density: float) -> Tensor:
    """Keep the `round(density * n)` entries of largest magnitude, and set the others to 0.

    Of equal magnitudes at the threshold the first are kept, so that the count is exact.
    Source: Yadav et al., "TIES-Merging", arXiv 2306.01708, step 1.

    Parameters
    ----------
    delta : float32 tensor, shape (n,)
    density : float
        Fraction kept, in (0, 1].
    """
    n = delta.numel()
    n_kept = round(density * n)
    if n_kept == n:
        return delta
    if n_kept == 0:
        return torch.zeros_like(delta)
    magnitude = delta.abs()
    threshold = magnitude.kthvalue(n - n_kept + 1).values
    kept = magnitude > threshold
    ties = torch.nonzero(magnitude == threshold).flatten()
    kept[ties[: n_kept - int(kept.sum())]] = True
    return torch.where(kept, delta, 0.0)


def drop(delta: Tensor, drop_rate: float, key: str, start: int = 0) -> Tensor:
    """Set each entry to 0 with probability `drop_rate` and divide the others by 1 - drop_rate.

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
        Index of the first entry in the tensor that `key` names; a multiple of 16.
    """
    threshold = min(round(drop_rate * 2**16), 2**16 - 1)
    if threshold == 0:
        return delta
    dropped = random_uint16(key, start, delta.numel()) < threshold
    rescale = 1 / (1 - threshold / 2**16)
    return torch.where(torch.from_numpy(dropped).to(delta.device), 0.0, delta * rescale)


def random_uint16(key: str, start: int, count: int) -> np.ndarray:
    """Return `count` random 16-bit numbers from position `start` of the stream that `key` names.

    Philox4x64-10 (Salmon et al., SC 2011) in counter mode: number i is 16 bits of word i // 4.
    """
    words = LANES * 4  # a step of the counter gives four words
    if start % words:
        raise ValueError(f"start = {start} must be a multiple of {words}")
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    generator = np.random.Philox(key=seed).advance(start // words)
    raw = generator.random_raw(-(-count // LANES)).astype("<u8", copy=False)
    return raw.view("<u2")[:count]


def mean(rows: Sequence[Tensor], scale: float) -> Tensor:
    """Return scale / k times the sum over the experts, summed in order.

    Parameters
    ----------
    rows : sequence of tensors, shape (n,)
        Effective updates of k experts.
    scale : float
        c; 1 gives the mean.
    """
    return ordered_sum(rows).mul_(scale / len(rows))


def disjoint_mean(rows: Sequence[Tensor], scale: float) -> Tensor:
    """Return scale times the mean over the experts that agree with the elected sign.

    The sign elected at a coordinate is that of the sum (a sum of 0 counts as positive); entries
    of 0 are never counted. Source: Yadav et al., "TIES-Merging", arXiv 2306.01708, steps 2 and 3.

    Parameters
    ----------
    rows : sequence of tensors, shape (n,)
        Trimmed task vectors of k experts.
    scale : float
        c, the paper's lambda.
    """
    sign = (ordered_sum(rows) >= 0).to(rows[0].dtype).mul_(2).sub_(1)
    total, count = torch.zeros_like(sign), torch.zeros_like(sign)
    for row in rows:
        agreeing = (row * sign).clamp_(min=0)  # the magnitude where the signs agree, else 0
        total += agreeing
        count += agreeing.gt_(0)
    return total.mul_(sign).div_(count.clamp_(min=1)).mul_(scale)


def ordered_sum(rows: Sequence[Tensor]) -> Tensor:
    """Return the sum over rows, first to last, in the type of the rows."""
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total
