"""What lies beside merged weights: mergelaw.json, the model card, tables of statistics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergelaw.config.methods import METHODS, of_expert
from mergelaw.config.recipe import MergeRecipe
from mergelaw.design import BASE
from mergelaw.files import write_json, write_text
from mergelaw.merging import card
from mergelaw.merging.statistics import (
    Sums,
    densities,
    drop_rates,
    merged_table,
    rounding_loss,
    task_vector_table,
)
from mergelaw.merging.stream import Merge
from mergelaw.preflight.report import Preflight
from mergelaw.provenance import versions
from mergelaw.tables import (
    ALL_TENSORS,
    MERGED_TENSORS,
    MERGED_TENSORS_KEY,
    TASK_VECTORS,
    TASK_VECTORS_KEY,
    write_table,
)

RECORD = "mergelaw.json"


def write_record(
    part: Path,
    title: str,
    recipe: MergeRecipe,
    checked: Preflight,
    inputs: Mapping[str, str],
    merge: Merge,
    sums: Mapping[str, Sums],
) -> dict[str, Any]:
    """Write mergelaw.json and README.md into a merged checkpoint's folder; return the record."""
    whole = sums.get(ALL_TENSORS, {"merged": 0.0})
    shares = dict(zip(merge.experts, drop_rates(whole), strict=False))
    entry = METHODS[recipe.method.method]
    record: dict[str, Any] = {
        "recipe": _flat(recipe),
        "models": {
            name: {"label": checked.model_names[name], "digest": inputs[name]} for name in inputs
        },
        "n_params": checked.n_params,
        "accumulate": str(merge.accumulate).removeprefix("torch."),
        "rounding_loss": rounding_loss(whole) if whole["merged"] else None,
        "drop_rates": shares if entry.draws_masks else {},
        "densities": dict(zip(merge.experts, densities(whole, checked.n_params), strict=False)),
        "versions": versions(),
    }
    refs = {BASE: recipe.base, **recipe.experts}
    weight = getattr(recipe.method.parameters, "weight", None)
    told = card.Merge(
        title=title,
        ingredients=[
            card.Ingredient(
                name,
                refs[name],
                checked.model_names[name],
                inputs[name],
                None if name == BASE or weight is None else of_expert(weight, name),
            )
            for name in inputs
            if not (name == BASE and recipe.stand_in)
        ],
        method=recipe.method.method,
        definition=entry.__doc__ or "",
        papers=entry.papers,
        parameters=record["recipe"]["parameters"],
        recipe=record["recipe"],
        dtype="each tensor's own type" if recipe.dtype == "base" else recipe.dtype,
        rounding_loss=record["rounding_loss"],
        drop_rates=record["drop_rates"],
        versions=record["versions"],
        accumulate=record["accumulate"],
    )
    text = card.model_card(told)
    write_text(part / "README.md", text)
    record["recipe"] = card.public(record["recipe"], told.ingredients)
    write_json(part / RECORD, record)
    return record


def _flat(recipe: MergeRecipe) -> dict[str, Any]:
    """Return a recipe as its file has it."""
    flat = recipe.model_dump(mode="json")
    method = flat.pop("method")
    return {
        "base": flat.pop("base"),
        "experts": flat.pop("experts"),
        "method": method["method"],
        "parameters": method["parameters"],
        **flat,
    }


def write_statistics(
    part: Path,
    recipe: MergeRecipe,
    checked: Preflight,
    merge: Merge,
    sums: Mapping[str, Sums],
    identity: str,
) -> None:
    """Write the tables of task vectors and merged tensors into a merged checkpoint's folder."""
    names = {"size": checked.model_names[BASE], "method": recipe.method.method}
    origin = {"recipe": identity}
    segments = merge.pool.segments
    vectors = task_vector_table(sums, segments, merge.experts, **names)
    merged = merged_table(sums, segments, **names)
    write_table(part / "task_vectors.parquet", vectors, TASK_VECTORS, TASK_VECTORS_KEY, origin)
    write_table(part / "merged_tensors.parquet", merged, MERGED_TENSORS, MERGED_TENSORS_KEY, origin)
