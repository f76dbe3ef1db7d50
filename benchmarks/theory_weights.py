"""The best weights on held-out text, beside the best subset and scale, and what others cost."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.bars import Bar
from benchmarks.theory_scores import opened, other_text
from mergelaw.config import Study, read_study
from mergelaw.config.theory import Objective
from mergelaw.paths import StudyPaths
from mergelaw.theory import baselines
from mergelaw.theory.comparison import evolved, forwards_to_reach
from mergelaw.theory.counted import Counted
from mergelaw.theory.goal import Goal
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.texts import calibration_and_heldout
from mergelaw.theory.weights import CALIBRATION_FOLDS, judge_of, plain_method

OBJECTIVE, WAY = "macro", "newton"
LARGE = ("w80", "w128")
"""Sizes at which the weights should beat the best subset by `GAIN`."""

GAIN, WORSE, COST = 0.02, 0.003, 1 / 3
"""Aims: share of the best subset's loss that is gained at the large sizes; share of the better of
best subset and best scale that may be lost at any; share of other ways' cost."""

BUDGET = 300
"""Evaluations after which CMA-ES is given up, many times what is allowed by the aim."""


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """Return held-out losses of the weights found, of all subsets, and what each way cost.

    The best subset is the best of all on the held-out text itself, which favours it; beside it
    stands the one that is best on the calibration text, which a user could choose. CMA-ES goes on
    until its best weights so far reach the held-out loss of those found, or for `BUDGET`
    evaluations; the quadratic through losses has one cost, and counts where it reaches it.

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
        ways = {row["way"]: row for row in _weights(folder, size).to_dicts()}
        found, scale = ways[WAY], ways["best_scale"]["heldout"]
        losses = other_text(folder, size).group_by("subset").agg(pl.col("loss").mean())
        oracle, chosen = min(losses["loss"].to_list()), ways["best_subset"]["heldout"]
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
            **_costs(found, *_others(study, size, found["heldout"])),
        }


def _weights(folder: Path, size: str) -> pl.DataFrame:
    table = pl.read_parquet(folder / "theory" / size / "weights.parquet")
    return table.filter(objective=OBJECTIVE)


def _costs(
    found: Mapping[str, Any], evolution: float | None, quadratic: float | None
) -> dict[str, Any]:
    """Return what other ways pay for the held-out loss of the weights found, and their share.

    None: they do not reach it. Where CMA-ES does not within `BUDGET`, the share of its cost is
    below that of `BUDGET`, which is told: a bound from above.
    """
    costs = [evolution or BUDGET, *([] if quadratic is None else [quadratic])]
    return {
        "cma_es_forwards": evolution,
        "quadratic_forwards": quadratic,
        "cost_share": float(found["forwards"] / min(costs)),
    }


def _others(study: Study, size: str, value: float) -> tuple[float | None, float | None]:
    """Return at what cost CMA-ES and a quadratic on the calibration text reach a held-out loss."""
    paths = StudyPaths.of(study)
    calibration, heldout = calibration_and_heldout(study, paths)
    with opened(study, paths, size) as engine:
        folded = FoldedText.of(calibration, CALIBRATION_FOLDS)
        surface = Counted(ModelSurface.over(engine, study, plain_method(), folded))
        goal = Goal.of(Objective(label=OBJECTIVE, target=OBJECTIVE), surface)
        path = evolved(surface, goal, BUDGET, f"{study.seed}/{size}/{OBJECTIVE}")
        quadratic = baselines.quadratic(surface.fresh(), goal)
        judge = judge_of(engine, study, heldout, [])
        evolution = forwards_to_reach(path, lambda w: judge.judged(goal, w).value, value)
        reaches = judge.judged(goal, quadratic.weights).value <= value
    return evolution, quadratic.spent.forwards if reaches else None


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
    yield Bar("cost as a share of CMA-ES' or the quadratic's to the same loss", dearest, COST)


def _misses(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        place = f"{row['study']}, {row['size']}"
        if row["size"] in LARGE and row["gain_on_best_subset"] < GAIN:
            yield f"{place}: {row['gain_on_best_subset']:.2%} below the best of all subsets"
        if row["loss_to_better"] > WORSE:
            yield f"{place}: {row['loss_to_better']:.2%} above the better of subset and scale"
        if not row["cost_share"] <= COST:
            yield f"{place}: costs {row['cost_share']:.2f} of another way to the same loss"


def _ways(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what every way found and cost, for the first objective."""
    for size in read_study(folder / "study.json").size_names:
        columns = ("way", "calibration", "heldout", "heldout_stderr", "forwards", "converged")
        for row in _weights(folder, size).select(*columns).iter_rows(named=True):
            yield {"study": str(folder), "size": size, **row}
