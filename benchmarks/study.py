"""`make bench`: time and memory of the embedded studies, and the sweep against a plain loop."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.sweep_ratio import sweep_ratio

ROOT = Path(__file__).parents[1]
POLL_SECONDS = 0.5


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Write the figures here as JSON.")
    parser.add_argument("--cores", default="2", help="Cores for Snakemake.")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mergelaw-bench-"))
    try:
        figures = measure(folder, arguments.cores)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, cores: str) -> dict[str, Any]:
    """Return all figures of one run."""
    figures: dict[str, Any] = {"cores": cores, "cpu_count": os.cpu_count()}
    for study in ("smoke", "default"):
        config = str(ROOT / "config" / f"{study}.yaml")
        plan = snakemake(folder, config, "--dry-run", "--quiet")
        run = snakemake(folder, config, "--cores", cores, "--quiet")
        figures[study] = {"dry_run_seconds": plan["seconds"], **run}
    figures["sweep_over_plain_loop"] = sweep_ratio(folder, ROOT / "config" / "default.yaml")
    return figures


def snakemake(folder: Path, config: str, *arguments: str) -> dict[str, float]:
    """Run Snakemake and return its wall time and the peak memory of all its processes."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--configfile",
        config,
        *arguments,
    ]
    start, peak = time.perf_counter(), 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, tree_memory(process))
        time.sleep(POLL_SECONDS if "--cores" in arguments else 0.01)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return {"seconds": round(time.perf_counter() - start, 2), "peak_gib": round(peak / 2**30, 2)}


def tree_memory(process: psutil.Process) -> int:
    """Return the resident bytes of a process and its descendants; shared pages count each time."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
