"""How often forecasts' intervals hold the measured k, over sizes, methods, domains and seeds.

Each curve of a study with all subsets in is forecast from few k, and the mean losses at k = 5 and
up that were not among them are the truth. `mergelaw.planning.misfit` was set on seed 0 of the
default study: judge it by other seeds.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import read_study
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.uncertainty import generator
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.forecasting import fit_law
from mergelaw.tables import LOSSES, read_table

TRIPLES = ((1, 2, 4), (1, 3, 6))
"""The paper's recipe, and a wider one."""

PAIR = ((1, 4),)
"""Two points, with the offset held at 0."""

FOUR = ((1, 3, 6, 9),)
"""The k of a balanced design; a fit with a residual."""

FIRST = 5
"""Forecasts are judged at this k and up."""

SAMPLED = 12
"""Subsets of each k that a forecast with errors has, all where there are fewer."""


class Known(NamedTuple):
    """A curve with all subsets in."""

    study: str
    size: str
    method: str
    domain: str
    losses: Mapping[int, float]
    pool: int


class Judged(NamedTuple):
    """One forecast at one k."""

    curve: Known
    recipe: str
    k: int
    inside: bool
    width: float  # of the interval, as a share of the loss
    error: float  # of the forecast, as a share of the loss


def main() -> None:
    """Print the coverage of the studies given, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="Folders such as results/default.")
    parser.add_argument("--json", type=Path, help="Write the figures here.")
    arguments = parser.parse_args()
    figures = measure(arguments.results)
    print(text(figures))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(results: list[Path]) -> dict[str, Any]:
    """Return coverage, median widths and median errors of 95% intervals, by what they are of.

    Parameters
    ----------
    results : list of Path
        Folders of studies whose sweeps are exhaustive and whose curves are made.
    """
    exact, refused = _all_in(results, TRIPLES)
    groups = {
        "k = 1, 2, 4 and 1, 3, 6, all subsets in": exact,
        "the same, the method not told": _all_in(results, TRIPLES, told=False)[0],
        "k = 1, 4, all subsets in": _all_in(results, PAIR)[0],
        "k = 1, 3, 6, 9, all subsets in": _all_in(results, FOUR)[0],
        f"k = 1, 2, 4 and 1, 3, 6, {SAMPLED} random subsets of each": _sampled(results),
    }
    return {
        "studies": [str(folder) for folder in results],
        "not_identified": refused,
        "workloads": {name: _figures(judged) for name, judged in groups.items()},
    }


def _figures(judged: Sequence[Judged]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of each group of forecasts, by what groups them."""
    keys = {
        "all": lambda one: "all",
        "method": lambda one: one.curve.method,
        "recipe, method": lambda one: f"{one.recipe} {one.curve.method}",
        "k": lambda one: str(one.k),
        "size": lambda one: one.curve.size,
        "domain": lambda one: one.curve.domain,
        "study": lambda one: one.curve.study,
    }
    return {name: _grouped(judged, key) for name, key in keys.items()}


def _grouped(judged: Sequence[Judged], key: Any) -> dict[str, dict[str, float]]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[key(one)].append(one)
    return {
        name: {
            "forecasts": len(mine),
            "coverage": float(np.mean([one.inside for one in mine])),
            "median_width": float(np.median([one.width for one in mine])),
            "median_error": float(np.median([abs(one.error) for one in mine])),
            "q95_error": float(np.quantile([abs(one.error) for one in mine], 0.95)),
        }
        for name, mine in sorted(groups.items())
    }


def known_curves(folder: Path) -> Iterator[Known]:
    """Yield the curves of a study at whose every k all subsets are in."""
    study = read_study(folder / "study.json")
    methods = {entry.label: entry.method for entry in study.methods}
    curves = pl.read_parquet(folder / "laws" / "curves.parquet").filter(pl.col("k") > 0)
    for (size, method, domain), points in curves.partition_by(
        "size", "method", "domain", as_dict=True, maintain_order=True
    ).items():
        if (points["n_subsets"] == points["n_subsets_pool"]).all():
            losses = dict(points.select("k", "loss").iter_rows())
            name = f"{study.name}/seed{study.seed}"
            yield Known(name, size, methods[method], domain, losses, len(study.experts))


