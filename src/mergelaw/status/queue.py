"""Slurm's queue, as `squeue` tells it, where there is one; the heads of a folder's jobs."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SQUEUE_SECONDS = 10.0
"""How long `squeue` may take: a controller that is busy or gone keeps it waiting."""

WAITING = {
    *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"),
    "RESV_DEL_HOLD",
}
"""States of jobs that do not run yet, or not any more; the second one's nodes are booting."""


@dataclass(frozen=True)
class QueuedJob:
    """A job of this user that Slurm knows: its state, its folder, and the comment it was given."""

    id: str
    state: str
    folder: str
    comment: str

    @property
    def is_step(self) -> bool:
        """Whether Snakemake's plugin submitted it: it tells the rule, or the group, as comment."""
        return self.comment.startswith(("rule_", "group_"))

    @property
    def waits(self) -> bool:
        """Whether it does not run."""
        return self.state in WAITING


@dataclass(frozen=True)
class Queue:
    """What Slurm tells.

    Attributes
    ----------
    jobs : tuple of QueuedJob, or None
        None where Slurm does not answer. The tasks of an array have one number while they wait.
    lack : str
        Why it does not; empty where there is no `squeue`.
    """

    jobs: tuple[QueuedJob, ...] | None = None
    lack: str = ""

    def job(self, number: str | None) -> QueuedJob | None:
        """Return the job of a number, one that runs first; None where Slurm knows none."""
        found = [job for job in self.jobs or () if job.id == number]
        return min(found, key=lambda job: job.waits, default=None)

    def of_folder(self, folder: Path) -> list[QueuedJob]:
        """Return the jobs that were submitted in a folder."""
        here, jobs = os.path.realpath(folder), self.jobs or ()
        names = {name for name in {job.folder for job in jobs} if os.path.realpath(name) == here}
        return [job for job in jobs if job.folder in names]


def read_queue() -> Queue:
    """Ask Slurm for this user's jobs; an array's are told one by one."""
    command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%A|%T|%Z|%k"]
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            command, capture_output=True, text=True, timeout=SQUEUE_SECONDS, check=False
        )
    except FileNotFoundError:
        return Queue()
    except subprocess.TimeoutExpired:
        return Queue(lack=f"squeue did not answer within {SQUEUE_SECONDS:.0f} s")
    except OSError as error:
        return Queue(lack=f"squeue cannot be run ({error.strerror})")
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Queue(lack=f"squeue failed ({words[-1]})")
    rows = [line.split("|", 3) for line in done.stdout.splitlines()]
    return Queue(tuple(QueuedJob(*row) for row in rows if len(row) == 4))


@dataclass(frozen=True)
class Heads:
    """What is seen of the Snakemake processes that submit a folder's jobs.

    Attributes
    ----------
    seen : bool
        Whether one runs on this machine, or as a job of Slurm's.
    locked : bool
        Whether the folder is locked: a head runs somewhere, or one was killed.
    """

    seen: bool
    locked: bool


def heads_of(folder: Path, queued: list[QueuedJob]) -> Heads:
    """Look for heads of a folder; on another login node one cannot be seen."""
    locks = folder / ".snakemake" / "locks"
    locked = locks.is_dir() and any(locks.iterdir())
    as_job = any(not job.is_step and not job.waits for job in queued)
    return Heads(as_job or _runs_here(folder), locked)


def _runs_here(folder: Path) -> bool:
    here = os.path.realpath(folder)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if _is_head(words) and os.path.realpath(process / "cwd") == here:
                return True
        except OSError:  # it ended, or is another user's
            continue
    return False


def _is_head(words: list[bytes]) -> bool:
    """Tell Snakemake's main process from those that it starts for jobs."""
    called = any(word.rpartition(b"/")[2] == b"snakemake" for word in words[:4])
    return called and b"--mode" not in words
