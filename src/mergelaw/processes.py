"""What tells one process from all others, on one machine and on several."""

import os
import socket
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import BaseModel, Field


class Process(BaseModel, frozen=True):
    """A process, as records name it.

    Attributes
    ----------
    machine : str
        What this boot of its machine, and its container's processes, have alone: `pid` means the
        process only there.
    started : int or None
        In ticks since boot: tells it from another of its number. None where that is not told.
    slurm_job : str or None
        The job of Slurm's that it is part of.
    """

    host: str
    machine: str
    pid: int = Field(gt=0)
    started: int | None
    slurm_job: str | None

    @classmethod
    def own(cls) -> Self:
        """Return this process."""
        stat = _stat(os.getpid())
        return cls(
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            started=stat and stat.started,
            slurm_job=os.environ.get("SLURM_JOB_ID"),
        )

    @property
    def is_here(self) -> bool:
        """Whether it is one of this machine, so that `lives` can tell."""
        return self.machine == _machine()

    def lives(self) -> bool:
        """Tell whether it lives; asked on its machine. Its number may be another's by now."""
        stat = _stat(self.pid)
        if stat is None:  # gone, another user's that /proc hides, or no Linux
            return exists(self.pid)
        return stat.started == self.started and stat.state not in "ZX"  # only waits to be reaped

    @property
    def title(self) -> str:
        """What messages call it: `Slurm job 12 on gpu1 (process 99)`."""
        if self.slurm_job:
            return f"Slurm job {self.slurm_job} on {self.host} (process {self.pid})"
        return f"process {self.pid} on {self.host}"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return socket.gethostname()


class _Stat(NamedTuple):
    """What is needed of /proc/PID/stat."""

    state: str
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before them may hold blanks
    return _Stat(fields[0], int(fields[19]))


def exists(pid: int) -> bool:
    """Tell whether this machine has a process of a number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True
