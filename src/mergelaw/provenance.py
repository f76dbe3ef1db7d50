"""What a result was made from: the slice of the config that its job read, versions, seed."""

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from mergelaw import __version__
from mergelaw.cells import cell
from mergelaw.config import Study
from mergelaw.config.design import DesignPart
from mergelaw.design import chunks, sampling
from mergelaw.parts import part_of
from mergelaw.variants import (
    Series,
    order_series,
    scale_series,
    scale_subsets,
    scaled_methods,
    series_at,
)

STAGE_VERSION = {
    "design": 1,
    "data": 2,
    "experts": 2,
    "sweep": 3,
    "merge": 1,
    "laws": 2,
    "theory": 1,
    "planning": 1,
    "report": 3,
}
"""Raised by hand when a stage's numbers change: results of an older version are then made again."""

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "numpy",
    "scipy",
    "polars",
    "lmfit",
)


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(study: Study, stage: str, job: str, **targets: Any) -> str:
    """Return the digest of everything in the config that decides one job's output.

    Parameters
    ----------
    stage : str
        A key of `STAGE_VERSION`.
    job : str
        A key of `SLICES`.
    **targets
        What the job's wildcards name: `domain`, `size`, `expert`, `method`, `chunk`,
        `subset` (a cell's name), `part`.
    """
    return digest([STAGE_VERSION[stage], SLICES[job](study, **targets)])


