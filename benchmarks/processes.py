"""Whole commands on a warm page cache: their time, and the memory of all their processes.

The process that uses this should load nothing large: the peak that the kernel reports of a child
starts from its parent's.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_SECONDS = 0.01
READ_BYTES = 1 << 24


@dataclass(frozen=True)
class Run:
    """One command: wall seconds; peak resident bytes of its largest process, mapped files too."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Peak:
    """Peak bytes of a command and its workers: shared pages counted once, or in each process."""

    once: int
    each: int


@dataclass(frozen=True)
class Runner:
    """Runs commands that read some files and write one folder.

    Attributes
    ----------
    inputs : tuple of Path
        Read into the page cache before each command.
    out : Path
        What the command writes; removed after it.
    log : Path
        Takes what the command prints.
    """

    inputs: tuple[Path, ...]
    out: Path
    log: Path

    def timed(self, what: str, command: Sequence[str]) -> Run:
        """Run a command to its end, and say what it took."""
        with self._started(command) as (process, start):
            _, status, usage = os.wait4(process.pid, 0)
            run = Run(time.perf_counter() - start, usage.ru_maxrss * 1024)
            process.returncode = os.waitstatus_to_exitcode(status)
        say(f"{what}: {run.seconds:.2f} s, peak {run.peak / 1e6:.0f} MB")
        return run

    def watched(self, what: str, command: Sequence[str]) -> Peak:
        """Run a command to its end, and say how much memory its processes had at any one moment."""
        once = each = 0
        with self._started(command) as (process, _):
            while process.poll() is None:
                sizes = [_memory(member) for member in _family(process.pid)]
                once = max(once, sum(size for size, _ in sizes))
                each = max(each, sum(size for _, size in sizes))
                time.sleep(POLL_SECONDS)
        say(
            f"{what}: peak {once / 1e6:.0f} MB; {each / 1e6:.0f} MB, shared pages counted each time"
        )
        return Peak(once, each)

    @contextmanager
    def _started(self, command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
        """Start a command on a warm cache; in the end see its output, and remove it."""
        os.sync()
        for path in self.inputs:
            _read(path)
        with self.log.open("wb") as stream:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
            yield process, start
        if process.returncode or not self.out.exists():
            words = self.log.read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"failed: {' '.join(command)}\n{words}")
        shutil.rmtree(self.out)


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def _read(path: Path) -> None:
    buffer = bytearray(READ_BYTES)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; nothing once it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> tuple[int, int]:
    """Return the proportional and the resident set of a process; zeros once it has ended."""
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0, 0
    return info.pss, info.rss
