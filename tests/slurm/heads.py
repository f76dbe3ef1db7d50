"""Snakemake heads on the tests' Slurm, and what Slurm and their logs say about their jobs."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.slurm.cluster import ask
from tests.workflow.workspace import CONFIG, ROOT, Workspace, edited, environment, read_json

LONG = edited(
    CONFIG, evaluation=CONFIG["evaluation"] | {"tokens_per_domain": 10**6, "batch_tokens": 128}
)
"""The smoke study with all of its held-out text in small batches, so that a chunk takes seconds."""

CHUNK = "results/smoke/sweep/w32/average/0.parquet"
N_MERGES = 16
SOME = 3

PATIENCE = 900.0
"""Seconds that a test waits for what must come. On two slow cores that the other tests use too, a
chunk of 15 s of processor time has taken five minutes."""

PROFILE = ("--profile", "slurm")
QUICK = (
    *("--slurm-init-seconds-before-status-checks", "1", "--max-status-checks-per-second", "2"),
    *("--set-threads", "chunk=1", "base=1", "expert=1"),
)
"""Looks at jobs sooner than a real queue is worth; one core per job, because nodes share two."""


class Study(Workspace):
    """A study's folder; copies of it are where a test lets things go wrong."""

    def copy(self, folder: Path) -> "Study":
        shutil.copytree(self.folder, folder)
        return Study(folder)

    @property
    def chunk(self) -> Path:
        return self.folder / CHUNK

    @property
    def cost(self) -> dict[str, Any]:
        return read_json(self.chunk.with_suffix(".cost.json"))

    def n_scored(self) -> int:
        """Merges that the chunk's job has scored so far."""
        path = self.chunk.with_suffix(".progress")
        return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0

    def head_of(
        self,
        config: Mapping[str, Any],
        *arguments: str,
        prefix: tuple[str, ...] = (),
        project: Path = ROOT,
    ) -> "Head":
        """Start `snakemake --profile slurm` from a project's root."""
        command = [*prefix, *self.command(config, *QUICK, *PROFILE, *arguments)]
        command[command.index("--snakefile") + 1] = str(project / "Snakefile")
        log = self.folder / f"head{time.monotonic_ns()}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                env=environment(),
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return Head(process, log, self)


@dataclass
class Head:
    """A running Snakemake that submits jobs."""

    process: "subprocess.Popen[bytes]"
    log: Path
    study: Study

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def jobs(self) -> list[str]:
        """Numbers of the jobs that were submitted, in order."""
        return re.findall(r"submitted with SLURM jobid (\d+)", self.text())

    def job_log(self, attempt: int = 1) -> str:
        """What Slurm and the inner Snakemake said of an attempt's job."""
        path = re.findall(r"submitted with SLURM jobid \d+ \(log: (.*?)\)", self.text())[
            attempt - 1
        ]
        return Path(path).read_text(encoding="utf-8")

    def job(self, attempt: int = 1) -> str:
        """Number of an attempt's job, waited for."""
        self.until(lambda: len(self.jobs()) >= attempt, f"submission {attempt}")
        return self.jobs()[attempt - 1]

    def half_way(self) -> int:
        """Hold the chunk's job once it has scored some merges; how many it had, or more."""
        self.until(lambda: self.study.n_scored() >= SOME, f"{SOME} scored merges")
        hold(self.job())
        return self.study.n_scored()

    def until(self, ready: Callable[[], Any], what: str) -> None:
        until(ready, f"{what}\n{self.text()[-2000:]}", self.process)

    def wait(self) -> int:
        """Exit status, waited for."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(
                f"still running after {PATIENCE} s:\n{self.text()[-3000:]}"
            ) from None

    def succeeds(self) -> str:
        """The log of a head that ends well."""
        status = self.wait()
        assert status == 0, self.text()[-6000:]
        return self.text()

    def end(self) -> None:
        """Kill it with what it started on this side; jobs stay with Slurm."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def all_half_way(*heads: Any) -> list[Any]:
    """Hold the jobs of several heads, each as soon as it is half-way: none waits for another."""
    with ThreadPoolExecutor(len(heads)) as waiting:
        return list(waiting.map(lambda head: head.half_way(), heads))


def until(
    ready: Callable[[], Any],
    what: str,
    process: "subprocess.Popen[bytes] | None" = None,
) -> None:
    """Wait for something; fail when it takes too long or a process that should bring it ends."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        ended = process is not None and process.poll() is not None
        assert not ended, f"ended early, waiting for {what}"
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain for {what}"
        time.sleep(0.1)


def processes_of(job: str) -> Iterator[psutil.Process]:
    """Processes of a Slurm job."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("SLURM_JOB_ID") == job:
                yield process


def hold(job: str) -> None:
    """Stop a chunk's process where it is, so that what is to befall the job does so there.

    Slurm continues a process that it asks to end.
    """
    for process in processes_of(job):
        if {"mergelaw", "chunk"} <= set(process.cmdline()):
            process.suspend()


def state(job: str) -> str:
    """State of a job as Slurm's controller has it."""
    return fact(job, "JobState")


def fact(job: str, key: str) -> str:
    """What the controller says of a job under a key."""
    found = re.search(rf"(?m)\b{key}=(\S*)", ask("scontrol", "show", "job", job))
    return found[1] if found else ""


def accounted(job: str, *fields: str) -> list[str]:
    """Fields of a job in the accounting database."""
    line = ask("sacct", "-X", "-n", "-P", "-j", job, "-o", ",".join(fields)).strip()
    return line.split("|")


def record(study: Study) -> dict[str, Any]:
    """Return what the chunk's job noted of itself."""
    return read_json(study.results / "jobs" / "chunk" / "w32~average~0.json")
