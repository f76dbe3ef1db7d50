"""The study's best weights: searched for on one text, judged on another, written as a table."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.config.recipe import method_from_text
from mergelaw.config.theory import Objective
from mergelaw.costs import cost_report
from mergelaw.design import BASE
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.laws.schemas.theory import WEIGHTS
from mergelaw.owner import Owner
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.sweep.engine import Engine, PoolSettings
from mergelaw.tables import write_table
from mergelaw.theory import ways
from mergelaw.theory.comparison import Compared, compare
from mergelaw.theory.counted import Counted
from mergelaw.theory.found import Found
from mergelaw.theory.heldout import HeldOut, items_of
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.needed import require_models_and_text
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.texts import calibration_and_heldout
from mergelaw.variants import theory_of

CALIBRATION_FOLDS = 4
"""Folds of a domain's calibration text: cross-validation leaves one out at a time. More
would be of few items each, on which a pass backward costs up to three times as much."""

GROUPINGS: tuple[Literal["model", "layers"], ...] = ("model", "layers")


def write_weights(study: Study, paths: StudyPaths, size: str) -> Path:
    """Search for the best weights of every objective, and write them with what they bring.

    They are of plain task vectors. The first objective stands beside other ways to choose weights,
    the others beside the full average and the best scale. What a reader must know stands in the
    table's provenance under `notes`, and on standard error.

    Returns
    -------
    Path
        The table (columns of `mergelaw.laws.schemas.theory.WEIGHTS`); cost.json lies beside it.

    Raises
    ------
    BusyError
        If another process does the job now.
    ConfigError
        If the config has no `theory`, or an objective does not fit the study.
    CheckpointError
        If experts do not match the base, or a number is not finite.
    DataError
        If there is too little text, or it was prepared with another tokenizer.
    """
    target, theory = paths.weights(size), theory_of(study)
    origin = provenance(study, "theory", "weights", size=size)
    require_models_and_text(study, paths, size)
    told: list[str] = []
    calibration, heldout = calibration_and_heldout(study, paths, told.append)
    origin |= {"text": shards_digest((*calibration.shards, *heldout.shards))}
    base = checkpoint_ref(study, paths, size, BASE)
    experts = {n: checkpoint_ref(study, paths, size, n) for n in sorted(study.expert_names)}
    facts: dict[str, Any] = {"stage": "theory", "size": size, "slice": origin["slice"]}
    facts |= {"tokens_read": 0, "flops": 0.0}  # each pass adds its own
    with (
        Owner(target.with_suffix(".owner")) as owner,
        cost_report(target.with_suffix(".cost.json"), **facts) as cost,
        Engine.open(study, base, experts) as engine,
    ):
        for text in (calibration, heldout):
            check_vocabulary(text, engine.folders, engine.model)
        named = f"{study.seed}/{size}"
        found = search_all(engine, study, calibration, theory.objectives, named, ways.IN_STUDY)
        judge = judge_of(engine, study, heldout, found)
        n_tokens = calibration.length.n_scored, heldout.length.n_scored
        rows = [row for one in found for row in _rows(size, one, judge, n_tokens)]
        frame = pl.DataFrame(rows, schema=dict(WEIGHTS.schema))
        origin |= _notes(size, told, found)
        cost["ways"] = [*_seconds(found)]
        owner.check()
        write_table(target, frame, WEIGHTS.schema, WEIGHTS.key, origin)
        cost |= engine.costs() | {
            "n_tokens": sum(t.length.n_tokens for t in (calibration, heldout))
        }
    return target


def _notes(size: str, told: Sequence[str], found: Sequence[Compared]) -> dict[str, str]:
    """Print what a reader must know of texts and searches; return it for the provenance."""
    notes = [f"{size}, {line}" for line in told]
    for one in found:
        both = (*one.notes, *one.found[0].notes)
        notes += [f"{size}, {one.objective.label}: {note}" for note in both]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return {"notes": json.dumps(notes)} if notes else {}


def plain_method() -> Method:
    """Return the method whose task vectors are weighed: they are taken as they are."""
    return method_from_text("average")


def search_all(
    engine: Engine,
    settings: PoolSettings,
    text: EvalText,
    objectives: Sequence[Objective],
    seed: str,
    beside_first: tuple[str, ...],
    route: Literal["hvp", "gauss_newton", "pairs"] = "gauss_newton",
) -> list[Compared]:
    """Search for every objective's weights, beside the full average and the best scale.

    Parameters
    ----------
    engine : Engine
        Holds the pool.
    settings : Study or mergelaw.sweep.engine.Settings
    text : EvalText
        What weights are chosen on.
    objectives : sequence of Objective
    seed : str
        Names random numbers.
    beside_first : tuple of str
        Ways that stand beside the first objective's search.
    route
        How curvature is measured.
    """
    folded = FoldedText.of(text, CALIBRATION_FOLDS)
    ordered = sorted(objectives, key=lambda o: GROUPINGS.index(o.groups))
    surfaces: dict[str, Counted] = {}
    done: dict[str, Compared] = {}
    for wanted in progress(ordered, len(ordered), "weights", "objective"):
        if wanted.groups not in surfaces:  # the engine shows one surface's merges at a time
            inner = ModelSurface.over(
                engine, settings, plain_method(), folded, groups=wanted.groups, route=route
            )
            former = next(iter(surfaces.values()), None)
            surfaces = {wanted.groups: Counted(inner)}
            if former is not None:
                surfaces[wanted.groups].knows(former)
        chosen = beside_first if wanted is objectives[0] else ways.REFERENCES
        found = compare(surfaces[wanted.groups], wanted, chosen, seed=f"{seed}/{wanted.label}")
        done[wanted.label] = replace(found, notes=tuple(inner.notes))
    return [done[wanted.label] for wanted in objectives]


def judge_of(
    engine: Engine, settings: PoolSettings, text: EvalText, found: Sequence[Compared]
) -> HeldOut:
    """Return what judges weights on other text; surfaces of the engine are of no use afterwards."""
    groups: Literal["model", "layers"] = "model"
    if any(one.objective.groups == "layers" for one in found):
        groups = "layers"
    surface = ModelSurface.over(
        engine, settings, plain_method(), FoldedText.of(text, 1), groups=groups
    )
    n_experts = len(surface.experts)
    return HeldOut(
        surface.item_losses,
        items_of(text),
        n_experts * len(surface.groups),
        np.full(n_experts, 1 / n_experts),
    )


def _seconds(found: Sequence[Compared]) -> Iterator[dict[str, Any]]:
    """Yield what each way took, as if it were alone: the same work takes another time again."""
    for one in found:
        for way in one.found:
            seconds = round(way.spent.seconds, 3)
            yield {"objective": one.objective.label, "way": way.way, "seconds": seconds}


def _rows(
    size: str, compared: Compared, judge: HeldOut, n_tokens: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    for found in compared.found:
        yield {"size": size} | row_of(compared, found, judge, n_tokens)


def row_of(
    compared: Compared, found: Found, judge: HeldOut, n_tokens: tuple[int, int]
) -> dict[str, Any]:
    """Return what a table holds of one way's weights, but for the size; seconds lie in cost.json.

    Parameters
    ----------
    n_tokens : pair of int
        Scored tokens of the calibration text and of the held-out one.
    """
    goal = compared.goal
    judged = judge.judged(goal, found.weights)
    spent = found.spent
    return {
        "objective": compared.objective.label,
        "way": found.way,
        "groups": list(compared.groups),
        "experts": list(compared.experts),
        "weights": found.weights.tolist(),
        "n_experts": found.n_experts(len(compared.experts)),
        "calibration_tokens": n_tokens[0],
        "heldout_tokens": n_tokens[1],
        "calibration": found.value,
        "heldout": judged.value,
        "heldout_stderr": judged.stderr if np.isfinite(judged.stderr) else None,
        "domains": list(goal.domains),
        "heldout_by_domain": judged.losses.tolist(),
        "forwards": spent.forwards,
        "n_losses": spent.n_losses,
        "n_gradients": spent.n_gradients,
        "n_products": spent.n_products,
        "converged": found.converged,
        "note": "; ".join(_told(found, len(compared.groups))),
    }


def _told(found: Found, n_groups: int) -> Iterator[str]:
    """Yield the pull towards equal weights, where there is one, and what a reader must know."""
    if found.choice is not None:
        yield found.choice.text(n_groups)
    yield from found.notes
