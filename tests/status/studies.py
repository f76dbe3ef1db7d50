"""A study in a folder of its own, its jobs run by the command line, and its status."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from mergelaw.cli import app
from mergelaw.config import Study, parse_study
from mergelaw.jobs.record import JobRecord, read_record
from mergelaw.paths import StudyPaths


@dataclass
class Folder:
    """Where `results` lies, and the study that it holds."""

    path: Path
    config: dict[str, Any]

    @property
    def study(self) -> Study:
        return parse_study(self.config)

    @property
    def paths(self) -> StudyPaths:
        return StudyPaths(self.path / "results" / self.config["name"])

    def write_config(self) -> None:
        """Write study.json, as snakemake does when it starts."""
        self.paths.root.mkdir(parents=True, exist_ok=True)
        self.paths.config.write_text(json.dumps(self.config))

    def start(self, *words: str, log: str = "job.log", **variables: str) -> subprocess.Popen[str]:
        """Start a command, its output in a log."""
        with (self.path / log).open("w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "mergelaw", *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.path,
                env=environment(**variables),
            )

    def chunk(
        self, size: str, method: str, index: int, log: str = "job.log", **variables: str
    ) -> subprocess.Popen[str]:
        """Start the job of a chunk."""
        return self.start(*self._chunk_words(size, method, index), log=log, **variables)

    def chunk_here(self, size: str, method: str, index: int, **variables: str) -> int:
        """Run the job of a chunk within this process, which is quicker; its exit status."""
        with contextlib.chdir(self.path):
            words = self._chunk_words(size, method, index)
            return CliRunner().invoke(app, words, env=environment(**variables)).exit_code

    def _chunk_words(self, size: str, method: str, index: int) -> list[str]:
        words = f"sweep chunk --size {size} --method {method} --chunk {index} --config".split()
        return [*words, str(self.paths.config)]

    def record(self, rule: str, *targets: str) -> JobRecord:
        found = read_record(self.paths.job_record(rule, *targets))
        assert found is not None
        return found

    def status(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mergelaw", "status", *words],
            capture_output=True,
            text=True,
            cwd=self.path,
            env=environment(**variables),
        )

    def facts(self, **variables: str) -> dict[str, Any]:
        """Return what `status --json` tells, asked within this process: that is quick."""
        words = ["status", str(self.paths.root), "--json"]
        done = CliRunner().invoke(app, words, env=environment(**variables), catch_exceptions=False)
        return json.loads(done.stdout)


def environment(**variables: str) -> dict[str, str]:
    """The tests' environment, without a scheduler's variables, at 80 columns."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    kept.pop("CUDA_VISIBLE_DEVICES", None)
    return {**kept, "COLUMNS": "80", **variables}


def counts(facts: dict[str, Any], stage: str) -> tuple[int, int, int, int, int]:
    """Jobs, and those done, running, failed, left."""
    [row] = [row for row in facts["stages"] if row["stage"] == stage]
    return tuple(row[name] for name in ("jobs", "done", "running", "failed", "left"))


def change_process(record: Path, **fields: Any) -> None:
    """Let the record of a job tell of another process."""
    raw = json.loads(record.read_text())
    record.write_text(json.dumps(raw | {"process": raw["process"] | fields}))
