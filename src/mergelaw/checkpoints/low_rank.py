"""Deltas of low-rank adapters in float32, a range of entries at a time."""

from collections.abc import Mapping
from functools import lru_cache
from threading import local

import torch
from torch import Tensor

from mergelaw.checkpoints.headers import Entry
from mergelaw.checkpoints.lora import LowRank
from mergelaw.checkpoints.reading import read_tensor
from mergelaw.errors import CheckpointError

GROUP = 2**16
"""Entries of a product that are computed together, in whole rows; at least one row."""

HELD = 2
"""Tensors whose factors are held: a worker goes through one tensor at a time."""


class LowRankDeltas:
    """Computes ranges of scaling * B @ A; memory does not grow with the model.

    Parameters
    ----------
    updates : mapping of str to LowRank
        By tensor; a tensor that is not there does not change.

    Notes
    -----
    The product is always computed by the same groups of rows, which depend on the tensor's shape
    alone: a range has the same bits however it is cut. Threads may share an object.
    """

    def __init__(self, updates: Mapping[str, LowRank]) -> None:
        self._updates = updates
        self._factors = lru_cache(HELD)(_factors)
        self._last = local()

    def delta(self, name: str, start: int, stop: int) -> Tensor:
        """Return entries [start, stop) of a tensor's change; 0 where it has none.

        Returns
        -------
        float32 tensor, shape (stop - start,)

        Raises
        ------
        CheckpointError
            If a factor cannot be read, or has an entry that is not finite.
        """
        delta = torch.zeros(stop - start)
        if name not in self._updates or start == stop:
            return delta
        n_columns = self._updates[name].shape[1]
        step = max(1, GROUP // n_columns) * n_columns
        for first in range(start // step * step, stop, step):
            group = self._group(name, first // n_columns, step // n_columns)
            begin, end = max(start, first), min(stop, first + step)
            delta[begin - start : end - start] = group[begin - first : end - first]
        return delta

    def _group(self, name: str, row: int, n_rows: int) -> Tensor:
        """Return the product's rows from `row`, flat; the last one is held for each thread."""
        if getattr(self._last, "key", None) != (name, row):
            update = self._updates[name]
            left, right = self._factors(update)
            product = (left[row : row + n_rows] @ right).mul_(update.scaling)
            self._last.key, self._last.group = (name, row), product.flatten()
        group: Tensor = self._last.group
        return group


def _factors(update: LowRank) -> tuple[Tensor, Tensor]:
    """Return two float32 factors whose product, row by row, is the change before its scaling."""
    a, b = _finite(update.a), _finite(update.b)
    return (a.T.contiguous(), b.T.contiguous()) if update.transposed else (b, a)


def _finite(entry: Entry) -> Tensor:
    tensor = read_tensor(entry).float()
    if not tensor.isfinite().all():
        raise CheckpointError(f"{entry.path}: {entry.name} has a NaN or infinite entry")
    return tensor
