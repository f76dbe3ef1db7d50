"""Ranges of a tensor's entries, read from files into reused buffers, by any number of threads."""

import errno
import mmap
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from mergelaw.checkpoints.headers import Entry
from mergelaw.errors import CheckpointError

TORCH_DTYPE: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""torch's type by the format's name; types of less than a byte have none."""


class BlockReader:
    """Reads ranges of tensors; each file is opened once, at its first use.

    Parameters
    ----------
    mode : {"pread", "mmap"}
        "pread" copies into the caller's buffer; "mmap" maps whole files and gives views of them.

    Notes
    -----
    Threads may share a reader, each with a buffer of its own. A mapped view must not be written
    to; and a file that is cut while it is mapped ends the process by a signal, where "pread"
    raises an error.
    """

    def __init__(self, mode: Literal["pread", "mmap"] = "pread") -> None:
        self._mapped = mode == "mmap"
        self._descriptors: dict[Path, int] = {}
        self._maps: dict[Path, Tensor] = {}
        self._lock = Lock()

    def read(self, entry: Entry, start: int, stop: int, buffer: Tensor) -> Tensor:
        """Return entries [start, stop) of a tensor, in the type that it is stored in.

        Parameters
        ----------
        entry : Entry
            Where the tensor lies.
        start, stop : int
            0 <= start <= stop <= entry.n.
        buffer : contiguous uint8 tensor, at least as long as the range in bytes
            The result may be a view of it, valid until it is used again.

        Returns
        -------
        tensor, shape (stop - start,)

        Raises
        ------
        CheckpointError
            If the file cannot be opened or read, or ends before the range does.
        """
        dtype = TORCH_DTYPE[entry.dtype]
        offset, n_bytes = entry.start + start * dtype.itemsize, (stop - start) * dtype.itemsize
        view = buffer[:n_bytes]
        try:
            if not self._mapped:
                self._fill(entry, view.numpy().data, offset)
                return view.view(dtype)
            mapped = self._map(entry)[offset : offset + n_bytes]
        except OSError as error:
            raise CheckpointError(
                f"{entry.path}: {entry.name} cannot be read ({error.strerror})"
            ) from error
        if len(mapped) < n_bytes:
            raise _truncated(entry)
        if offset % dtype.itemsize:  # a type's view has to begin at a multiple of its size
            return view.copy_(mapped).view(dtype)
        return mapped.view(dtype)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._maps.clear()
            while self._descriptors:
                os.close(self._descriptors.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self, entry: Entry, view: memoryview, offset: int) -> None:
        """Overwrite `view` with the file's bytes from `offset`."""
        descriptor = self._descriptors.get(entry.path)
        if descriptor is None:
            with self._lock:
                descriptor = self._descriptors.get(entry.path)
                if descriptor is None:
                    descriptor = self._descriptors[entry.path] = _open(entry.path)
        done = os.preadv(descriptor, [view], offset)
        while done < len(view):
            more = os.preadv(descriptor, [view[done:]], offset + done)
            if not more:
                raise _truncated(entry)
            done += more

    def _map(self, entry: Entry) -> Tensor:
        """Return the whole file as a tensor of bytes."""
        if entry.path not in self._maps:
            with self._lock, open(_open(entry.path), "rb", buffering=0) as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                # by DLPack, which takes memory that must not be written without a warning
                self._maps[entry.path] = from_dlpack(np.frombuffer(mapped, np.uint8))
        return self._maps[entry.path]


def read_tensor(entry: Entry) -> Tensor:
    """Return a whole tensor, in the type and shape that it is stored in.

    Raises
    ------
    CheckpointError
        As `BlockReader.read`; and if the type has less than a byte an entry.
    """
    if entry.dtype not in TORCH_DTYPE:
        raise CheckpointError(f"{entry.path}: {entry.name} is of {entry.dtype}, packed numbers")
    with BlockReader() as reader:
        buffer = torch.empty(entry.n_bytes, dtype=torch.uint8)
        return reader.read(entry, 0, entry.n, buffer).view(entry.shape)


def _truncated(entry: Entry) -> CheckpointError:
    return CheckpointError(
        f"{entry.path}: truncated while reading: the file ends within {entry.name}, or before it"
    )


def _open(path: Path) -> int:
    """Open a file for reading; a limit on the number of open files is raised where that is free."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return os.open(path, os.O_RDONLY)
