"""`make bench-dag`: what planning the largest study costs, and what a job pays to find its work.

Commands take turns, so that a busy machine burdens all alike: Snakemake with a Snakefile of one
rule, the study's Snakefile asked for one chunk (what every cluster job does first), whole plans.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import say

ROOT = Path(__file__).parents[1]
STUDY = "qwen2.5-10k"
ONE_RULE = 'rule all:\n    output: "made"\n    shell: "touch {output}"\n'
AIM_PLAN_SECONDS, AIM_PLAN_BYTES, AIM_JOB_SECONDS = 3.0, 250e6, 1.0
MACHINE = ("--default-resources", "machine=profiles/slurm/machine.yaml")


class Cost(NamedTuple):
    """Of one command: seconds by the clock and of processors, peak resident bytes."""

    wall: float
    processor: float
    peak: int


def main() -> None:
    """Time the commands in turn and print figures, ratios and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="Write the figures to this file, too.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = facts(measure(Path(folder), arguments.rounds))
    say(table(found))
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is timed, by its name."""
    one = folder / "Snakefile"
    one.write_text(ONE_RULE, encoding="utf-8")
    snakemake = [str(Path(sys.executable).with_name("snakemake")), "--dry-run"]
    place = ["--directory", str(folder), "--snakefile"]
    study = [*place, str(ROOT / "Snakefile"), "--configfile", str(ROOT / f"config/{STUDY}.yaml")]
    quiet = ["--quiet", "all"]
    chunk = f"results/{STUDY}/sweep/0.5b/ties/0.parquet"
    return {
        "one rule": [*snakemake, *place, str(one), *quiet],
        "one chunk": [*snakemake, chunk, *study, *quiet],
        "one chunk, on a cluster": [*snakemake, chunk, *study, *quiet, *MACHINE],
        "plan, quiet": [*snakemake, *study, *quiet],
        "plan, quiet, on a cluster": [*snakemake, *study, *quiet, *MACHINE],
        "plan, printed": [*snakemake, *study],
    }


def measure(folder: Path, rounds: int) -> dict[str, Cost]:
    """Run every command once a round, and return the best of each."""
    named = commands(folder)
    runs: dict[str, list[Cost]] = {name: [] for name in named}
    for number in range(rounds):
        for name, command in named.items():
            runs[name].append(timed(command, folder / "log"))
        last = ", ".join(f"{name} {runs[name][-1].wall:.2f} s" for name in named)
        say(f"round {number + 1} of {rounds}: {last}")
    return {name: best(costs) for name, costs in runs.items()}


def timed(command: Sequence[str], log: Path) -> Cost:
    """Run a command, from the project's root, to its end."""
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{log.read_text(encoding='utf-8')[-3000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def best(costs: Sequence[Cost]) -> Cost:
    """Return the quickest wall and processor time, which others' work burdens least; the peak."""
    return Cost(
        min(cost.wall for cost in costs),
        min(cost.processor for cost in costs),
        max(cost.peak for cost in costs),
    )


def facts(costs: Mapping[str, Cost]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of each command, and what is held against the aims."""
    alone = costs["one rule"]
    plans = [cost for name, cost in costs.items() if name.startswith("plan")]
    jobs = [cost for name, cost in costs.items() if name.startswith("one chunk")]
    commands = {
        name: {
            "wall_seconds": cost.wall,
            "processor_seconds": cost.processor,
            "ratio_to_one_rule": cost.wall / alone.wall,
            "seconds_beyond_one_rule": cost.wall - alone.wall,
            "peak_bytes": cost.peak,
        }
        for name, cost in costs.items()
    }
    aims = {
        "plan_seconds": (max(cost.wall for cost in plans), AIM_PLAN_SECONDS),
        "plan_peak_bytes": (max(cost.peak for cost in plans), AIM_PLAN_BYTES),
        "job_seconds_beyond": (max(cost.wall for cost in jobs) - alone.wall, AIM_JOB_SECONDS),
    }
    return {
        "commands": commands,
        "aims": {name: {"found": found, "aim": aim} for name, (found, aim) in aims.items()},
    }


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the figures as lines."""
    lines = [
        f"{name:>26}: {row['wall_seconds']:.2f} s ({row['processor_seconds']:.2f} s CPU), "
        f"{row['ratio_to_one_rule']:.2f} x one rule, {row['seconds_beyond_one_rule']:+.2f} s, "
        f"{row['peak_bytes'] / 1e6:.0f} MB"
        for name, row in found["commands"].items()
    ]
    lines += [
        f"{name}: {row['found']:,.2f}, aim {row['aim']:,.2f}: "
        + ("met" if row["found"] <= row["aim"] else "missed")
        for name, row in found["aims"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
