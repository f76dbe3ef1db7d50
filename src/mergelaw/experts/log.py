"""The log of a training: a row per step, kept line by line while it runs, a table at its end."""

import os
import resource
from pathlib import Path

import polars as pl
import torch

from mergelaw.errors import TrainingError
from mergelaw.records import append, good_lines, record_line
from mergelaw.tables import TRAINING_LOG

COLUMNS = tuple(TRAINING_LOG)[2:]
"""Those of a line; size and expert are the same in all."""


class LogFile:
    """The lines of a training that runs.

    Parameters
    ----------
    path : Path
        The file; it grows.
    writes : bool
        Whether this process keeps the log.
    """

    def __init__(self, path: Path, writes: bool) -> None:
        self._path, self._descriptor = path, -1
        if writes:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def keep(self, steps: int) -> None:
        """Cut off what was logged after so many steps: they are made again.

        Raises
        ------
        TrainingError
            If fewer steps were logged.
        """
        if self._descriptor < 0:
            return
        ends = [0, *(end for _, end in good_lines(self._path))]
        if len(ends) <= steps:
            raise TrainingError(
                f"{self._path}: has {len(ends) - 1} of {steps} steps; delete {self._path.parent} "
                "to begin anew"
            )
        os.truncate(self._path, ends[steps])

    def add(
        self,
        step: int,
        loss: float,
        rate: float,
        norm: float,
        n_scored: int,
        n_tokens: int,
        seconds: float,
    ) -> None:
        """Add a step; columns of `mergelaw.tables.TRAINING_LOG`."""
        if self._descriptor < 0:
            return
        speed = n_tokens / seconds
        line = [step, loss, rate, norm, n_scored, n_tokens, seconds, speed, peak_memory()]
        append(self._descriptor, record_line(line))

    def sync(self) -> None:
        """Bring the lines to the disk."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Bring the lines to the disk and close the file."""
        self.sync()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_log(path: Path, size: str, expert: str) -> pl.DataFrame:
    """Return the lines of a training as rows of `mergelaw.tables.TRAINING_LOG`."""
    rows = [[size, expert, *values] for values, _ in good_lines(path)]
    return pl.DataFrame(rows, schema=dict(TRAINING_LOG), orient="row")


def peak_memory() -> int:
    """Return the most bytes so far: of this process's GPU, or of the process where it has none."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
