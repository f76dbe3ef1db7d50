"""The place of an output: one process at a time, unfinished work lies beside it."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import time
from pathlib import Path

from mergelaw import files
from mergelaw.checkpoints import journal
from mergelaw.errors import CheckpointError
from mergelaw.processes import exists

WAIT_SECONDS = 10.0
"""How long the workers of a killed process are waited for: they end with the span they are at."""
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}
"""What file systems without locks say (Lustre without the option `flock`, for example)."""


class Destination:
    """The right to make `out`, held against other processes until released.

    A process that dies loses it by itself. Where the file system has no locks, nobody is refused.

    Attributes
    ----------
    out : Path
        Absolute path of the output.
    exclusive : bool
        False where the file system has no locks.
    taken : bool
        Whether the output is there.

    Raises
    ------
    CheckpointError
        If another process holds it, or `out` exists.
    """

    def __init__(self, out: Path) -> None:
        self.taken = False
        self.out = Path(os.path.abspath(out))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._path = self.out.with_name(f".{self.out.name}.lock")
        self._descriptor, self.exclusive = _lock(self._path, self.out)
        try:
            self.refuse_existing()
        except BaseException:
            self.release()
            raise

    def refuse_existing(self) -> None:
        """Raise a CheckpointError if `out` exists."""
        if os.path.lexists(self.out):
            raise CheckpointError(
                f"{self.out}: exists already and is never written over; "
                "remove it, or give another place for the output"
            )

    def part(self, identity: str) -> Path:
        """Return the hidden folder beside `out` for work of this identity."""
        return self.out.with_name(f".{self.out.name}.{identity}.part")

    def remove_stale(self, identity: str) -> None:
        """Remove unfinished merges of other identities to the same place: nobody goes on there."""
        if not self.exclusive:
            return  # one of them may be at work
        begin = f".{self.out.name}."
        for folder in self.out.parent.glob("*.part"):
            other = folder.name.removeprefix(begin).removesuffix(".part")
            ours = folder.name == f"{begin}{other}.part" and "." not in other
            if ours and other != identity and journal.is_journal(folder / journal.NAME):
                shutil.rmtree(folder)

    def take(self, part: Path) -> None:
        """Give the output its place: the moment from which it is there, as a whole.

        Parameters
        ----------
        part : Path
            The finished folder, all its files on the disk.
        """
        self.refuse_existing()
        (part / journal.NAME).unlink()
        files.sync(part)
        os.rename(part, self.out)
        self.taken = True
        try:
            files.sync(self.out.parent)
        finally:
            self.release()

    def release(self) -> None:
        """Let other processes have the place."""
        if self.exclusive:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        os.close(self._descriptor)


def _lock(path: Path, out: Path) -> tuple[int, bool]:
    """Return the descriptor of a lock file that is held, and whether that shuts others out."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while _holder_is_dead(descriptor) and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            exclusive = _try_lock(descriptor, out)
        except BaseException:
            os.close(descriptor)
            raise
        if not exclusive or _is_there(path, descriptor):
            return descriptor, exclusive
        os.close(descriptor)  # its holder removed it in between: lock the one that is there now


def _try_lock(descriptor: int, out: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor) or "another process"
        raise CheckpointError(
            f"{out}: {holder} is writing it now; wait for its end, or give another place"
        ) from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise
    with contextlib.suppress(OSError):  # who holds it is told for convenience only
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return True


def _holder_is_dead(descriptor: int) -> bool:
    """Tell whether the lock is held, but only by what a killed process left: its workers."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        word, pid, _, host = (*_holder(descriptor).split(), *[""] * 4)[:4]
        return word == "process" and host == socket.gethostname() and not exists(int(pid))
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace")


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
