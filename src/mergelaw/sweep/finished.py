"""What a job has scored so far: kept beside its outputs, so that a killed job goes on."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mergelaw.owner import Owner
from mergelaw.records import append, good_lines, record_line

FORMAT = "mergelaw sweep progress 1"
SYNC_SECONDS = 5.0

Key = tuple[int, str]
"""Number of the series in the job, and name of the merge: its experts in the order of summation."""

ItemSums = Sequence[Sequence[float]]
"""Summed negative log-likelihood by domain and item, in nats."""


class Finished:
    """The item sums of scored merges, in a file that only grows.

    Every merge is written when it is scored: a killed job loses the one in work. A node that
    crashes may lose those of its last `SYNC_SECONDS` too.

    Parameters
    ----------
    path : Path
        The file; one that is there is gone on with up to its first bad line. One of another
        identity is begun anew.
    identity : str
        Digest of all that decides the sums.
    owner : Owner, optional
        The right to write the file, made sure of before every change.

    Attributes
    ----------
    sums : dict of Key to ItemSums
        Those of earlier runs and of this one.
    """

    def __init__(self, path: Path, identity: str, owner: Owner | None = None) -> None:
        self._path, self._owner = path, owner
        self._make_sure()
        self.sums, length = _read(path, identity)
        if length == 0 and path.is_file():
            print(f"{path}: is of other weights, text, settings or versions; begun anew")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._descriptor, length)  # a torn line would spoil the one after it
        if length == 0:
            append(self._descriptor, record_line({"format": FORMAT, "identity": identity}))
        self._synced = time.monotonic()

    def add(self, key: Key, sums: ItemSums) -> None:
        """Keep the sums of a merge.

        Raises
        ------
        BusyError
            If another process has taken the job over.
        OSError
            If they cannot be written.
        ValueError
            If one is not finite.
        """
        self._make_sure()
        append(self._descriptor, record_line([*key, sums]))
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            os.fsync(self._descriptor)
            self._synced = time.monotonic()
        self.sums[key] = sums

    def _make_sure(self) -> None:
        if self._owner is not None:
            self._owner.check()

    def remove(self) -> None:
        """Remove the file: its content lies in the job's table."""
        self._make_sure()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


def _read(path: Path, identity: str) -> tuple[dict[Key, ItemSums], int]:
    """Return what a file holds, and the bytes that it takes up to the first bad line."""
    sums: dict[Key, ItemSums] = {}
    length = 0
    for value, end in good_lines(path):
        if length == 0:
            if value != {"format": FORMAT, "identity": identity}:
                break
        else:
            number, name, items = value
            sums[number, name] = items
        length = end
    return sums, length
