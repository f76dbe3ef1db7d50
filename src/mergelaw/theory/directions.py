"""Task vectors as directions in the weights of a model: moved along, and projected on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mergelaw.laws.forms import Array
from mergelaw.merging.pool import BLOCK, Place, Pool, Segment, blocks, whole
from mergelaw.theory.layers import Groups

TOGETHER_BYTES = 2**26
"""Size of the task vectors that are stacked for products in one go; larger ones go one by one."""


@dataclass(frozen=True)
class Directions:
    """psi(v) of every expert, in every group of layers; weights are counted group by group.

    Attributes
    ----------
    pool : Pool
        Gives psi(v): from memory, or read block by block.
    experts : tuple of str
        Sorted.
    groups : Groups
    whole_rows : bool
        Whether psi must see whole rows.
    """

    pool: Pool
    experts: tuple[str, ...]
    groups: Groups
    whole_rows: bool = False

    @property
    def n(self) -> int:
        """Number of weights."""
        return len(self.groups.names) * len(self.experts)

    @property
    def stackable(self) -> bool:
        """Whether all experts' directions are held at once."""
        n_params: int = self.pool.segments[-1].span.stop
        return 4 * len(self.experts) * n_params <= TOGETHER_BYTES

    def segments(self, group: int) -> list[int]:
        """Return the numbers of a group's tensors."""
        return [index for index, own in enumerate(self.groups.of_tensor) if own == group]

    def dots(self, found: Sequence[Tensor]) -> Array:
        """Return the dot products with all directions, summed over blocks in float64.

        Parameters
        ----------
        found : sequence of tensors, each of shape (rows, *shape of the parameter)
            One for each of the pool's tensors: gradients, or rows of curvature.

        Returns
        -------
        float64 array, shape (rows, groups * experts)
        """
        n_experts = len(self.experts)
        total = np.zeros((len(found[0]), self.n))
        for part, group, tensor in zip(
            self.pool.segments, self.groups.of_tensor, found, strict=True
        ):
            rows = tensor.detach().flatten(1).float().cpu()
            place = slice(group * n_experts, (group + 1) * n_experts)
            total[:, place] += self._dots(part, rows)
        return total

    def _dots(self, part: Segment, rows: Tensor) -> Array:
        if self.stackable:
            return (rows @ self._stacked[:, part.span].T).double().numpy()
        total = np.zeros((len(rows), len(self.experts)))
        for block in self._blocks(part):
            _, directions = self.pool.read(block, self.experts)
            here = rows[:, block.start : block.stop]
            total += torch.stack([here @ v for v in directions], 1).double().numpy()
        return total

    @cached_property
    def _stacked(self) -> Tensor:
        """All directions as one float32 matrix, shape (experts, n_params)."""
        rows = torch.empty(len(self.experts), self.pool.segments[-1].span.stop)
        for part in self.pool.segments:
            for block in self._blocks(part):
                _, directions = self.pool.read(block, self.experts)
                for row, direction in zip(rows, directions, strict=True):
                    row[block.flat] = direction
        return rows

    def along(self, group: int, expert: int, like: Sequence[Tensor]) -> list[Tensor]:
        """Return one direction, tensor by tensor of its group, as the parameters are.

        Parameters
        ----------
        like : sequence of tensors
            All parameters: their types and devices.
        """
        return [self._tensor(index, expert, like[index]) for index in self.segments(group)]

    def together(self, group: int, like: Sequence[Tensor]) -> list[Tensor]:
        """Return all experts' directions, stacked: shape (experts, *shape) for each tensor."""
        parts = [(self.pool.segments[index], like[index]) for index in self.segments(group)]
        n = len(self.experts)
        return [self._stacked[:, p.span].view(n, *p.shape).to(one) for p, one in parts]

    def _tensor(self, index: int, expert: int, like: Tensor) -> Tensor:
        part = self.pool.segments[index]
        flat = torch.empty(part.n, dtype=like.dtype, device=like.device)
        for block, row in self._rows(part, self.experts[expert]):
            flat[block] = row.to(flat)
        return flat.view(part.shape)

    def _rows(self, part: Segment, expert: str) -> Iterator[tuple[slice, Tensor]]:
        for block in self._blocks(part):
            _, (row,) = self.pool.read(block, [expert])
            yield slice(block.start, block.stop), row

    def _blocks(self, part: Segment) -> Iterator[Place]:
        return blocks(whole(part), self.whole_rows, BLOCK * torch.get_num_threads())
