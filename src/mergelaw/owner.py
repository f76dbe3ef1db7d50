"""Which process does a job now: one at a time, also on shared file systems without locks.

Two can be started when a workflow's head is killed, its jobs run on, and a new head submits them
again. The owner's record lies beside the job's progress; its time of change is its sign of life.
"""

import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from mergelaw.errors import BusyError
from mergelaw.processes import Process

BEAT_SECONDS = 20.0
"""Time between two signs of life."""
DEAD_SECONDS = 180.0
"""An owner on another machine without a sign of life for so long counts as dead."""
SKEW_SECONDS = 300.0
"""The most that clocks of two nodes differ: those of a Slurm cluster may not differ by more."""
PATIENCE_SECONDS = 10.0
"""How long a live owner on this machine is waited for: it may be about to end."""
SETTLE_SECONDS = 0.5
"""After a dead owner's record is replaced: others that did the same at once have done it then."""
POLL_SECONDS = 0.5


class Claim(BaseModel, frozen=True):
    """What lies in the file: a token that tells this owner from all others, and its process."""

    token: str
    process: Process


@dataclass(frozen=True)
class Record:
    """The file: who owns the job, None where it does not say, and the last sign of life (ns)."""

    claim: Claim | None
    beat: int

    @property
    def title(self) -> str:
        """What messages call the owner."""
        return self.claim.process.title if self.claim else "an unknown process"


class Owner:
    """The right to do a job, from entering the block to its end.

    An owner on the same machine is dead when its process is gone; one on another machine when it
    gave no sign of life for `DEAD_SECONDS`. Its place is then taken. An owner that was only
    suspended finds that out by `check` before it writes anything.

    Parameters
    ----------
    path : Path
        The record; it is removed at the end.

    Raises
    ------
    BusyError
        On entering, if another process does the job.
    OSError
        If the record cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claim = Claim(token=uuid.uuid4().hex, process=Process.own())
        self._line = self._claim.model_dump_json().encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="owner", daemon=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create():
            if _is_left(self._path) and self._replace():
                break
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._descriptor)
        if self._is_mine():
            self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Make sure that no other process has taken the job over.

        Raises
        ------
        BusyError
            If one has: this process may have been suspended for long.
        """
        if self._is_mine():
            return
        record = _read(self._path)
        who = record.title if record else "someone who removed its record"
        raise BusyError(
            f"{self._path}: this job was taken over by {who}, as this process gave no sign of life "
            f"for {DEAD_SECONDS / 60:g} minutes; it ends here, and what it had done is kept"
        )

    def _create(self) -> bool:
        """Write the record where there is none; say whether that was so."""
        try:
            self._descriptor = _written(self._path, self._line)
        except FileExistsError:
            return False
        return True

    def _replace(self) -> bool:
        """Put the record in a dead owner's place; say whether nobody else did so at once."""
        part = self._path.with_name(f".{self._path.name}.{self._claim.token}.part")
        self._descriptor = _written(part, self._line)
        os.replace(part, self._path)
        time.sleep(SETTLE_SECONDS)
        if self._is_mine():
            return True
        os.close(self._descriptor)
        return False

    def _is_mine(self) -> bool:
        record = _read(self._path)
        return record is not None and record.claim == self._claim

    def _beat(self) -> None:
        """Write the record over itself every so often: that changes its time."""
        while not self._stop.wait(BEAT_SECONDS):
            with suppress(OSError):  # the next may succeed; if none does, others may take over
                os.pwrite(self._descriptor, self._line, 0)
                os.fsync(self._descriptor)


def _written(path: Path, line: bytes) -> int:
    """Write a file that is not there; return its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _read(path: Path) -> Record | None:
    """Return the record; None if there is none. It is empty for a moment when it is created."""
    try:
        with path.open("rb") as file:
            content, beat = file.read(), os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None
    try:
        return Record(Claim.model_validate_json(content), beat)
    except ValidationError:
        return Record(None, beat)


def _is_left(path: Path) -> bool:
    """Watch the record until its owner is dead (True) or gone (False).

    Raises
    ------
    BusyError
        If its owner lives.
    """
    now = first = _read(path)
    start = time.monotonic()
    while first is not None:
        watched = time.monotonic() - start
        process = first.claim.process if first.claim else None
        if process and process.is_here:
            if not process.lives():
                return True
            if watched > PATIENCE_SECONDS:
                raise _busy(path, first)
        elif watched > DEAD_SECONDS or _age(first) > DEAD_SECONDS + SKEW_SECONDS:
            return True
        if now is first:
            print(f"{path}: waiting for a sign of life of {first.title}", flush=True)
        time.sleep(POLL_SECONDS)
        now = _read(path)
        if now is None or now.claim != first.claim:
            return False
        if now.beat != first.beat and not (process and process.is_here):
            raise _busy(path, first)
    return False


def _age(record: Record) -> float:
    return time.time() - record.beat / 1e9


def _busy(path: Path, record: Record) -> BusyError:
    slurm_job = record.claim and record.claim.process.slurm_job
    way = f"`scancel {slurm_job}`" if slurm_job else "end that process"
    return BusyError(
        f"{path}: {record.title} does this job now; wait for its end, or {way} and run this again: "
        "it goes on from what is kept"
    )
