"""`make bench-merge`: merging ten 0.5B-shaped checkpoints against mergekit, and against copying.

Whole processes in turn on a warm page cache: `mergelaw merge` of nine experts, mergekit with the
same, then the next round. Memory of `mergelaw` is watched in runs that are not timed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.mergekit_env import MERGEKIT, environment
from benchmarks.processes import Peak, Run, Runner

FOLDER = Path("results") / "bench"
BASE = "base"
EXPERTS = tuple(f"expert{i}" for i in range(1, 10))
FEW = 2
POOL_BYTES = 11 * 988_100_000
"""The full pool and one output."""
ROUNDS = 3
PEAK_AIM_MB = 700
FLOOR_AIM = 2.5
TIES = {"density": 0.2, "normalize": True}


@dataclass(frozen=True)
class Case:
    """One method as both tools name it; `slow` where mergekit takes minutes."""

    label: str
    ours: str
    theirs: str
    weight: float
    settings: Mapping[str, float | bool]
    aim: float
    slow: bool

    def recipe(self, pool: Path) -> str:
        """Return mergekit's YAML: float32 arithmetic, one rounding to bfloat16."""
        base = {} if self.theirs == "linear" else {"base_model": str(pool / BASE)}
        models = [
            {"model": str(pool / name), "parameters": {"weight": self.weight}} for name in EXPERTS
        ]
        dtypes = {"dtype": "float32", "out_dtype": "bfloat16"}
        recipe = {"merge_method": self.theirs, **base, "models": models, **dtypes}
        return yaml.safe_dump(recipe | {"parameters": dict(self.settings)}, sort_keys=False)

    def command(self, pool: Path, experts: Sequence[str], out: Path) -> list[str]:
        """Return the command line of `mergelaw merge`."""
        named = [part for name in experts for part in ("--expert", f"{name}={pool / name}")]
        recipe = ["--base", str(pool / BASE), *named, "--method", self.ours]
        return [
            str(Path(sys.executable).with_name("mergelaw")),
            "merge",
            *recipe,
            "--out",
            str(out),
        ]


CASES = (
    Case("average", "average", "linear", 1.0, {"normalize": True}, 0.25, False),
    Case(
        "task_arithmetic", "task_arithmetic:scale=0.8", "task_arithmetic", 0.8 / 9, {}, 0.25, False
    ),
    Case("dare", "dare:drop_rate=0.2,scale=1.0", "dare_linear", 1 / 9, {"density": 0.8}, 0.2, True),
    Case("ties_tensor", "ties:density=0.2,scope=tensor,scale=1.0", "ties", 1.0, TIES, 0.1, True),
    Case("ties_model", "ties:density=0.2,scope=model,scale=1.0", "ties", 1.0, TIES, 0.12, True),
)


