"""Derivatives at every full merge of one size, and how far nonlinear methods are from linear."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.config.theory import Route, Theory
from mergelaw.costs import cost_report
from mergelaw.design import BASE
from mergelaw.errors import ConfigError
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
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.updates import has_updates, residuals, sampled_subsets

ORDER: tuple[Route, ...] = ("hvp", "gauss_newton", "differences", "pairs")
"""Routes as they are measured: those that take a gradient come before those that can use it."""


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
    spent : dict
        What it took: passes, forward passes that they are worth, seconds.
    """

    method: Method
    mask_seed: int
    route: Route
    curve: CurveDerivatives
    whole: Derivatives | None
    spent: dict[str, Any]


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
        If the study's text was prepared with another tokenizer, or does not fit the model.
    """
    theory = theory_of(study)
    target = paths.derivatives(size)
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
        measured = list(_measure(study, theory, engine, FoldedText.of(text), size))
        spread = dict(_mask_spreads(study, theory, engine, FoldedText.of(text)))
        rows = [row for found in measured for row in _rows(size, found, spread)]
        updates = list(_updates(study, engine, size))
        owner.check()
        frame = pl.DataFrame(rows, schema=dict(DERIVATIVES.schema))
        write_table(target, frame, DERIVATIVES.schema, DERIVATIVES.key, origin)
        frame = pl.DataFrame(updates, schema=dict(UPDATES.schema))
        write_table(paths.updates(size), frame, UPDATES.schema, UPDATES.key, origin)
        cost["routes"] = [found.spent for found in measured]
        cost |= engine.costs() | {"n_tokens": text.length.n_tokens}
    return target


def theory_of(study: Study) -> Theory:
    """Return the section `theory` of a config.

    Raises
    ------
    ConfigError
        If it has none.
    """
    if study.theory is None:
        raise ConfigError("theory: is not in the config; add it (`theory: {}` takes the defaults)")
    return study.theory


def measured_methods(study: Study) -> list[Method]:
    """Return the methods whose curve derivatives tell; the others, and why not, are told."""
    return [entry for entry in study.methods if not why_no_curve(entry, study.expert_names)]


def _measure(
    study: Study, theory: Theory, engine: Engine, folded: FoldedText, size: str
) -> Iterator[Measured]:
    """Yield what every route finds for every method and mask seed."""
    for entry in study.methods:
        reason = why_no_curve(entry, study.expert_names)
        if reason is not None:
            print(f"note: no derivatives of {reason}", file=sys.stderr)
    merges = [(e, seed) for e in measured_methods(study) for seed in study.mask_seeds_of(e)]
    surface: ModelSurface | None = None
    unchanged = False
    label = f"derivatives {size}"
    for entry, seed in progress(merges, len(merges), label, "merge"):
        plain = not recipe(entry, "").sparse
        if surface is None or not (plain and unchanged):  # else psi is the same: held once
            surface = ModelSurface.over(
                engine, study, entry, folded, mask_seed=seed, step=theory.step
            )
        unchanged = plain
        yield from _by_route(surface, theory, entry, seed)
        for note in surface.notes:
            print(f"note: {size}, {entry.label}: {note}", file=sys.stderr)


def _by_route(
    surface: ModelSurface, theory: Theory, entry: Method, seed: int
) -> Iterator[Measured]:
    """Yield what every route finds at one merge; all have the third derivatives, if one has."""
    scale, found = scale_of(entry), []
    for route in (route for route in ORDER if route in theory.routes):
        surface.route, before = route, asdict(surface.spent)
        whole = None if route == "differences" else surface.curvature(surface.full(scale))
        curve = whole.curve() if whole else surface.differences(scale)
        spent: dict[str, Any] = {"method": entry.label, "mask_seed": seed, "route": route}
        spent |= _since(before, surface.spent)
        found.append(Measured(entry, seed, route, curve, whole, spent))
    third = next((one.curve.third for one in found if one.curve.third is not None), None)
    for one in found:
        curve = one.curve if third is None else one.curve.with_third(third)
        yield Measured(one.method, one.mask_seed, one.route, curve, one.whole, one.spent)


def _since(before: dict[str, Any], spent: Spent) -> dict[str, Any]:
    return {key: round(value - before[key], 3) for key, value in asdict(spent).items()}


def _mask_spreads(
    study: Study, theory: Theory, engine: Engine, folded: FoldedText
) -> Iterator[tuple[str, tuple[Array, Array]]]:
    """Yield what masks add to the curvature, by label of the methods that draw them."""
    for entry in measured_methods(study):
        if why_no_masks(entry) is None:
            surface = ModelSurface.over(engine, study, entry, folded)
            yield entry.label, surface.mask_spread(theory.mask_probes, scale_of(entry))


def _rows(
    size: str, found: Measured, spreads: dict[str, tuple[Array, Array]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one route at one merge, a fold each."""
    folds, curve, whole = found.curve.folds, found.curve, found.whole
    spread = spreads.get(found.method.label)
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
            "third": None if curve.third is None else curve.third[fold].tolist(),
            "mask_spread": None if spread is None else float(spread[0][fold]),
            "mask_stderr": None if spread is None else float(spread[1][fold]),
        }


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
