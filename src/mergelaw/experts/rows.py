"""The items of a step as rows of tokens, shared out over processes and micro-batches.

A pure function of the step's items: every process knows what all others do. The gradient is that of
the mean over all scored tokens of the step, however its items are packed, split and accumulated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mergelaw.experts.text import Item

Row = list[int]
"""Numbers of the items of a row, within the step."""


@dataclass(frozen=True)
class MicroBatch:
    """Rows of one forward pass.

    Attributes
    ----------
    input_ids : int64 tensor, shape (rows, length)
        Padded at the right.
    position_ids : int64 tensor, shape (rows, length), or None
        They begin anew at each item of a packed row, by which attention keeps to its item; None
        where no row is packed.
    sources : int64 tensor, shape (scored,)
        Flat positions that predict the scored tokens.
    targets : int64 tensor, shape (scored,)
        The scored tokens.
    items : int64 tensor, shape (scored,)
        Item of each scored token, by its number within the step.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    sources: Tensor
    targets: Tensor
    items: Tensor

    def to(self, device: torch.device) -> "MicroBatch":
        """Return the same on a device."""
        return MicroBatch(
            self.input_ids.to(device),
            None if self.position_ids is None else self.position_ids.to(device),
            self.sources.to(device),
            self.targets.to(device),
            self.items.to(device),
        )


def micro_batches(
    items: Sequence[Item],
    *,
    pack_to: int | None,
    micro_batch_rows: int | None,
    process: int = 0,
    n_processes: int = 1,
) -> list[MicroBatch]:
    """Return what one process computes of a step; as many micro-batches as every other process.

    Parameters
    ----------
    items : sequence of Item
        All items of the step.
    pack_to : int or None
        Longest row that items are packed to; None: each item is a row.
    micro_batch_rows : int or None
        Rows of a micro-batch; None: all of a process.
    process, n_processes : int
        Which process, of how many. Rows are dealt out from the longest to the shortest; a process
        without rows left computes a row without a scored token.
    """
    rows = [[number] for number in range(len(items))]
    if pack_to is not None:
        rows = packed([len(item.input_ids) for item in items], pack_to, n_processes)
    if n_processes > 1:
        rows.sort(key=lambda row: -sum(len(items[number].input_ids) for number in row))
    most = -(-len(rows) // n_processes)
    own, size = rows[process::n_processes], micro_batch_rows or most
    groups = [own[start : start + size] for start in range(0, most, size)]
    return [_collate(items, group) if group else _nothing() for group in groups]


def packed(lengths: Sequence[int], most: int, n_processes: int = 1) -> list[Row]:
    """Pack items into rows of at most `most` tokens, as few as all processes have equally many of.

    Items go, longest first, to the row that is emptiest, so that rows are about equally long.

    Returns
    -------
    list of list of int
        Numbers of the items of each row; a row each where nothing fits better.
    """
    n_rows = n_processes * math.ceil(sum(lengths) / (most * n_processes))
    while n_rows < len(lengths):
        rows: list[Row] = [[] for _ in range(n_rows)]
        filled = [0] * n_rows
        for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
            emptiest = filled.index(min(filled))
            rows[emptiest].append(number)
            filled[emptiest] += lengths[number]
        if max(filled) <= most:
            return rows
        n_rows += n_processes
    return [[number] for number in range(len(lengths))]


def _collate(items: Sequence[Item], rows: Sequence[Row]) -> MicroBatch:
    """Pad at the right: a causal model never attends there, and nothing is scored there."""
    length = max(sum(len(items[number].input_ids) for number in row) for row in rows)
    ids, positions, owner = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(3))
    scored = np.zeros((len(rows), length), dtype=bool)
    for index, row in enumerate(rows):
        start = 0
        for number in row:
            item = items[number]
            span = slice(start, start + len(item.input_ids))
            ids[index, span], scored[index, span] = item.input_ids, item.scored
            positions[index, span] = np.arange(len(item.input_ids))
            owner[index, span] = number
            start = span.stop
        positions[index, start:] = np.arange(length - start)  # padding attends to padding
    where, columns = np.nonzero(scored)
    is_packed = any(len(row) > 1 for row in rows)
    return MicroBatch(
        torch.from_numpy(ids),
        torch.from_numpy(positions) if is_packed else None,
        torch.from_numpy(where * length + columns - 1),
        torch.from_numpy(ids[where, columns]),
        torch.from_numpy(owner[where, columns]),
    )


def _nothing() -> MicroBatch:
    """Return a row of one token without a score: its process gathers weights as the others do."""
    none = torch.zeros(0, dtype=torch.int64)
    return MicroBatch(torch.zeros((1, 1), dtype=torch.int64), None, none, none, none)