def later(curve: Known, ks: Sequence[int]) -> list[int]:
    """Return the measured k that a forecast is judged at."""
    return [k for k in curve.losses if k >= FIRST and k not in ks]


def _all_in(
    results: list[Path], recipes: Sequence[tuple[int, ...]], told: bool = True
) -> tuple[list[Judged], dict[str, int]]:
    judged: list[Judged] = []
    refused: dict[str, int] = defaultdict(int)
    for folder in results:
        for curve in known_curves(folder):
            for ks in recipes:
                points = {k: curve.losses[k] for k in ks}
                counts = {k: comb(curve.pool, k) for k in ks}
                method = curve.method if told else None
                law = fit_law(points, curve.pool, n_subsets=counts, method=method)
                if law.case == "not_identified":
                    refused[curve.method] += 1
                else:
                    judged += _judge(law, curve, ks)
    return judged, dict(refused)


def _judge(law: FittedLaw, curve: Known, ks: Sequence[int]) -> Iterator[Judged]:
    for k in later(curve, ks):
        low, high = law.interval(k)
        truth = curve.losses[k]
        if low is None or high is None:  # no interval holds everything, and says nothing
            continue
        error = float(law.loss(k)) / truth - 1
        recipe = ",".join(map(str, ks))
        yield Judged(curve, recipe, k, low <= truth <= high, (high - low) / truth, error)


def _sampled(results: list[Path]) -> list[Judged]:
    """Return forecasts from random subsets of each k, judged by the means over all of them."""
    judged: list[Judged] = []
    for folder in results:
        study = read_study(folder / "study.json")
        rows = prepare(read_table(folder / "sweep" / "losses.parquet", LOSSES), study)
        methods = {entry.label: entry.method for entry in study.methods}
        losses = subset_losses(rows).filter(pl.col("k") > 0)
        cells = {
            (size, methods[method], domain, k): part["loss"].to_numpy()
            for (size, method, domain, k), part in losses.partition_by(
                "size", "method", "domain", "k", as_dict=True
            ).items()
        }
        for curve in known_curves(folder):
            for ks in TRIPLES:
                judged += _from_sample(curve, ks, cells)
    return judged


def _from_sample(curve: Known, ks: Sequence[int], cells: Mapping[Any, Any]) -> Iterator[Judged]:
    draw = generator(0, "plan_forecast", *curve[:4], str(ks))
    points, errors, counts = {}, {}, {}
    for k in ks:
        every = cells[curve.size, curve.method, curve.domain, k]
        n = min(SAMPLED, len(every))
        mine = draw.choice(every, n, replace=False)
        points[k], counts[k] = float(mine.mean()), n
        errors[k] = float(mine.std(ddof=1) * np.sqrt(1 / n - 1 / len(every))) if n > 1 else 0.0
    law = fit_law(points, curve.pool, errors=errors, n_subsets=counts, method=curve.method)
    if law.case != "not_identified":
        yield from _judge(law, curve, ks)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables in Markdown."""
    lines = [f"Studies: {', '.join(figures['studies'])}", ""]
    lines += [f"Not identified, by method: {figures['not_identified']}", ""]
    for name, groups in figures["workloads"].items():
        lines += [
            f"## {name}",
            "",
            "| of | forecasts | in 95% intervals | median width | median error | 95% of errors |",
            "|---|---|---|---|---|---|",
        ]
        for of, members in groups.items():
            for member, row in members.items():
                label = member if of == "all" else f"{of} {member}"
                lines.append(
                    f"| {label} | {row['forecasts']} | {row['coverage']:.1%} "
                    f"| {row['median_width']:.2%} | {row['median_error']:.2%} "
                    f"| {row['q95_error']:.2%} |"
                )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