def provenance(study: Study, stage: str, job: str, **targets: Any) -> dict[str, str]:
    """Return what a table says of its origin; no times, so that equal work is equal bytes."""
    return {
        "study": study.name,
        "seed": str(study.seed),
        "stage": stage,
        "stage_version": str(STAGE_VERSION[stage]),
        "slice": fingerprint(study, stage, job, **targets),
        "versions": json.dumps(versions(), sort_keys=True),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that are installed; an environment may hold some of them only."""
    found = {"mergelaw": __version__}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


VARIED = {
    **dict.fromkeys(("scale_fits", "scale_curves", "best_scales"), "scales"),
    "order": "orders",
    "multitask": "multitask",
}
"""Analyses of models beside the design's merges, and the section of the config behind them."""


TRAINED = ("capacity", "capacity_fits")
"""Analyses of how experts are trained."""


def _dump(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _items(study: Study, domain: str) -> dict[str, Any]:
    return {
        "source": _dump(study.domain(domain).source),
        "shares": _dump(study.data.shares),
        "folder": study.data_folder,
        "seed": study.seed,
    }


def _tokenizer(study: Study) -> dict[str, Any]:
    return {
        "tokenizer": _dump(study.tokenizer),
        "domains": study.domain_names,
        "seed": study.seed,
    }


def _masks(study: Study, method: str) -> list[Any]:
    """Seeds, where the method draws masks."""
    return [study.seed, study.mask_seeds] if study.method(method).draws_masks else []


def _pretraining(study: Study) -> dict[str, Any]:
    contexts = {size.architecture.context for size in study.sizes if size.architecture}
    training = study.training.base
    rows = training.steps * training.batch_rows
    return {
        "n_tokens": rows * max(contexts, default=0),
        "generic_share": study.data.generic_share,
        "domains": study.domain_names,
        "seed": study.seed,
    }


def _shards(study: Study) -> dict[str, Any]:
    evaluation = _dump(study.evaluation) | {"batch_tokens": None}
    return {"evaluation": evaluation, "domains": study.domain_names}


def _base(study: Study, size: str) -> dict[str, Any]:
    architecture = study.size(size).architecture
    return {
        "architecture": architecture and _dump(architecture),
        "training": _dump(study.training.base),
        "seed": study.seed,
    }


ROUNDING_ONLY = {"pack", "micro_batch_rows", "gradient_checkpointing", "attention", "save_minutes"}
"""Keys of a training that change its speed and memory, its numbers by rounding only."""


def _training(study: Study, size: str) -> dict[str, Any]:
    return study.expert_training(size).model_dump(mode="json", exclude=ROUNDING_ONLY)


def _expert(study: Study, size: str, expert: str) -> dict[str, Any]:
    return {
        "expert": _dump(study.expert(expert)),
        "training": _training(study, size),
        "seed": study.seed,
    }


def _multitask(study: Study, size: str) -> dict[str, Any]:
    return {
        "experts": [_dump(study.expert(name)) for name in study.multitask_experts],
        "training": _training(study, size) | {"snapshots": None},
        "seed": study.seed,
    }


def _multitask_losses(study: Study, size: str) -> dict[str, Any]:
    return {**_multitask(study, size), "domains": study.domain_names}


def _trained_experts(study: Study, size: str) -> dict[str, Any]:
    given = study.size(size).experts
    return {
        "experts": [_dump(study.expert(name)) for name in study.expert_names if name not in given],
        "snapshots": study.expert_training(size).snapshots,
    }


def _training_logs(study: Study, size: str) -> dict[str, Any]:
    return {**_trained_experts(study, size), "multitask": study.multitask_experts}


def _costs(study: Study) -> dict[str, Any]:
    return {**_design(study), "methods": study.method_labels}


def _chunk(study: Study, size: str, method: str, chunk: int | str) -> dict[str, Any]:
    part, entry = chunks(study, size)[int(chunk)], study.size(size)
    return {
        "method": _dump(study.method(method)),
        "subsets": [subset.name for subset in part.subsets],
        "domains": study.domain_names,
        "checkpoints": [entry.base, {name: entry.experts.get(name) for name in part.experts}],
        "arithmetic": [study.dtype, study.accumulate, *_masks(study, method)],
        "incremental": study.sweep.incremental,
    }


def _scales(study: Study, size: str) -> dict[str, Any]:
    return _variants(study, size, scale_series(study)) if study.scales else {}


def _best_scales(study: Study, size: str) -> dict[str, Any]:
    """Return what decides these merges beside their scales, which a table holds."""
    if not study.scales:
        return {}
    merges = [subset for part in scale_subsets(study).values() for subset in part]
    series = [series_at(study, entry, 1.0, merges) for entry in scaled_methods(study)]
    return _variants(study, size, series)


def _orders(study: Study, size: str) -> dict[str, Any]:
    return _variants(study, size, order_series(study)) if study.orders else {}


def _variants(study: Study, size: str, series: Iterable[Series]) -> dict[str, Any]:
    entry, series = study.size(size), list(series)
    return {
        "series": [[_dump(s.method), [merge.name for merge in s.merges], *s[2:]] for s in series],
        "masks": [study.seed] * any(s.method.draws_masks for s in series),
        "domains": study.domain_names,
        "checkpoints": [entry.base, {e: entry.experts.get(e) for e in sorted(study.expert_names)}],
        "dtype": study.dtype,
    }


def _cell(study: Study, size: str, method: str, subset: str) -> dict[str, Any]:
    merge, entry = cell(study, size, method, subset), study.size(size)
    experts, seeds = merge.subset.experts, [study.seed, merge.mask_seed]
    return {
        "method": _dump(study.method(method)),
        "subset": merge.subset.name,
        "checkpoints": [entry.base, {name: entry.experts.get(name) for name in experts}],
        "arithmetic": [study.dtype, study.accumulate, *seeds * study.method(method).draws_masks],
    }


def _cell_losses(study: Study, size: str, method: str, subset: str) -> dict[str, Any]:
    return {**_cell(study, size, method, subset), "domains": study.domain_names}


def _task_vectors(study: Study, size: str) -> dict[str, Any]:
    entry, names = study.size(size), sorted(study.expert_names)
    drawn = any(method.draws_masks for method in study.methods)
    return {
        "methods": [_dump(method) for method in study.methods],
        "checkpoints": [entry.base, {name: entry.experts.get(name) for name in names}],
        "arithmetic": [study.dtype, study.accumulate],
        "masks": [study.seed, study.mask_seeds[0]] if drawn else [],
    }


def _laws(study: Study) -> dict[str, Any]:
    return {
        "laws": _dump(study.laws),
        "seed": study.seed,
        "experts": [_dump(expert) for expert in study.experts],
        "domains": study.domain_names,
        "methods": [_dump(method) for method in study.methods],
    }


def _curves(study: Study) -> dict[str, Any]:
    return {**_laws(study), **_sampling(study)}


def _sampling(study: Study) -> dict[str, Any]:
    """Tell where means have no error of a random sample, though the subsets may be the same."""
    found = {}
    for size in study.size_names:
        parts = study.size(size).design or study.design
        listed = [k for k in range(1, len(study.experts) + 1) if any(_has(p, k) for p in parts)]
        kinds = {k: sampling(study, size, k) for k in listed}
        found[size] = {k: kind for k, kind in kinds.items() if kind != "random"}
    return {"sampling": found} if any(found.values()) else {}


def _has(part: DesignPart, k: int) -> bool:
    return part.k is None or k in part.k


def _analysis(study: Study, analysis: str) -> dict[str, Any]:
    blocks = {domain.name: domain.block for domain in study.domains}
    section = VARIED.get(analysis)
    varied = {section: study.model_dump(mode="json", include={section})} if section else {}
    if analysis in TRAINED:
        varied = {"settings": {size: _training(study, size) for size in study.size_names}}
    return {"analysis": analysis, "blocks": blocks, **varied, **_laws(study)}


def _design(study: Study) -> dict[str, Any]:
    subsets = {size: [c.subsets for c in chunks(study, size)] for size in study.size_names}
    return {
        size: [[subset.name for subset in chunk] for chunk in parts]
        for size, parts in subsets.items()
    }


def _losses(study: Study) -> dict[str, Any]:
    return {"design": _design(study), "cells": [study.method_labels, study.domain_names]}


def _part(study: Study, part: str) -> dict[str, Any]:
    return _losses(part_of(study, part))


def _part_curves(study: Study, part: str) -> dict[str, Any]:
    return {**_part(study, part), **_curves(part_of(study, part))}


def _derivatives(study: Study, size: str) -> dict[str, Any]:
    if study.theory is None:
        return {}
    measured = study.theory.model_dump(mode="json", include={"routes", "step", "mask_probes"})
    seeds = {label: _masks(study, label) for label in study.method_labels}
    methods = [_dump(method) for method in study.methods]
    return {**_pool_on_text(study, size), **measured, "methods": methods, "seeds": seeds}


def _weights(study: Study, size: str) -> dict[str, Any]:
    if study.theory is None:
        return {}
    keys = {"objectives", "calibration_tokens", "heldout_tokens", "step"}
    return {**_pool_on_text(study, size), **study.theory.model_dump(mode="json", include=keys)}


def _pool_on_text(study: Study, size: str) -> dict[str, Any]:
    """Return what decides losses of merges of the whole pool, at any weights."""
    entry, names = study.size(size), sorted(study.expert_names)
    return {
        "checkpoints": [entry.base, {name: entry.experts.get(name) for name in names}],
        "domains": study.domain_names,
        "arithmetic": [study.dtype, study.accumulate],
        "seed": study.seed,
    }


def _predictions(study: Study) -> dict[str, Any]:
    if study.theory is None:
        return {}
    asked = {"sizes": study.size_names, "scales": study.scales is not None}
    routes = study.theory.model_dump(mode="json", include={"routes"})
    return {**asked, **routes, **_laws(study)}


def _law_file(study: Study) -> dict[str, Any]:
    asked = {"sizes": study.size_names, "multitask": study.multitask is not None}
    return {**asked, "notes": study.notes, **_laws(study)}


def _planner(study: Study) -> dict[str, Any]:
    return {"study": study.name, "seed": study.seed}


def _figure(study: Study, figure: str) -> dict[str, Any]:
    return {"figure": figure, "sizes": study.size_names, **_laws(study)}


def _page(study: Study, page: str) -> dict[str, Any]:
    return (
        {"page": page}
        | study.model_dump(mode="json", exclude={"training": {"expert": ROUNDING_ONLY}})
        | {"evaluation": _dump(study.evaluation) | {"batch_tokens": None}}
    )


SLICES: dict[str, Callable[..., dict[str, Any]]] = {
    "design": _design,
    "items": _items,
    "tokenizer": _tokenizer,
    "pretraining": _pretraining,
    "shards": _shards,
    "base": _base,
    "expert": _expert,
    "multitask": _multitask,
    "multitask_losses": _multitask_losses,
    "snapshot_losses": _trained_experts,
    "training_logs": _training_logs,
    "chunk": _chunk,
    "scales": _scales,
    "best_scales": _best_scales,
    "orders": _orders,
    "cell": _cell,
    "cell_losses": _cell_losses,
    "task_vectors": _task_vectors,
    "losses": _losses,
    "part": _part,
    "curves": _curves,
    "part_curves": _part_curves,
    "fits": _laws,
    "analysis": _analysis,
    "derivatives": _derivatives,
    "weights": _weights,
    "predictions": _predictions,
    "law_file": _law_file,
    "planner": _planner,
    "figure": _figure,
    "costs": _costs,
    "page": _page,
}
"""What each job reads of the config, by the name of its rule."""
