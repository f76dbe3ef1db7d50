"""`make bench-seeds`: the law on fresh seeds of the default study, whose training is frozen."""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[1]
LINEAR = ("average", "task_arithmetic", "dare")


def main() -> None:
    """Run the default study at each seed below the working folder and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--cores", default="2", help="Cores for Snakemake.")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        folder = Path("results") / "default" / (f"seed{seed}" if seed else "")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(ROOT / "Snakefile"),
                "--configfile",
                str(ROOT / "config" / "default.yaml"),
                "--config",
                f"seed={seed}",
                "--cores",
                arguments.cores,
                "--quiet",
                "--",
                str(folder / "laws" / "fits.json"),
                str(folder / "laws" / "heldout.parquet"),
            ],
            check=True,
        )
        print(json.dumps({"seed": seed, **figures(folder)}, indent=2), flush=True)


def figures(folder: Path) -> dict[str, object]:
    """Return the macro figures of one finished study."""
    macro = pl.col("domain") == "macro"
    heldout = pl.read_parquet(folder / "laws" / "heldout.parquet").filter(macro)
    fits = pl.read_parquet(folder / "laws" / "fits.parquet").filter(macro)
    records = json.loads((folder / "laws" / "fits.json").read_text(encoding="utf-8"))["fits"]
    r2 = {
        fit["method"]: fit["r2"]
        for fit in records
        if (fit["law"], fit["domain"]) == ("joint", "macro")
    }
    return {
        "k_ge_6_max_error": worst(heldout.filter(law="floor_tail", left_out="k_ge_6")),
        "largest_size_max_error": worst(heldout.filter(law="joint", left_out="largest_size")),
        "joint_r2": {method: round(value, 4) for method, value in r2.items()},
        "floors": floors(fits.filter(law="floor_tail", parameter="floor")),
    }


def worst(rows: pl.DataFrame) -> dict[str, float]:
    """Return the largest absolute relative error by method."""
    largest = rows.group_by("method").agg(pl.col("relative_error").abs().max())
    return {method: round(error, 5) for method, error in sorted(largest.iter_rows())}


def floors(rows: pl.DataFrame) -> dict[str, dict[str, object]]:
    """Return each method's floors in the order of the config's sizes, and whether they fall."""
    found = {}
    for (method,), group in rows.group_by("method", maintain_order=True):
        values = group["value"].to_list()
        falls = all(a > b for a, b in itertools.pairwise(values))
        found[str(method)] = {"values": [round(v, 4) for v in values], "fall_with_n": falls}
    return found


if __name__ == "__main__":
    main()
