"""The curve of a balanced design against all subsets of an exhaustive study: errors, intervals.

    python -m benchmarks.plan_designs results/default

Only the table of losses is read. Every draw relabels the experts, as another seed of the study
would. Nine experts: 34 merges at k = 1, 3, 6, 9 against 511.
"""

import subprocess
import sys
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.of_results import print_figures
from mergelaw.design import balanced, merges_for
from mergelaw.errors import FitError
from mergelaw.laws.balanced_errors import FEWEST_LEFT, members_of
from mergelaw.laws.between import between
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.resampling import LEVEL
from mergelaw.laws.subset_model import FLOORS, fit_subsets

Array = NDArray[Any]
RELABELLINGS = 200
DOMAIN_RELABELLINGS = 20
"""Draws for each single domain, whose intervals are checked, too."""

POOLS = (9, 16, 64)
"""Pools whose designs are timed: every job of a workflow makes its study's."""

N_K = 4
MACRO = "macro"
AIMS = {"ties": (0.005, 0.009)}
OTHER_AIMS = (0.0025, 0.005)
"""Median and 95th percentile, over relabellings, of the largest relative error over k."""


class Draw(NamedTuple):
    """One design's curve less the exhaustive one, both relative to it, at k = 1..M.

    Attributes
    ----------
    error, law_error : array
        Of the design's curve (its means, else a quadratic in 1/k), and of the law fitted to it.
    half : array
        How far its interval reaches; 0 where it has all subsets, NaN where it is not known.
    stderr : array
        Of its means; NaN at other k.
    """

    error: Array
    law_error: Array
    half: Array
    stderr: Array


def measure(results: Path) -> dict[str, Any]:
    """Return the figures of a study's exhaustive table.

    Parameters
    ----------
    results : Path
        The study's folder, with sweep/losses.parquet of all subsets.
    """
    losses = _losses(results / "sweep" / "losses.parquet")
    pool = tuple(sorted(losses.filter(pl.col("k") == 1)["subset"].unique()))
    merges = merges_for(len(pool), N_K)
    rows = []
    parts = losses.partition_by("size", "method", "domain", as_dict=True, maintain_order=True)
    for (size, method, domain), part in parts.items():
        n_draws = RELABELLINGS if domain == MACRO else DOMAIN_RELABELLINGS
        draws = [_draw(part.sort("subset"), pool, merges, seed) for seed in range(n_draws)]
        place = {"size": size, "method": method, "domain": domain}
        rows.append(place | _figures(draws, pool, merges, method))
    return {
        "results": str(results),
        "relabellings": {"macro": RELABELLINGS, "each domain": DOMAIN_RELABELLINGS},
        "merges": merges,
        "all_subsets": 2 ** len(pool) - 1,
        "design_seconds": {m: _seconds(m) for m in POOLS},
        "cells": rows,
    }


