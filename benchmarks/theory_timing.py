"""Time of derivatives by each route beside the sweep of all subsets, in one process."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.bars import Bar
from benchmarks.theory_scores import opened
from mergelaw.config import Study, read_study
from mergelaw.config.methods import METHODS, Method
from mergelaw.config.theory import Route, Theory
from mergelaw.design.draws import exhaustive
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.methods import recipe
from mergelaw.paths import StudyPaths
from mergelaw.sweep.engine import Engine
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.text_folds import FoldedText

AIMS: dict[Route, float] = {"hvp": 1 / 7, "differences": 1 / 20}
ROUTES: tuple[Route, ...] = ("hvp", "gauss_newton", "differences", "pairs")
ROUNDS = 3


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """Return seconds of the first study's sweep by Average, and of each route, size by size.

    Each is the least of some rounds, taken in turn. With `loading`, both include the reading of
    base and experts and the making of the model once; never the start of the process.

    Parameters
    ----------
    folders : sequence of Path
        Studies whose experts are trained.
    """
    study = read_study(folders[0] / "study.json")
    rows = [row for size in study.size_names for row in _size(study, size)]
    bars = [_bar(rows, route) for route in AIMS]
    misses = [
        f"{row['size']}, {row['route']}: {row['share']:.3f} of the sweep's time"
        for row in rows
        if row["share"] > AIMS.get(row["route"], 1.0)
    ]
    return {
        "bars": [bar.facts() for bar in bars],
        "rows": rows,
        "misses": misses,
        "threads": torch.get_num_threads(),
    }


def _bar(rows: Sequence[dict[str, Any]], route: Route) -> Bar:
    shares = [row["share"] for row in rows if row["route"] == route]
    return Bar(f"{route}: share of the sweep's time, most of all sizes", max(shares), AIMS[route])


def _size(study: Study, size: str) -> list[dict[str, Any]]:
    """Return a row per route."""
    paths = StudyPaths.of(study)
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    average = METHODS["average"].model_validate({"label": "average", "method": "average"})
    start = time.perf_counter()
    with opened(study, paths, size) as engine:
        loading = time.perf_counter() - start
        sweep, routes = [], {route: list[float]() for route in ROUTES}
        for _ in range(ROUNDS):
            sweep.append(_seconds(partial(_sweep, engine, study, average, text)))
            for route, found in routes.items():
                found.append(_seconds(partial(_derive, engine, study, average, text, route)))
    return [
        {
            "size": size,
            "route": route,
            "sweep_seconds": min(sweep),
            "seconds": min(found),
            "share": min(found) / min(sweep),
            "share_with_loading": (min(found) + loading) / (min(sweep) + loading),
        }
        for route, found in routes.items()
    ]


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _sweep(engine: Engine, study: Study, method: Method, text: EvalText) -> None:
    """Merge and score every subset, as a chunk's job does."""
    engine.use(recipe(method, ""))
    for subset in engine.merged(list(exhaustive(sorted(study.expert_names)))):
        engine.score(text, subset.name)


def _derive(engine: Engine, study: Study, method: Method, text: EvalText, route: Route) -> None:
    """Take the derivatives at the full average, as the stage does for one method and route."""
    step = study.theory.step if study.theory else Theory().step
    folded = FoldedText.of_route(text, route)
    surface = ModelSurface.over(engine, study, method, folded, route=route, step=step)
    if route == "differences":
        surface.differences(third=False)  # forward passes alone
    else:
        surface.curve()
