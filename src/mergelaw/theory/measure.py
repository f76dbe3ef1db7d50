"""Derivatives at every full merge of one size, and how far nonlinear methods are from linear."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.config.theory import Route, Theory
from mergelaw.costs import cost_report
from mergelaw.design import BASE
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas.theory import DERIVATIVES, UPDATES
from mergelaw.merging.methods import recipe
from mergelaw.owner import Owner
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.sweep.engine import Engine
from mergelaw.tables import write_table
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives
from mergelaw.theory.linear import scale_of, why_no_curve
from mergelaw.theory.masks import why_no_masks
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.needed import require_models_and_text
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.updates import has_updates, residuals, sampled_subsets
from mergelaw.variants import theory_of

ORDER: tuple[Route, ...] = ("hvp", "gauss_newton", "differences", "pairs")
"""Routes as they are measured: those that take a gradient come before those that can use it."""


Surfaces = dict[Route, ModelSurface]
"""Of one method, by route; they share what they measured."""


@dataclass(frozen=True)
class Measured:
    """What one route found at one full merge.

    Attributes
    ----------
    method : Method
    mask_seed : int
    route : Route
    curve : CurveDerivatives
    whole : Derivatives or None
        None where the route tells the curve alone.
    masks : array, shape (probes, folds), or None
        What each random mask adds to the curvature; None where none are drawn.
    spent : dict
        What it took: passes, forward passes that they are worth, seconds.
    notes : tuple of str
        What was measured otherwise than asked.
    """

    method: Method
    mask_seed: int
    route: Route
    curve: CurveDerivatives
    whole: Derivatives | None
    masks: Array | None
    spent: dict[str, Any]
    notes: tuple[str, ...]


def write_derivatives(study: Study, paths: StudyPaths, size: str) -> Path:
    """Measure derivatives at the full merge of every method that has a curve, by every route.

    Returns
    -------
    Path
        The table (columns of `mergelaw.laws.schemas.theory.DERIVATIVES`); that of effective updates
        and cost.json, which tells what each route took, lie beside it.

    Raises
    ------
    BusyError
        If another process does the job now.
    ConfigError
        If the config has no `theory`.
    CheckpointError
        If experts do not match the base, or a number is not finite.
    DataError
        If text or checkpoints are missing (all are listed), or the text was prepared with another
        tokenizer or does not fit the model.
    """
    theory = theory_of(study)
    target = paths.derivatives(size)
    require_models_and_text(study, paths, size)
    origin = provenance(study, "theory", "derivatives", size=size)
    experts = {n: checkpoint_ref(study, paths, size, n) for n in sorted(study.expert_names)}
    base = checkpoint_ref(study, paths, size, BASE)
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    origin |= {"text": shards_digest(text.shards)}
    facts: dict[str, Any] = {"stage": "theory", "size": size, "slice": origin["slice"]}
    facts |= {"tokens_read": 0, "flops": 0.0}  # each pass adds its own
    with (
        Owner(target.with_suffix(".owner")) as owner,
        cost_report(target.with_suffix(".cost.json"), **facts) as cost,
        Engine.open(study, base, experts) as engine,
    ):
        check_vocabulary(text, engine.folders, engine.model)
        measured = list(_measure(study, theory, engine, text, size))
        rows = [row for found in measured for row in _rows(size, found)]
        updates = list(_updates(study, engine, size))
        origin |= _told(size, measured)
        owner.check()
        frame = pl.DataFrame(rows, schema=dict(DERIVATIVES.schema))
        write_table(target, frame, DERIVATIVES.schema, DERIVATIVES.key, origin)
        frame = pl.DataFrame(updates, schema=dict(UPDATES.schema))
        write_table(paths.updates(size), frame, UPDATES.schema, UPDATES.key, origin)
        cost["routes"] = [found.spent for found in measured]
        cost |= engine.costs() | {"n_tokens": text.length.n_tokens}
    return target


def measured_methods(study: Study) -> list[Method]:
    """Return the methods whose curve derivatives tell; the others, and why not, are told."""
    return [entry for entry in study.methods if not why_no_curve(entry, study.expert_names)]


def _measure(
    study: Study, theory: Theory, engine: Engine, text: EvalText, size: str
) -> Iterator[Measured]:
    """Yield what every route finds for every method and mask seed."""
    for entry in study.methods:
        reason = why_no_curve(entry, study.expert_names)
        if reason is not None:
            print(f"note: no derivatives of {reason}", file=sys.stderr)
    merges = [(e, seed) for e in measured_methods(study) for seed in study.mask_seeds_of(e)]
    surfaces: Surfaces = {}
    probes: dict[str, Array | None] = {}
    unchanged = False
    label = f"derivatives {size}"
    for entry, seed in progress(merges, len(merges), label, "merge"):
        plain = not recipe(entry, "").sparse
        if not (surfaces and plain and unchanged):  # else psi is the same: held once
            surfaces = _surfaces(study, theory, engine, text, entry, seed)
        unchanged = plain
        found = list(_by_route(surfaces, entry, seed))
        if entry.label not in probes:  # of no mask seed of the study's: once for all
            probes[entry.label] = _probes(theory, entry, next(iter(surfaces.values())))
        yield from (_complete(one, found, surfaces, probes[entry.label]) for one in found)


def _surfaces(
    study: Study, theory: Theory, engine: Engine, text: EvalText, entry: Method, seed: int
) -> Surfaces:
    """Return a method's surface for each route, in the order of `ORDER`."""
    routes = [route for route in ORDER if route in theory.routes]
    folded = [FoldedText.of_route(text, route) for route in routes]
    first = ModelSurface.over(engine, study, entry, folded[0], mask_seed=seed, step=theory.step)
    surfaces = {route: first.refolded(own) for route, own in zip(routes, folded, strict=True)}
    for route, surface in surfaces.items():
        surface.route = route
    return surfaces