def _seconds(n_experts: int) -> float:
    """Return the processor time of a balanced design in a process that has made none before."""
    program = (
        "import time\nfrom mergelaw.design import balanced\nstart = time.process_time()\n"
        f"pool = [f'e{{i:03}}' for i in range({n_experts})]\n"
        f"list(balanced(pool, {5 * n_experts}, None, 0))\nprint(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return float(done.stdout)


def _losses(path: Path) -> pl.DataFrame:
    """Return one loss per size, method, merge and domain, and the macro loss."""
    rows = pl.read_parquet(
        path, columns=["size", "method", "subset", "k", "domain", "nll_sum", "n_tokens"]
    ).filter(pl.col("k") > 0)
    rows = rows.with_columns(loss=pl.col("nll_sum") / pl.col("n_tokens"))
    key = ["size", "method", "subset", "k"]
    domains = rows.group_by(*key, "domain", maintain_order=True).agg(pl.col("loss").mean())
    macro = domains.group_by(*key, maintain_order=True).agg(pl.col("loss").mean())
    macro = macro.with_columns(domain=pl.lit(MACRO)).select(domains.columns)
    return pl.concat([macro, domains])


def _draw(part: pl.DataFrame, pool: tuple[str, ...], merges: int, seed: int) -> Draw:
    """Return the curve of the design of one seed."""
    n_experts = len(pool)
    ks, names = np.arange(1, n_experts + 1), [s.name for s in balanced(pool, merges, None, seed)]
    true = np.array([part.filter(pl.col("k") == k)["loss"].mean() for k in ks])
    chosen = part.filter(pl.col("subset").is_in(names)).sort("k", "subset")
    k, loss = chosen["k"].to_numpy(), chosen["loss"].to_numpy()
    model = fit_subsets(members_of(chosen["subset"], pool), loss, FLOORS, FEWEST_LEFT)
    at, n = np.unique(k, return_counts=True)
    means = np.array([loss[k == one].mean() for one in at])
    shares = np.array([1 / m - 1 / comb(n_experts, int(one)) for one, m in zip(at, n, strict=True)])
    stderr = model.misfit(np.arange(n_experts)[None] < at[:, None]) * np.sqrt(shares)
    freedom = n[shares > 0].min() - 1
    curve, half = between(at, means, stderr, ks, freedom)
    half = np.full(n_experts, np.nan) if half is None else half
    curve[at - 1], half[at - 1] = means, student.ppf((1 + LEVEL) / 2, freedom) * stderr
    every = np.full(n_experts, np.nan)
    every[at - 1] = stderr
    try:
        law = fit(FLOOR_TAIL, {"k": at}, means, "measured", stderr).predict(k=ks)
    except FitError:
        law = np.full(n_experts, np.nan)
    return Draw(curve / true - 1, law / true - 1, half / true, every / true)


def _figures(draws: list[Draw], pool: tuple[str, ...], merges: int, method: str) -> dict[str, Any]:
    """Return the errors over draws, and how honest the standard errors and intervals are."""
    error, law, half, stderr = (np.array(column) for column in zip(*draws, strict=True))
    has = np.isfinite(stderr).all(axis=0)
    sampled = has & (stderr > 0).any(axis=0)
    rms = [np.sqrt((column**2).mean(axis=0)) for column in (error, stderr)]
    aim = AIMS.get(method, OTHER_AIMS)
    curve = _both(error)
    return {
        "measured_k": _both(error[:, has]),
        "curve": curve,
        "law": _both(law),
        "aim": aim,
        "is_met": bool(curve[0] <= aim[0] and curve[1] <= aim[1]),
        "error_over_stderr": {
            int(i + 1): float(rms[0][i] / rms[1][i]) for i in np.flatnonzero(sampled)
        },
        "coverage_measured_k": float((np.abs(error) <= half)[:, sampled].mean()),
        "coverage_between": float((np.abs(error) <= half)[:, ~has].mean()),
    }


def _both(error: Array) -> tuple[float, float]:
    """Return the median and the 95th percentile of the largest error over k."""
    largest = np.abs(error).max(axis=1)
    return float(np.median(largest)), float(np.quantile(largest, 0.95))


def text(figures: dict[str, Any]) -> str:
    """Return the figures of macro losses as a table, and the coverage over domains."""
    lines = [
        f"{figures['merges']} merges against {figures['all_subsets']}: "
        f"{figures['all_subsets'] / figures['merges']:.1f} times fewer; "
        f"{figures['relabellings']['macro']} relabellings of the experts",
        "largest relative error of the mean macro loss over k, median / 95th percentile",
        f"{'size':8}{'method':18}{'its k':>16}{'all k':>16}{'by the law':>16}  aim met"
        "   error / stated error by k",
    ]
    macro = [row for row in figures["cells"] if row["domain"] == MACRO]
    for row in macro:
        ends = "".join(
            f"{low:9.3%}{high:7.3%}"
            for low, high in (row[n] for n in ("measured_k", "curve", "law"))
        )
        ratios = ", ".join(f"{k}: {r:.2f}" for k, r in row["error_over_stderr"].items())
        met = "yes" if row["is_met"] else "NO"
        lines.append(f"{row['size']:8}{row['method']:18}{ends}  {met:8}  {ratios}")
    for method in dict.fromkeys(row["method"] for row in macro):
        rows = [row for row in figures["cells"] if row["method"] == method]
        ratios = [r for row in rows for r in row["error_over_stderr"].values()]
        at, off = (
            np.mean([row[f"coverage_{name}"] for row in rows]) for name in ("measured_k", "between")
        )
        lines.append(
            f"{method}, domains and macro: 95% intervals hold {at:.1%} at its k, {off:.1%} "
            f"between; error / stated error {min(ratios):.2f} to {max(ratios):.2f}, "
            f"median {np.median(ratios):.2f}"
        )
    lines.append(
        "seconds to make a design of five merges an expert: "
        + ", ".join(f"{s:.3f} for {m}" for m, s in figures["design_seconds"].items())
        + " experts"
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the figures of a study's results."""
    print_figures(__doc__, measure, text)


if __name__ == "__main__":
    main()
