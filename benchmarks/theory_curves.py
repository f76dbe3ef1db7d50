"""Errors of the curve from one merge, by route, and how well subsets are ranked by it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.bars import Bar

METHOD, DOMAIN = "average", "macro"

AIMS = {
    ("hvp", "k = 1"): 0.06,
    ("hvp", "k = 2"): 0.02,
    ("hvp", "k >= 3"): 0.01,
    ("differences", "k = 2"): 0.015,
    ("differences", "k >= 3"): 0.015,
}
"""Largest median of |relative error| over sizes, seeds and the k of the group."""

RANKED = ("hvp", range(3, 9), 0.9)
"""Route, k, and the least rank correlation of each, median over sizes and seeds."""


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """Return errors of predicted curves and rank correlations, over the sizes of some studies.

    Parameters
    ----------
    folders : sequence of Path
        Studies whose predictions are made.
    """
    curves = pl.concat(_predicted(folder) for folder in folders)
    ranks = pl.concat(_ranked(folder) for folder in folders)
    errors = curves.group_by("route", "group").agg(
        pl.col("error").median().alias("median"), pl.col("error").max().alias("largest")
    )
    found = {(row["route"], row["group"]): row["median"] for row in errors.to_dicts()}
    bars = [
        Bar(f"curve by {route}, {group}: median |relative error|", found[route, group], aim)
        for (route, group), aim in AIMS.items()
        if (route, group) in found
    ]
    bars += _rank_bars(ranks)
    return {
        "bars": [bar.facts() for bar in bars],
        "rows": _rows(curves, ranks),
        "misses": [*_misses(curves), *_rank_misses(ranks)],
    }


def _predicted(folder: Path) -> pl.DataFrame:
    """Return Average's curve as predicted, at scale 1, and the law's own errors."""
    frame = pl.read_parquet(folder / "theory" / "curves.parquet")
    chosen = frame.filter(
        pl.col("method") == METHOD, pl.col("domain") == DOMAIN, pl.col("masks") == "these",
        pl.col("scale") == 1.0, pl.col("relative_error").is_not_null(),
        pl.col("k") < pl.col("k").max(),  # the merge that all is expanded at
    )  # fmt: skip
    group = pl.when(pl.col("k") < 3).then(pl.format("k = {}", "k")).otherwise(pl.lit("k >= 3"))
    inside = pl.col("loss").is_between("low", "high")
    return chosen.select(
        pl.lit(str(folder)).alias("study"), "size", "route", "k", group.alias("group"),
        pl.col("relative_error").abs().alias("error"),
        pl.col("relative_error_fitted").abs().alias("error_fitted"), inside.alias("inside"),
    )  # fmt: skip


def _ranked(folder: Path) -> pl.DataFrame:
    frame = pl.read_parquet(folder / "theory" / "rankings.parquet")
    chosen = frame.filter(pl.col("method") == METHOD, pl.col("domain") == DOMAIN)
    return chosen.select(
        pl.lit(str(folder)).alias("study"), "size", "route", "k", "rank_correlation",
        (pl.col("chosen") == pl.col("best")).alias("names_best"),
    )  # fmt: skip


def _rank_bars(ranks: pl.DataFrame) -> Iterator[Bar]:
    route, ks, aim = RANKED
    for k in ks:
        values = ranks.filter(route=route, k=k)["rank_correlation"].drop_nulls()
        if len(values):
            name = f"subsets of {k} by {route}: median rank correlation"
            yield Bar(name, float(values.median()), aim, at_least=True)


def _rows(curves: pl.DataFrame, ranks: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row per route and k: medians over sizes and studies."""
    by_k = curves.group_by("route", "k").agg(
        pl.col("error").median(), pl.col("error").max().alias("largest"),
        pl.col("error_fitted").median(), pl.col("inside").mean().alias("in_interval"),
    )  # fmt: skip
    of_ranks = ranks.group_by("route", "k").agg(
        pl.col("rank_correlation").median(), pl.col("rank_correlation").min().alias("least_rank"),
        pl.col("names_best").mean(),
    )  # fmt: skip
    both = by_k.join(of_ranks, ["route", "k"], "left")
    return both.sort("route", "k").to_dicts()


def _misses(curves: pl.DataFrame) -> Iterator[str]:
    for (route, group), aim in AIMS.items():
        over = curves.filter(pl.col("error") > aim, route=route, group=group)
        for row in over.sort("study", "size", "k").to_dicts():
            yield (
                f"{row['study']}, {row['size']}, {route}, k = {row['k']}: off by "
                f"{row['error']:.2%} (aim {aim:.1%})"
            )


def _rank_misses(ranks: pl.DataFrame) -> Iterator[str]:
    route, ks, aim = RANKED
    under = ranks.filter(pl.col("k").is_in(list(ks)), pl.col("rank_correlation") < aim, route=route)
    for row in under.sort("study", "size", "k").to_dicts():
        yield (
            f"{row['study']}, {row['size']}, {route}, k = {row['k']}: rank correlation "
            f"{row['rank_correlation']:.3f} (aim {aim:g})"
        )
