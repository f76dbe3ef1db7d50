"""The best weights on held-out text, beside the best of all subsets and the best scale."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.bars import Bar
from benchmarks.theory_scores import other_text
from mergelaw.config import read_study

OBJECTIVE, WAY = "macro", "newton"
LARGE = ("w80", "w128")
"""Sizes at which the weights should beat the best subset by `GAIN`."""

GAIN, WORSE, COST = 0.02, 0.003, 1 / 3
"""Aims: share of the best subset's loss that is gained at the large sizes; share of the better of
best subset and best scale that may be lost at any; share of other ways' cost."""


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """Return held-out losses of the weights found, of all subsets, and what each way cost.

    The best subset is the best of all on the held-out text itself, which favours it; beside it
    stands the one that is best on the calibration text, which a user could choose.

    Parameters
    ----------
    folders : sequence of Path
        Studies whose weights are searched.
    """
    rows = [row for folder in folders for row in _rows(folder)]
    return {
        "bars": [bar.facts() for bar in _bars(rows)],
        "rows": rows,
        "misses": list(_misses(rows)),
        "ways": [row for folder in folders for row in _ways(folder)],
    }


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row per size."""
    study = read_study(folder / "study.json")
    for size in study.size_names:
        table = _weights(folder, size)
        ways = {row["way"]: row for row in table.to_dicts()}
        found, scale = ways[WAY], ways["best_scale"]["heldout"]
        losses = other_text(folder, size).group_by("text", "subset").agg(pl.col("loss").mean())
        calibration, heldout = (
            losses.filter(text=text).sort("subset") for text in ("calibration", "heldout")
        )
        oracle = float(heldout["loss"].min())
        chosen = float(heldout["loss"][int(calibration["loss"].arg_min() or 0)])
        yield {
            "study": str(folder),
            "size": size,
            "calibration_tokens": found["calibration_tokens"],
            "weights": found["heldout"],
            "best_subset": oracle,
            "best_subset_by_calibration": chosen,
            "best_scale": scale,
            "full_average": ways["full_average"]["heldout"],
            "gain_on_best_subset": 1 - found["heldout"] / oracle,
            "gain_on_subset_by_calibration": 1 - found["heldout"] / chosen,
            "loss_to_better": found["heldout"] / min(oracle, scale) - 1,
            "forwards": found["forwards"],
            "cost_share": _cost_share(ways),
        }


def _weights(folder: Path, size: str) -> pl.DataFrame:
    table = pl.read_parquet(folder / "theory" / size / "weights.parquet")
    return table.filter(objective=OBJECTIVE)


def _cost_share(ways: Mapping[str, Mapping[str, Any]]) -> float:
    """Return the largest share of another way's cost at which the weights found were as good.

    A way that ends above their held-out loss would cost more than it did. Of one that ends below,
    the whole of its cost counts, though it may have been as good before: then the share is a bound
    from below.
    """
    found = ways[WAY]
    others = [row for way, row in ways.items() if way.startswith(("cma_es", "quadratic"))]
    equals = [row["forwards"] for row in others if row["heldout"] <= found["heldout"]]
    dearest = max((row["forwards"] for row in others), default=0.0)
    least = min(equals) if equals else dearest
    return float(found["forwards"] / least) if least else float("nan")


def _bars(rows: Sequence[Mapping[str, Any]]) -> Iterator[Bar]:
    large = [row["gain_on_best_subset"] for row in rows if row["size"] in LARGE]
    chosen = [row["gain_on_subset_by_calibration"] for row in rows if row["size"] in LARGE]
    where = f"at {' and '.join(LARGE)}, least of all seeds"
    if large:
        yield Bar(f"gain on the best of all subsets {where}", min(large), GAIN, at_least=True)
        yield Bar(f"gain on the best by calibration {where}", min(chosen), GAIN, at_least=True)
    worst = max(row["loss_to_better"] for row in rows)
    yield Bar("above the better of best subset and best scale, most of all", worst, WORSE)
    dearest = max(row["cost_share"] for row in rows)
    yield Bar("cost as a share of CMA-ES' and the quadratic's, most of all", dearest, COST)


def _misses(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        place = f"{row['study']}, {row['size']}"
        if row["size"] in LARGE and row["gain_on_best_subset"] < GAIN:
            yield f"{place}: {row['gain_on_best_subset']:.2%} below the best of all subsets"
        if row["loss_to_better"] > WORSE:
            yield f"{place}: {row['loss_to_better']:.2%} above the better of subset and scale"
        if not row["cost_share"] <= COST:
            yield f"{place}: costs {row['cost_share']:.2f} of another way that is as good"


def _ways(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what every way found and cost, for the first objective."""
    for size in read_study(folder / "study.json").size_names:
        columns = ("way", "calibration", "heldout", "heldout_stderr", "forwards", "converged")
        for row in _weights(folder, size).select(*columns).iter_rows(named=True):
            yield {"study": str(folder), "size": size, **row}
