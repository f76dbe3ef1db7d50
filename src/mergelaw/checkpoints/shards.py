"""The files of a checkpoint, planned before a byte is written: who lies where, under which header.

Headers are made here and not by a library, so that equal merges are equal byte for byte.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergelaw.checkpoints.headers import DTYPE_BITS
from mergelaw.checkpoints.store import SINGLE

LAYOUT = (
    *("U64", "I64", "F64", "C64"),
    *("F32", "U32", "I32"),
    *("BF16", "F16", "U16", "I16"),
    *("I8", "U8", "BOOL"),
)
"""Types that can be written, in the order in which the safetensors library lays them out: wide ones
first, so that every tensor is aligned without padding."""


@dataclass(frozen=True)
class OutTensor:
    """One tensor to be written: name, type as safetensors calls it (`BF16`), shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_entries(self) -> int:
        """Number of entries; 1 for a scalar, 0 where a side of the shape is 0."""
        return math.prod(self.shape)

    @property
    def item_bytes(self) -> int:
        """Bytes of an entry."""
        return DTYPE_BITS[self.dtype] // 8

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return self.n_entries * self.item_bytes


@dataclass(frozen=True)
class ShardFile:
    """One safetensors file to be written.

    Attributes
    ----------
    name : str
        File name.
    header : bytes
        The file's beginning: length of the JSON, the JSON, spaces up to a multiple of 8 bytes.
    offsets : mapping of OutTensor to int
        First byte of each tensor, from the file's beginning.
    n_bytes : int
        Length of the file.
    """

    name: str
    header: bytes
    offsets: Mapping[OutTensor, int]
    n_bytes: int


@dataclass(frozen=True)
class ShardPlan:
    """All files of a checkpoint; `index` is None where one file holds everything."""

    files: tuple[ShardFile, ...]
    index: Mapping[str, Any] | None

    @property
    def tensors(self) -> tuple[OutTensor, ...]:
        """All tensors, by file."""
        return tuple(tensor for file in self.files for tensor in file.offsets)

    @property
    def n_bytes(self) -> int:
        """Bytes of all files, the index aside."""
        return sum(file.n_bytes for file in self.files)


def plan_shards(
    tensors: Iterable[OutTensor], shard_bytes: int, metadata: Mapping[str, str]
) -> ShardPlan:
    """Return the files of a checkpoint: tensors by sorted name, filled up to a size.

    Parameters
    ----------
    tensors : iterable of OutTensor
        In any order.
    shard_bytes : int
        Most bytes of tensors in a file; a single tensor that is larger gets a file of its own.
    metadata : mapping of str to str
        What every file's header says beside `{"format": "pt"}`.

    Raises
    ------
    ValueError
        If a name occurs twice or is `__metadata__`, a type is not one of `LAYOUT`, there are no
        tensors, or `shard_bytes` is not positive.
    """
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    _refuse_unplannable(ordered, shard_bytes)
    groups = _fill(ordered, shard_bytes)
    names = _file_names(len(groups))
    files = tuple(_file(name, group, metadata) for name, group in zip(names, groups, strict=True))
    return ShardPlan(files, None if len(files) == 1 else _index(files, ordered))


def _refuse_unplannable(tensors: Sequence[OutTensor], shard_bytes: int) -> None:
    names = [tensor.name for tensor in tensors]
    if not names or shard_bytes < 1:
        raise ValueError(f"nothing to plan: {len(names)} tensors, shards of {shard_bytes} bytes")
    if len(set(names)) < len(names) or "__metadata__" in names:
        raise ValueError("a tensor's name occurs twice, or is '__metadata__'")
    foreign = sorted({tensor.dtype for tensor in tensors}.difference(LAYOUT))
    if foreign:
        raise ValueError(f"types that cannot be written: {foreign}")


def _fill(tensors: Sequence[OutTensor], shard_bytes: int) -> list[list[OutTensor]]:
    groups: list[list[OutTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        if groups[-1] and filled + tensor.n_bytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += tensor.n_bytes
    return groups


def _file_names(n: int) -> list[str]:
    if n == 1:
        return [SINGLE]
    return [f"model-{i:05d}-of-{n:05d}.safetensors" for i in range(1, n + 1)]


def _file(name: str, tensors: Sequence[OutTensor], metadata: Mapping[str, str]) -> ShardFile:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **dict(sorted(metadata.items()))}}
    starts: dict[OutTensor, int] = {}
    end = 0
    for tensor in sorted(tensors, key=lambda t: (LAYOUT.index(t.dtype), t.name)):
        starts[tensor] = end
        end += tensor.n_bytes
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [starts[tensor], end],
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = struct.pack("<Q", len(text)) + text
    offsets = {tensor: len(header) + start for tensor, start in starts.items()}
    return ShardFile(name, header, offsets, len(header) + end)


def _index(files: Sequence[ShardFile], tensors: Sequence[OutTensor]) -> dict[str, Any]:
    return {
        "metadata": {
            "total_parameters": sum(tensor.n_entries for tensor in tensors),
            "total_size": sum(tensor.n_bytes for tensor in tensors),
        },
        "weight_map": {tensor.name: file.name for file in files for tensor in file.offsets},
    }
