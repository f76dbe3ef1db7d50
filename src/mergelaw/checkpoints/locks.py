"""Locks between the processes of one machine; those of a process that dies vanish by themselves."""

import fcntl
import os
import time
from pathlib import Path

POLL_SECONDS = 0.05


class FileLock:
    """A lock on a file: held by many for reading, or by one alone.

    Parameters
    ----------
    path : Path
        The file; made where there is none, and never removed.

    Raises
    ------
    OSError
        By every method, if the file system has no locks or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> None:
        """Hold it with others, when nobody has it alone any more."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def take(self) -> None:
        """Hold it alone, when nobody else has it any more."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def try_take(self, seconds: float = 0) -> bool:
        """Hold it alone, if that is possible within some seconds; say whether it is."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(POLL_SECONDS)
            else:
                return True

    def touch(self) -> None:
        """Note on the file that it was used now."""
        os.utime(self._descriptor)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