def main() -> None:
    """Measure, print a table, and write all figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the figures here.")
    parser.add_argument("--method", action="append", choices=[case.label for case in CASES])
    parser.add_argument("--rounds", type=int, help=f"Default {ROUNDS}; 1 of mergekit's slow ones.")
    parser.add_argument("--alone", action="store_true", help="Without mergekit.")
    parser.add_argument("--small", action="store_true", help="A thousandth of the size: a trial.")
    arguments = parser.parse_args()
    pool = (FOLDER / ("small" if arguments.small else "qwen2.5-0.5b")).absolute()
    make_pool(pool, arguments.small)
    bench = Bench(pool, arguments.rounds, arguments.alone)
    chosen = [case for case in CASES if arguments.method is None or case.label in arguments.method]
    figures = {
        "peer": MERGEKIT,
        "experts": len(EXPERTS),
        "cpu_count": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "import_torch_seconds": import_torch(),
        "floor": bench.floor(),
        "methods": {case.label: bench.method(case) for case in chosen},
    }
    shutil.rmtree(bench.work)
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_pool(pool: Path, small: bool) -> None:
    """Write the checkpoints, in a process of their own, where they are not there yet."""
    pool.mkdir(parents=True, exist_ok=True)
    names = [name for name in (BASE, *EXPERTS) if not (pool / name).exists()]
    if names and not small and shutil.disk_usage(pool).free < POOL_BYTES:
        raise SystemExit(f"{pool}: {POOL_BYTES / 1e9:.0f} GB are needed for the checkpoints")
    command = [sys.executable, "-m", "benchmarks.merge_pool", str(pool), BASE, *EXPERTS]
    subprocess.run([*command, *["--small"][: int(small)]], check=True)


class Bench:
    """Runs of both tools over one pool of checkpoints."""

    def __init__(self, pool: Path, rounds: int | None, alone: bool) -> None:
        self.pool, self.rounds = pool, rounds
        self.peer = None if alone else environment() / "bin" / "mergekit-yaml"
        self.peer_runs: dict[str, list[Run]] = {}
        self.work = pool / "runs"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        inputs = tuple(pool / name / "model.safetensors" for name in (BASE, *EXPERTS))
        self.runner = Runner(inputs, self.work / "out", self.work / "log.txt")

    def floor(self) -> dict[str, float]:
        """Time reading all files and writing one, without and with waiting for the disk."""
        command = [sys.executable, "-m", "benchmarks.merge_floor", "--out", str(self.runner.out)]
        command += [str(self.pool / name) for name in (BASE, *EXPERTS)]
        timed = self.runner.timed
        pairs = [
            (timed("floor", command), timed("floor on disk", [*command, "--sync"]))
            for _ in range(self.rounds or ROUNDS)
        ]
        plain, synced = zip(*pairs, strict=True)
        return {"seconds": seconds(plain), "synced_seconds": seconds(synced)}

    def method(self, case: Case) -> dict[str, Any]:
        """Return one method's figures; each round runs `mergelaw`, then mergekit."""
        runs: list[Run] = []
        recipe = case.recipe(self.pool)
        peers = self.peer_runs.setdefault(recipe, [])
        n_peers = 0 if self.peer is None else self.rounds or (1 if case.slow else ROUNDS)
        command = case.command(self.pool, EXPERTS, self.runner.out)
        for _ in range(self.rounds or ROUNDS):
            runs.append(self.runner.timed(f"{case.label}, mergelaw", command))
            if len(peers) < n_peers:
                theirs = self.peer_command(recipe)
                peers.append(self.runner.timed(f"{case.label}, mergekit", theirs))
        few = case.command(self.pool, EXPERTS[:FEW], self.runner.out)
        peaks = {
            len(EXPERTS): self.runner.watched(f"{case.label}, {len(EXPERTS)} experts", command),
            FEW: self.runner.watched(f"{case.label}, {FEW} experts", few),
        }
        return figures_of(case, runs, peaks, peers)

    def peer_command(self, recipe: str) -> list[str]:
        """Write mergekit's recipe and return its command line."""
        path = self.work / "recipe.yml"
        path.write_text(recipe, encoding="utf-8")
        out = str(self.runner.out)
        return [str(self.peer), str(path), out, "--no-copy-tokenizer", "--quiet"]


def import_torch() -> float:
    """Return the seconds of a process that only imports torch: what any merge pays first."""
    command = [sys.executable, "-c", "import torch"]
    subprocess.run(command, check=True)
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return round(time.perf_counter() - start, 2)


def seconds(runs: Sequence[Run]) -> float:
    """Return the median wall time."""
    return round(statistics.median(run.seconds for run in runs), 2)


def figures_of(
    case: Case, runs: Sequence[Run], peaks: Mapping[int, Peak], peers: Sequence[Run]
) -> dict[str, Any]:
    """Return medians of the times and their ratio, and the peaks in megabytes."""
    figures: dict[str, Any] = {"seconds": seconds(runs), "aim": case.aim}
    for k, peak in peaks.items():
        figures[f"peak_mb_k{k}"] = round(peak.once / 1e6)
        figures[f"rss_sum_mb_k{k}"] = round(peak.each / 1e6)
    if peers:
        figures |= {
            "mergekit_seconds": seconds(peers),
            "mergekit_peak_mb": round(max(run.peak for run in peers) / 1e6),
            "mergekit_runs": len(peers),
            "ratio": round(seconds(runs) / seconds(peers), 3),
        }
    return figures


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown; times are medians."""
    floor = figures["floor"]
    peaks = [f"peak_mb_k{len(EXPERTS)}", f"peak_mb_k{FEW}", "mergekit_peak_mb"]
    columns = ["seconds", "mergekit_seconds", "ratio", "aim", *peaks]
    lines = [f"| {' | '.join(['method', *columns])} |", "|---" * (1 + len(columns)) + "|"]
    for label, row in figures["methods"].items():
        cells = [str(row.get(column, "")) for column in columns]
        lines.append(f"| {' | '.join([label, *cells])} |")
    lines += [
        f"Aim for the peak: at most {PEAK_AIM_MB} MB over all processes, the same at both k.",
        f"Ten files read and one written, nothing computed: {floor['seconds']} s; "
        f"{floor['synced_seconds']} s with the output on disk.",
        f"Importing torch: {figures['import_torch_seconds']} s. {figures['cpu_count']} cores, "
        f"{figures['load_before']} processes of others running when it began.",
    ]
    if average := figures["methods"].get("average"):
        ratio = average["seconds"] / floor["seconds"]
        lines.append(f"Average over reading and writing: {ratio:.2f} (aim {FLOOR_AIM}).")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
