"""`make bench-plan`: what planning is worth, on the default study and other seeds of it.

Balanced designs against all subsets, subsets predicted from 34 merges, coverage of forecasts, and
the page. Studies that are not there are run first, below results/default. Forecasts are judged by
the seeds that their allowance was not set on.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import plan_choose, plan_designs, plan_forecast, plan_page
from mergelaw.files import write_json

ROOT = Path(__file__).parents[1]
DEFAULT = Path("results/default")


def main() -> None:
    """Run what is missing, measure, print the figures and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[2, 3], help="Beside seed 0.")
    parser.add_argument("--cores", default="2", help="Cores for Snakemake.")
    parser.add_argument("--json", type=Path, default=Path("results/bench/plan.json"))
    arguments = parser.parse_args()
    laws = DEFAULT / "planning" / "laws.json"
    _make([laws], 0, arguments.cores)
    others = [DEFAULT / f"seed{seed}" for seed in arguments.seeds]
    for seed, folder in zip(arguments.seeds, others, strict=True):
        _make([folder / "laws" / f"{table}.parquet" for table in TABLES], seed, arguments.cores)
    figures = {}
    for part, data in {
        plan_designs: DEFAULT,
        plan_choose: DEFAULT,
        plan_forecast: others,
        plan_page: laws,
    }.items():
        name = part.__name__.rpartition("plan_")[2]
        figures[name] = part.measure(data)
        print(f"\n{name}\n\n{part.text(figures[name])}", flush=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.json, figures)


TABLES = ("curves", "fits", "triples")
"""What forecasts are judged by."""


def _make(targets: Sequence[Path], seed: int, cores: str) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "config" / "default.yaml"), "--config", f"seed={seed}"]
    command += ["--cores", cores, "--quiet", "--", *map(str, targets)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
