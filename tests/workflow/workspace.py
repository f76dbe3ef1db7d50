"""A folder in which Snakemake runs a study, and the configs that the tests of this folder use."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))


@dataclass
class Workspace:
    """A folder that studies run in."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results" / "smoke"

    def write_config(self, config: Mapping[str, Any]) -> Path:
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        return path

    def command(self, config: Mapping[str, Any], *arguments: str) -> list[str]:
        binary = Path(sys.executable).with_name("snakemake")
        return [
            str(binary),
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--directory",
            str(self.folder),
            "--configfile",
            str(self.write_config(config)),
            *arguments,
        ]

    def snakemake(
        self, config: Mapping[str, Any], *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(config, *arguments),
            capture_output=True,
            text=True,
            env=environment(),
            cwd=ROOT,
        )

    def run(self, config: Mapping[str, Any], *arguments: str) -> str:
        """Run for real; the log when it succeeds."""
        done = self.snakemake(config, "--cores", "2", *arguments)
        assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-2000:]
        return done.stderr

    def planned(self, config: Mapping[str, Any], *targets: str) -> set[str]:
        """Outputs that a dry run would make, relative to the study's folder."""
        return {name.removeprefix("results/smoke/") for name in self.outputs(config, *targets)}

    def outputs(self, config: Mapping[str, Any], *arguments: str) -> list[str]:
        """The same, relative to the workspace, what is read before what is made of it."""
        done = self.snakemake(config, "--dry-run", *arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        outputs = re.findall(r"^    output: (.*)$", done.stdout + done.stderr, re.MULTILINE)
        return [name for line in outputs for name in line.split(", ")]

    def jobs(self, config: Mapping[str, Any], *arguments: str) -> list[str]:
        """Jobs that a dry run would run, such as `chunk w16/ties/0`; sorted, targets left out."""
        done = self.snakemake(config, "--dry-run", *arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        return jobs_of(done.stdout + done.stderr)

    def pretend(self, config: Mapping[str, Any], *arguments: str) -> None:
        """Lay down every planned output, empty but for its name."""
        for name in self.outputs(config, *arguments):
            path = self.folder / name
            folder = path.parent if path.suffix else path
            folder.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.write_text(name, encoding="utf-8")

    def finish(self, config: Mapping[str, Any]) -> None:
        """Have Snakemake record a study as finished, of which nothing is made."""
        self.pretend(config)
        done = self.snakemake(config, "--touch", "--forceall", "--cores", "2")
        assert done.returncode == 0, done.stderr[-4000:]


def jobs_of(log: str) -> list[str]:
    """The jobs of a log: the rule, and the values of its wildcards."""
    found = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", log, re.MULTILINE)
    jobs = []
    for rule, block in found:
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
        values = [pair.partition("=")[2] for pair in wildcards[1].split(", ")] if wildcards else []
        jobs.append(f"{rule} {'/'.join(values)}".strip())
    return sorted(job for job in jobs if job not in ("all", "full"))


def environment() -> dict[str, str]:
    """The tests' environment with this interpreter's commands first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


def edited(config: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of a config with top-level keys replaced."""
    return {**copy.deepcopy(dict(config)), **changes}


FIRST = edited(CONFIG, design=[{"kind": "exhaustive", "k": [1, 4]}])
"""The smoke study before it grew: single experts and the full merge."""

GROWN = edited(CONFIG, design=[{"kind": "exhaustive", "k": [1, 4]}, {"kind": "exhaustive"}])
"""The same study with every other subset appended."""


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
