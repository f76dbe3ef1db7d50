"""Headers of safetensors files: where each tensor's bytes lie, checked in full, no data read.

The format: 8 bytes of little-endian length, a JSON object of that length, then the tensors' bytes.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergelaw.errors import CheckpointError, listing

DTYPE_BITS: Mapping[str, int] = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "C64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
"""Bits of one entry, by the format's name of the type."""

MERGED_DTYPES = frozenset({"F64", "F32", "F16", "BF16"})
"""Types whose entries are merged; tensors of any other are carried over or refused."""

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit on the length of a header."""

METADATA = "__metadata__"
KEYS = {"dtype", "shape", "data_offsets"}
GIT_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor's place in a file.

    Attributes
    ----------
    path : Path
        The file.
    dtype : str
        The format's name of the type ("BF16"), a key of `DTYPE_BITS`.
    shape : tuple of int
        () for a scalar.
    start : int
        Offset in bytes of its first entry from the beginning of the file.
    name : str
        Its name in the file.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    name: str

    @property
    def n(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Number of bytes."""
        return self.n * DTYPE_BITS[self.dtype] // 8


@dataclass(frozen=True)
class Header:
    """Tensors by name, and metadata, of one file."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Read and check the header of one safetensors file.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is not in the format, or is longer or shorter than its header
        says; lists every problem.
    """
    try:
        raw, file_bytes = _header_bytes(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    fields, problems = _parse(path, raw)
    metadata = fields.pop(METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        problems.append(f"{METADATA} must map names to strings")
    for name, field in fields.items():
        problems += [f"tensor {name!r}: {problem}" for problem in _field_problems(field)]
    data_start = 8 + len(raw)
    if not problems:  # offsets can be compared
        problems += _layout_problems(fields, file_bytes - data_start)
    if problems:
        raise CheckpointError(listing(f"{path}: is broken or truncated", problems))
    entries = {
        name: Entry(
            path, field["dtype"], tuple(field["shape"]), data_start + field["data_offsets"][0], name
        )
        for name, field in fields.items()
    }
    return Header(entries, metadata)


def _header_bytes(path: Path) -> tuple[bytes, int]:
    """Return the header's JSON and the length of the whole file."""
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        first = file.read(len(GIT_LFS_POINTER))
        if first == GIT_LFS_POINTER:
            raise CheckpointError(
                f"{path}: is a Git LFS pointer, not the weights; fetch them by `git lfs pull`"
            )
        n = int.from_bytes(first[:8], "little")
        if len(first) < 8:
            raise CheckpointError(f"{path}: is no safetensors file: it has {len(first)} bytes")
        if n > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path}: is no safetensors file: its first 8 bytes ask for a header of {n:,} "
                f"bytes, the format allows {MAX_HEADER_BYTES:,}"
            )
        if 8 + n > file_bytes:
            raise CheckpointError(
                f"{path}: is truncated or broken: its header should end at byte {8 + n:,}, "
                f"the file ends at {file_bytes:,}"
            )
        file.seek(8)
        return file.read(n), file_bytes


def _parse(path: Path, raw: bytes) -> tuple[dict[str, Any], list[str]]:
    """Return the header's object and the names that it gives twice (JSON keeps the last)."""
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(sorted({name for name in names if names.count(name) > 1}))
        return found

    try:
        fields = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no safetensors file: its header is no JSON") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: is no safetensors file: its header is no JSON object")
    return fields, [f"name {name!r} is given twice" for name in twice]


def _field_problems(field: Any) -> Iterator[str]:
    """Yield what is wrong with one tensor's description by itself."""
    if not isinstance(field, dict) or field.keys() != KEYS:
        found = sorted(field) if isinstance(field, dict) else field
        yield f"must have dtype, shape and data_offsets, not {found!r}"
        return
    dtype, shape, offsets = field["dtype"], field["shape"], field["data_offsets"]
    sound = True
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        sound = False
        yield f"dtype {dtype!r} is unknown; known are {', '.join(DTYPE_BITS)}"
    if not _are_counts(shape):
        sound = False
        yield f"shape {shape!r} must be a list of integers, none negative"
    if not _are_counts(offsets) or len(offsets) != 2:
        sound = False
        yield f"data_offsets {offsets!r} must be two integers, none negative"
    if sound and math.prod(shape) * DTYPE_BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        yield (
            f"{dtype} {shape} takes {math.prod(shape) * DTYPE_BITS[dtype] / 8:,.15g} bytes, "
            f"its data_offsets {offsets} give {offsets[1] - offsets[0]:,}"
        )


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _layout_problems(fields: Mapping[str, Any], data_bytes: int) -> Iterator[str]:
    """Yield where the tensors overlap, leave a hole or do not end with the file."""
    before, end = "", 0
    for (begin, stop), name in sorted((f["data_offsets"], name) for name, f in fields.items()):
        if begin < end:
            yield f"tensor {name!r}: begins at byte {begin:,} of the data, inside {before!r}"
        elif begin > end:
            yield f"bytes {end:,} to {begin:,} of the data, before {name!r}, belong to no tensor"
        before, end = name, max(end, stop)
    if end > data_bytes:
        cut = sorted(name for name, f in fields.items() if f["data_offsets"][1] > data_bytes)
        yield (
            f"{end - data_bytes:,} bytes of data are missing at the end, in {len(cut)} "
            f"tensor{'s'[: len(cut) != 1]}, {cut[0]!r} among them; copy or download it again"
        )
    elif end < data_bytes:
        yield f"{data_bytes - end:,} bytes follow the last tensor's data"