def _by_route(surfaces: Surfaces, entry: Method, seed: int) -> Iterator[Measured]:
    """Yield what every route finds at one merge, by itself."""
    scale = scale_of(entry)
    for route, surface in surfaces.items():
        before = asdict(surface.spent)
        surface.notes.clear()
        whole = None if route == "differences" else surface.curvature(surface.full(scale))
        curve = whole.curve() if whole else surface.differences(scale)
        spent: dict[str, Any] = {"method": entry.label, "mask_seed": seed, "route": route}
        spent |= _since(before, surface.spent)
        yield Measured(entry, seed, route, curve, whole, None, spent, tuple(surface.notes))


def _probes(theory: Theory, entry: Method, surface: ModelSurface) -> Array | None:
    """Return what random masks add to the curvature, by probe and item, where masks are drawn."""
    if why_no_masks(entry) is not None:
        return None
    return surface.mask_probes(theory.mask_probes, scale_of(entry))


def _complete(
    one: Measured, found: Sequence[Measured], surfaces: Surfaces, probes: Array | None
) -> Measured:
    """Return what a route found with third derivatives, if any has them, and with masks."""
    third = next((other.curve.third for other in found if other.curve.third is not None), None)
    curve = one.curve if third is None else one.curve.with_third(third)
    masks = None if probes is None else surfaces[one.route].passes.folded.sums(probes)
    return replace(one, curve=curve, masks=masks)


def _since(before: dict[str, Any], spent: Spent) -> dict[str, Any]:
    return {key: round(value - before[key], 3) for key, value in asdict(spent).items()}


def _told(size: str, measured: Sequence[Measured]) -> dict[str, str]:
    """Print what was measured otherwise than asked; return it for the table's provenance."""
    methods: dict[tuple[str, str], list[str]] = {}
    for one in measured:
        for note in one.notes:
            methods.setdefault((one.route, note), []).append(one.method.label)
    notes = [
        f"{size}, {', '.join(dict.fromkeys(labels))}, {route}: {note}"
        for (route, note), labels in methods.items()
    ]
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return {"notes": json.dumps(notes)} if notes else {}


def _rows(size: str, found: Measured) -> Iterator[dict[str, Any]]:
    """Yield the rows of one route at one merge, a fold each."""
    folds, curve, whole = found.curve.folds, found.curve, found.whole
    masks, third = found.masks, _third_by_domain(curve)
    for fold, domain in enumerate(folds.domains):
        first = folds.domains.index(domain)
        yield {
            "size": size,
            "method": found.method.label,
            "mask_seed": found.mask_seed,
            "route": found.route,
            "domain": domain,
            "fold": fold - first,
            "experts": list(curve.experts),
            "scale": curve.scale,
            "n_items": int(folds.n_items[fold]),
            "n_tokens": int(folds.n_tokens[fold]),
            "nll_sum": float(curve.nll[fold]),
            "gradient": None if whole is None else whole.gradient[fold].tolist(),
            "curvature": None if whole is None else np.ravel(whole.curvature[fold]).tolist(),
            "slope": float(curve.slope[fold]),
            "radial": float(curve.radial[fold]),
            "spread": curve.spread[fold].tolist(),
            "third": third.get(domain),
            "mask_spread": None if masks is None else float(masks[:, fold].mean()),
            "mask_probes": None if masks is None else masks[:, fold].tolist(),
        }


def _third_by_domain(curve: CurveDerivatives) -> dict[str, list[float]]:
    if curve.third is None:
        return {}
    return dict(zip(curve.folds.names, curve.third.tolist(), strict=True))


def _updates(study: Study, engine: Engine, size: str) -> Iterator[dict[str, Any]]:
    """Yield how far the methods that elect signs are from means of effective updates, by k."""
    experts = sorted(study.expert_names)
    for entry in filter(has_updates, study.methods):
        seed = study.mask_seeds_of(entry)[0]
        engine.use(recipe(entry, f"{study.seed}/{seed}"))
        subsets = sampled_subsets(experts, f"{study.seed}/{size}/{entry.label}")
        for k, (n, residual) in residuals(engine.exact, entry, experts, subsets).items():
            yield {"size": size, "method": entry.label, "k": k, "n_subsets": n} | {
                "residual": residual
            }
