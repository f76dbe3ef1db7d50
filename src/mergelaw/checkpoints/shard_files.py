"""The planned files on the disk: preallocated, open, filled at any place by any thread."""

import ctypes
import errno
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mergelaw.checkpoints.journal import sync_data
from mergelaw.checkpoints.reading import TORCH_DTYPE
from mergelaw.checkpoints.shards import OutTensor, ShardFile, ShardPlan

NO_PROMISE = {errno.ENOSYS, errno.ENOTSUP}
"""Errors of file systems that cannot allocate space beforehand."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a tensor's entries go."""

    descriptor: int
    offset: int
    tensor: OutTensor
    dtype: torch.dtype


class ShardFiles:
    """The files of a plan in a folder, made or opened again.

    Parameters
    ----------
    folder : Path
        Holds either none of them or, as `are_there` tells, all of them.
    plan : ShardPlan
        The files.
    exist : bool
        Whether an earlier run made them.

    Raises
    ------
    OSError
        ENOSPC or EDQUOT if the disk has no space for them.
    """

    def __init__(self, folder: Path, plan: ShardPlan, exist: bool) -> None:
        self._descriptors: list[int] = []
        self._targets: dict[str, _Target] = {}
        self._at_work, self._closed = 0, False
        self._idle = threading.Condition()
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if exist else os.O_CREAT | os.O_EXCL)
        try:
            for file in plan.files:
                descriptor = os.open(folder / file.name, flags, 0o666)
                self._descriptors.append(descriptor)
                if not exist:
                    reserve(descriptor, file.n_bytes, plan.n_bytes)
                    _write_at(descriptor, memoryview(file.header), 0)
                self._targets |= _targets(descriptor, file)
        except BaseException:
            self.close()
            raise

    def write(self, name: str, start: int, data: Tensor | memoryview) -> None:
        """Write entries of a tensor; see `CheckpointWriter.write`."""
        target = self._targets[name]
        view = _bytes(name, data, target.dtype)
        item_bytes, n_entries = target.tensor.item_bytes, target.tensor.n_entries
        n, rest = divmod(len(view), item_bytes)
        if rest or not 0 <= start <= start + n <= n_entries:
            raise ValueError(
                f"{name}: {len(view)} bytes from entry {start} on do not fit into "
                f"{n_entries} entries of {item_bytes} bytes"
            )
        with self._open():
            _write_at(target.descriptor, view, target.offset + start * item_bytes)

    def sync(self, names: Iterable[str]) -> None:
        """Bring the files that hold these tensors to the disk."""
        for descriptor in {self._targets[name].descriptor for name in names}:
            sync_data(descriptor)

    def close(self) -> None:
        """Close the files once no thread is writing; later writes are refused."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._at_work == 0)
        while self._descriptors:
            os.close(self._descriptors.pop())

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Keep the files open: the number of a closed one may come to mean another file."""
        with self._idle:
            if self._closed:
                raise ValueError("the checkpoint's files are closed")
            self._at_work += 1
        try:
            yield
        finally:
            with self._idle:
                self._at_work -= 1
                self._idle.notify_all()


def are_there(folder: Path, plan: ShardPlan) -> bool:
    """Tell whether a folder holds all planned files: their lengths and headers, data aside."""
    return all(_fits(folder / file.name, file) for file in plan.files)


def reserve(descriptor: int, n_bytes: int, n_bytes_all: int) -> None:
    """Give a file its length, with space on the disk where the file system can promise it.

    `os.posix_fallocate` would write into every block of a file system that cannot (NFS).

    Parameters
    ----------
    descriptor : int
        An open, empty file.
    n_bytes : int
        Its length, at least 1.
    n_bytes_all : int
        Space that this file and its like take: it must be free where nothing is promised.

    Raises
    ------
    OSError
        ENOSPC or EDQUOT if there is no space.
    """
    failure = _fallocate(descriptor, n_bytes)
    while failure == errno.EINTR:
        failure = _fallocate(descriptor, n_bytes)
    if failure in NO_PROMISE:
        disk = os.fstatvfs(descriptor)
        too_small = disk.f_blocks and disk.f_bavail * disk.f_frsize < n_bytes_all
        failure = errno.ENOSPC if too_small else 0
        os.ftruncate(descriptor, n_bytes)
    if failure:
        raise OSError(failure, os.strerror(failure))


def _fallocate(descriptor: int, n_bytes: int) -> int:
    """Return 0, or the error's number."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if call is None:
        return errno.ENOSYS
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return ctypes.get_errno() if call(descriptor, 0, 0, n_bytes) else 0


def _targets(descriptor: int, file: ShardFile) -> dict[str, _Target]:
    return {
        tensor.name: _Target(descriptor, offset, tensor, TORCH_DTYPE[tensor.dtype])
        for tensor, offset in file.offsets.items()
    }


def _fits(path: Path, file: ShardFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.n_bytes:
        return False
    with path.open("rb") as stream:
        return stream.read(len(file.header)) == file.header


def _bytes(name: str, data: Tensor | memoryview, dtype: torch.dtype) -> memoryview:
    if isinstance(data, memoryview):
        return data.cast("B")
    if data.dtype != dtype or data.device.type != "cpu" or not data.is_contiguous():
        raise ValueError(
            f"{name}: takes contiguous {dtype} on the CPU, not {data.dtype} on {data.device} "
            f"with strides {data.stride()}"
        )
    return data.reshape(-1).view(torch.uint8).numpy().data


def _write_at(descriptor: int, view: memoryview, place: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written
