"""`make bench-theory`: what one merge tells of all others, and the best weights, on several seeds.

The default study's theory at seeds that nothing was set on. Studies that are not there are run
first, below results/default: about six minutes a seed on two cores. The averages of all subsets
are scored once more on the text that weights are judged on, about five minutes a seed; these scores
are kept in results/bench/theory.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import theory_choice, theory_curves, theory_timing, theory_weights
from benchmarks.bars import bar_lines
from mergelaw.files import write_json

ROOT = Path(__file__).parents[1]
DEFAULT = Path("results/default")
SIZES = ("w32", "w48", "w80", "w128")


def main() -> None:
    """Run what is missing, measure, print the figures and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--cores", default="2", help="Cores for Snakemake.")
    parser.add_argument("--json", type=Path, default=Path("results/bench/theory.json"))
    parser.add_argument("--made", action="store_true", help="Take studies as they are.")
    arguments = parser.parse_args()
    folders = [DEFAULT / (f"seed{seed}" if seed else "") for seed in arguments.seeds]
    for seed, folder in zip(arguments.seeds, folders, strict=True):
        if not arguments.made:
            _make(seed, folder, arguments.cores)
    figures: dict[str, Any] = {"seeds": arguments.seeds}
    for part in (theory_curves, theory_choice, theory_weights, theory_timing):
        name = part.__name__.rpartition("theory_")[2]
        figures[name] = part.measure(folders)
        print("\n".join([f"\n## {name}\n", *_lines(figures[name])]), flush=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.json, figures)


def _make(seed: int, folder: Path, cores: str) -> None:
    """Run a seed's predictions and weights, with all that they are made of."""
    targets = [folder / "theory" / "curves.parquet", folder / "design" / "subsets.parquet"]
    targets += [folder / "theory" / size / "weights.parquet" for size in SIZES]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "config" / "default.yaml"), "--config", f"seed={seed}"]
    command += ["--cores", cores, "--quiet", "--", *map(str, targets)]
    subprocess.run(command, check=True)


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield a part as text: its bars, its rows as a table, and what missed."""
    yield from bar_lines(figures["bars"])
    yield ""
    yield from _table(figures["rows"])
    if figures.get("misses"):
        yield "\nmissed:\n"
        yield from (f"- {line}" for line in figures["misses"])


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield rows as a table in Markdown."""
    if rows:
        yield f"| {' | '.join(rows[0])} |"
        yield f"|{'---|' * len(rows[0])}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row.values()))} |"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    main()
