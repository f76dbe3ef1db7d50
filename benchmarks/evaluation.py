"""`make bench-eval`: scoring against the official code's way and lm-evaluation-harness; sweeps.

Whole processes in turn, each of which loads the model and scores once; every ratio is of two
things that ran side by side. Reading checkpoints is not counted. About ten minutes on two cores.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation_table import page
from benchmarks.lm_eval_env import LM_EVAL, overlay, overlay_variables
from benchmarks.merge import BASE, make_pool
from benchmarks.mergekit_env import ROOT, run
from benchmarks.processes import say
from mergelaw.config import read_study
from mergelaw.paths import StudyPaths

FOLDER = (Path("results") / "bench").absolute()
WORK = FOLDER / "evaluation"
CONFIG = ROOT / "config" / "default.yaml"
ROUNDS = 2
BATCH_TOKENS = 4_096
"""Padded tokens of a forward pass: the default of a study's config."""
HARNESS_BATCHES = (1, 2)
"""Items; ratios are to the faster one, and to the one that needs less memory."""
OFFICIAL_ITEMS = 4

Figures = dict[str, Any]


def main() -> None:
    """Measure, print tables, and write all figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the figures here.")
    parser.add_argument(
        "--text", type=Path, required=True, help="Folder of JSON lists of {instruction, output}."
    )
    parser.add_argument("--only", action="append", choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--small", action="store_true", help="A thousandth of the size: a trial.")
    arguments = parser.parse_args()
    bench = Bench(arguments.text, arguments.rounds, arguments.small)
    figures = bench.workload()
    for name in arguments.only or PARTS:
        figures[name] = PARTS[name](bench)
    print(page(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


class Bench:
    """Runs of all ways of scoring over one model and one text.

    Parameters
    ----------
    text : Path
        Folder of JSON lists of problems.
    rounds : int
        Each round runs all ways in turn.
    small : bool
        Whether to take the small pool.
    """

    def __init__(self, text: Path, rounds: int, small: bool) -> None:
        self.rounds, self.pool = rounds, FOLDER / ("small" if small else "qwen2.5-0.5b")
        make_pool(self.pool, small)
        WORK.mkdir(parents=True, exist_ok=True)
        self.requests = worker("text", text, WORK, *["--small"][: int(small)])

    def workload(self) -> Figures:
        """Return what is measured, and on what."""
        config = json.loads((self.pool / BASE / "config.json").read_text(encoding="utf-8"))
        return {
            "model": f"{self.pool.name}, random weights, bfloat16",
            "vocabulary": config["vocab_size"],
            "requests": self.requests,
            "rounds": self.rounds,
            "peer": LM_EVAL,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load_before": round(os.getloadavg()[0], 2),
        }

    def way(self, way: str, name: str, batch: int, *options: str) -> Figures:
        """Score a set of requests one way, in a process of its own."""
        figures = worker("way", way, self.pool / BASE, WORK / f"{name}.json", batch, *options)
        speed, memory = figures["scored_per_second"], figures["above_model_mb"]
        say(f"{name}, {way}, batch {batch}: {speed} scored tokens/s, {memory} MB above the model")
        return figures

    def official(self) -> Figures:
        """Score the same few items as the paper's code does, and as `mergelaw` does."""
        items = ("--items", str(OFFICIAL_ITEMS))
        runs = [
            (
                self.way("mergelaw", "real", BATCH_TOKENS, *items),
                self.way("official", "real", 1, *items),
            )
            for _ in range(self.rounds)
        ]
        ours, theirs = map(medians, zip(*runs, strict=True))
        return {"n_items": OFFICIAL_ITEMS, **compared(ours, {"official": theirs})}

    def harness(self) -> Figures:
        """Score both sets of requests with lm-evaluation-harness and with `mergelaw`."""
        overlay()
        return {name: self.harness_of(name) for name in ("real", "long_prompt")}

    def harness_of(self, name: str) -> Figures:
        """Score one set."""
        ours: list[Figures] = []
        theirs: dict[str, list[Figures]] = {f"lm_eval_batch_{n}": [] for n in HARNESS_BATCHES}
        for _ in range(self.rounds):
            ours.append(self.way("mergelaw", name, BATCH_TOKENS))
            for runs, batch in zip(theirs.values(), HARNESS_BATCHES, strict=True):
                runs.append(self.way("lm_eval", name, batch))
        return compared(medians(ours), {key: medians(runs) for key, runs in theirs.items()})

    def memory(self) -> Figures:
        """Score more and more positions of the same forward pass."""
        names = [name for name in self.requests if name.startswith("scored_")]
        return {name: self.way("mergelaw", name, BATCH_TOKENS) for name in names}

    def sweep(self) -> Figures:
        """Run the sweep's engine at the ladder's smallest size, and at the pool's."""
        make_ladder()
        most = max(self.requests, key=lambda name: self.requests[name]["response_share"])
        scored = WORK / f"{most}.json"
        return {
            "ladder": worker("sweep", CONFIG, folder=WORK),
            "pool": worker("sweep", CONFIG, "--pool", self.pool, "--requests", scored),
            "pool, held as stored": worker(
                "sweep", CONFIG, "--pool", self.pool, "--requests", scored, "--holding", "stored"
            ),
        }

    def cuda(self) -> Figures:
        """Measure on a GPU, where there is one."""
        return worker("cuda")


PARTS: Mapping[str, Callable[[Bench], Figures]] = {
    "sweep": Bench.sweep,
    "official": Bench.official,
    "harness": Bench.harness,
    "memory": Bench.memory,
    "cuda": Bench.cuda,
}


def worker(name: str, *arguments: object, folder: Path | None = None) -> Figures:
    """Run a module of this benchmark as a process, and return the JSON of its last line."""
    command = [sys.executable, "-m", f"benchmarks.evaluation_{name}", *map(str, arguments)]
    variables = dict(overlay_variables())
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables["PYTHONPATH"]])
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env=variables, check=False
    )
    if finished.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    figures: Figures = json.loads(finished.stdout.splitlines()[-1])
    return figures


def make_ladder() -> None:
    """Prepare the text and train the smallest size of the default study, if it is not there."""
    study = read_study(CONFIG)
    paths, size = StudyPaths.of(study), study.size_names[0]
    folders = [paths.trained(size, name) for name in (BASE, *study.expert_names)]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(WORK), "--configfile", str(CONFIG), "--cores", "2", "--quiet"]
    run(*command, "--", *map(str, [paths.shard_contents, *folders]))


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the medians of what runs measured."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def compared(ours: Figures, theirs: Mapping[str, Figures]) -> Figures:
    """Return both sides' figures, and ratios to the best of theirs: speed, and memory."""
    rate, memory = "scored_per_second", "above_model_mb"
    return {
        "mergelaw": ours,
        **theirs,
        "speed_ratio": round(ours[rate] / max(run[rate] for run in theirs.values()), 3),
        "memory_ratio": round(ours[memory] / min(run[memory] for run in theirs.values()), 3),
    }


if __name__ == "__main__":
    main()
