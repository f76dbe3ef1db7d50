"""The journal of a merge: which spans are on the disk, with their facts.

A line is appended only after the data that it speaks of were synced: neither a kill nor a loss of
power makes it lie. A thread does both all along, so that no long sync is left for the end.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mergelaw.records import append, good_lines, parse_line, record_line

Span = tuple[str, int, int]
"""Entries [start, stop) of a tensor: name, start, stop."""

Facts = Mapping[str, Any]
"""What is known of a span, as JSON has it: lists for tuples, keys of text."""

NAME = "journal"
FORMAT = "mergelaw merge journal 1"
SYNC_SECONDS = 0.5
"""Time between two syncs: the work that a kill can cost."""

sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Journal:
    """Records of finished spans, durable within about `SYNC_SECONDS`.

    Parameters
    ----------
    path : Path
        The journal; one that is there is gone on with up to its first bad line. One of another
        identity or format is begun anew.
    identity : str
        Digest of all that decides the output.
    sync : callable
        Brings the data of the named tensors to the disk before lines that speak of them.

    Attributes
    ----------
    done : dict of Span to Facts
        All spans recorded, by this run or an earlier one.
    """

    def __init__(self, path: Path, identity: str, sync: Callable[[set[str]], None]) -> None:
        self.done, length = read_journal(path, identity)
        self._sync = sync
        if length == 0:
            length = begin_journal(path, identity)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(self._descriptor, length)  # a torn line would spoil the one after it
        self._pending: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def record(self, span: Span, facts: Facts) -> None:
        """Say that a span was written in full; from any thread.

        Raises
        ------
        OSError
            If earlier data or records could not be brought to the disk.
        TypeError, ValueError
            If the facts are not JSON or hold a number that is not finite; if it is closed.
        """
        self.check()
        line = record_line({"span": span, "facts": facts})
        with self._lock:
            if self._stop.is_set():
                raise ValueError("the journal is closed")
            self._pending.append((span[0], line))
            self.done[span] = parse_line(line)["facts"]

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Bring every record to the disk and end the thread.

        Raises
        ------
        OSError
            If that is not possible; what was on the disk before stays recorded.
        """
        if self._stop.is_set():
            return
        with self._lock:
            self._stop.set()
        self._thread.join()
        try:
            self.check()
            self._flush()
        finally:
            os.close(self._descriptor)

    def _run(self) -> None:
        while not self._stop.wait(SYNC_SECONDS):
            try:
                self._flush()
            except BaseException as error:
                # never go on: a sync that failed once may report success the next time
                self._failure = error
                return

    def _flush(self) -> None:
        with self._lock:
            taken, self._pending = self._pending, []
        if taken:
            self._sync({name for name, _ in taken})
            append(self._descriptor, b"".join(line for _, line in taken))
            sync_data(self._descriptor)


def begin_journal(path: Path, identity: str) -> int:
    """Write a journal without records; return its length in bytes."""
    return path.write_bytes(record_line({"format": FORMAT, "identity": identity}))


def read_journal(path: Path, identity: str) -> tuple[dict[Span, Facts], int]:
    """Return the records of a journal and the bytes that they take, up to the first bad line.

    Parameters
    ----------
    identity : str
        A journal that was begun for another one has no records and takes no bytes.
    """
    done: dict[Span, Facts] = {}
    length = 0
    for value, end in good_lines(path):
        if length == 0:
            if value != {"format": FORMAT, "identity": identity}:
                break
        else:
            name, start, stop = value["span"]
            done[name, start, stop] = value["facts"]
        length = end
    return done, length


def is_journal(path: Path) -> bool:
    """Tell whether a file is a journal of a merge, whatever its identity."""
    for value, _ in good_lines(path):
        return isinstance(value, dict) and value.get("format") == FORMAT
    return False
