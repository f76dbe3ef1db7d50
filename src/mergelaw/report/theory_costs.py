"""What the theory's jobs took, beside the sweep that they stand in for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.paths import StudyPaths
from mergelaw.report import words
from mergelaw.report.captions.figure import COSTS
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, rows
from mergelaw.report.theory_choice import ROUTES

Spent = Mapping[str, Sequence[Mapping[str, Any]]]
"""What each route took at each method, by size, as the jobs' cost records tell it."""


def read_spent(study: Study, paths: StudyPaths) -> dict[str, list[dict[str, Any]]]:
    """Return what routes took by size; nothing of a size whose job left no record."""
    found = {}
    for size in study.size_names:
        record = paths.derivatives(size).with_suffix(".cost.json")
        told = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        found[size] = list(told.get("routes", []))
    return found


def routes(study: Study, tables: Tables, spent: Spent) -> Grid:
    """Tabulate passes and seconds of each route at the reference method, beside its sweep."""
    method, body = study.reference_label, []
    for size in study.size_names:
        sweep = rows(tables[COSTS], stage="sweep", rule="chunk", size=size, method=method)
        whole, merges = (float(sweep[c].sum()) for c in ("wall_seconds", "n_merges"))
        for row in spent.get(size, ()):
            if row["method"] == method:
                body.append(
                    [
                        size,
                        ROUTES.get(str(row["route"]), str(row["route"])),
                        words.number(row["forwards"], 1),
                        words.number(row["seconds"], 2),
                        words.percent(row["seconds"] / whole if whole else None, 1),
                        words.whole(merges or None),
                        words.number(whole or None, 1),
                    ]
                )
    return Grid(
        f"Derivatives at the one merge ({method}): forward passes over the evaluation text that "
        "they are worth, a gradient as 3 and a Hessian-vector product as 4; seconds, "
        "without start and loading; the same as a share of the sweep's wall time, which has both; "
        "and that sweep. Differences, where they are measured, also give the third derivatives of "
        "the other routes. Jobs of a busy machine take longer than alone.",
        ("size", "derivatives by", "forwards", "seconds", "of the sweep", "its merges", "seconds"),
        body,
        2,
    )


STAGES = ("sweep", "theory")


def costs(study: Study, tables: Tables) -> Grid:
    """Tabulate what the theory's jobs took, beside the sweep of the same size."""
    frame = tables[COSTS].filter(pl.col("stage").is_in(STAGES))
    body = [
        [
            row["size"] or "all",
            row["stage"],
            row["rule"],
            row["method"] or words.MISSING,
            words.number(row["wall_seconds"], 1),
            words.number(row["cpu_seconds"], 1),
            words.whole(row["n_tokens"]),
            words.whole(row["n_merges"]),
        ]
        for size in [*study.size_names, None]
        for row in rows(frame, size=size).sort("stage", "rule", "method").to_dicts()
    ]
    return Grid(
        "What jobs took: wall and processor seconds, start and loading of models included; tokens "
        "that models read; merges made. Jobs of the theory hold derivatives for all its methods.",
        ("size", "stage", "rule", "method", "wall s", "processor s", "tokens", "merges"),
        body,
        4,
    )
