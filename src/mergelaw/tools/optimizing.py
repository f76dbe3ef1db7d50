"""The command `mergelaw optimize`: the best weights of given experts, and their merge."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mergelaw.errors import ConfigError, listing
from mergelaw.tools.merging import Base, Lineage, Members
from mergelaw.tools.optimizing_inputs import (
    SPLIT,
    checkpoint_problems,
    mismatches,
    objective_of,
    out_problems,
    pool_of,
    recipe_path,
    route_problems,
    texts_of,
)
from mergelaw.tools.options import Json, Mixture

if TYPE_CHECKING:
    from mergelaw.theory.best_merge import Asked, BestMerge

Shards = Annotated[
    list[Path] | None,
    typer.Option(
        "--shard",
        help="Prepared text that weights are chosen on (data/shards/*.safetensors); repeatable.",
    ),
]
HeldOutShards = Annotated[
    list[Path] | None,
    typer.Option("--heldout", help="Prepared text that they are judged on; repeatable."),
]
Split = Annotated[
    float | None,
    typer.Option(
        "--split",
        help=f"Without --heldout: share of the items that weights are chosen on; {SPLIT:g}.",
    ),
]
Target = Annotated[
    str | None, typer.Option("--target", help="The domain whose loss shall be small; else macro.")
]
Worst = Annotated[bool, typer.Option("--worst", help="The worst domain's loss shall be small.")]
MaxExperts = Annotated[
    int | None, typer.Option("--max-experts", help="At most so many experts have a weight.")
]
NoWorse = Annotated[
    float | None,
    typer.Option(
        "--no-worse-than-base",
        help="No domain may be worse than the base by more than this, in nats per token.",
    ),
]
Simplex = Annotated[bool, typer.Option("--simplex", help="Weights of at least 0 that sum to 1.")]
Bounds = Annotated[
    str | None, typer.Option("--bounds", help="Least and largest weight, LO,HI; -1,2.")
]
Layers = Annotated[
    bool, typer.Option("--layers", help="Weights of their own for each group of layers.")
]
RecipeOf = Annotated[
    Path | None,
    typer.Option("--recipe", help="Take base and experts from a recipe file, not its weights."),
]


def optimize(
    base: Base = None,
    expert: Members = None,
    recipe: RecipeOf = None,
    shard: Shards = None,
    heldout: HeldOutShards = None,
    split: Split = None,
    target: Target = None,
    mixture: Mixture = None,
    worst: Worst = False,
    max_experts: MaxExperts = None,
    no_worse_than_base: NoWorse = None,
    simplex: Simplex = False,
    bounds: Bounds = None,
    layers: Layers = False,
    route: Annotated[
        Literal["gauss_newton", "hvp", "pairs", "differences"],
        typer.Option(
            "--route",
            help="How curvature is measured; differences, as forecast has it, tells no single "
            "weights.",
        ),
    ] = "gauss_newton",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Try all other ways to choose weights, too.")
    ] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option("--dtype", help="Type of the weights, scored and written."),
    ] = "float32",
    lineage: Lineage = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", help="Padded tokens of a forward pass.", min=1)
    ] = 4096,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the merge to this folder, its recipe beside it (.yaml)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the weights of experts that make a loss smallest, by a few Newton steps."""
    from mergelaw.theory.best_merge import Asked, best_merge

    problems = [*out_problems(out), *route_problems(route)]
    pool = pool_of(base, expert, recipe, problems)
    if pool is not None:
        problems += checkpoint_problems(*pool, lineage or "strict")
    objective = objective_of(
        problems,
        {"target": target, "mixture": mixture, "worst": worst},
        {"bounds": bounds, "simplex": simplex},
        max_experts=max_experts,
        no_worse_than_base=no_worse_than_base,
        groups="layers" if layers else "model",
    )
    texts = texts_of(shard or [], heldout or [], split, batch_tokens, problems)
    if objective and texts and pool:
        problems += mismatches(objective, texts[0], len(pool[1]))
    if problems or objective is None or texts is None or pool is None or route == "differences":
        raise ConfigError(listing("the search that is asked for", problems))
    asked = Asked(
        *pool,
        objective,
        route,
        baselines,
        dtype,
        lineage or "strict",
        batch_tokens,
    )
    best = best_merge(asked, *texts)
    _write(best, out)
    _print(asked, best, out, as_json)


def _write(best: "BestMerge", out: Path | None) -> None:
    """Write the merged checkpoint, and its recipe beside it."""
    if out is None:
        return
    from mergelaw.config.recipe import recipe_yaml
    from mergelaw.files import write_text
    from mergelaw.merging.checkpoint import merge_checkpoints

    _, record = merge_checkpoints(best.recipe, out)
    write_text(recipe_path(out), recipe_yaml(best.recipe))
    for note in record["notes"]:
        print(f"note: {note}", file=sys.stderr)


def _print(asked: "Asked", best: "BestMerge", out: Path | None, as_json: bool) -> None:
    from mergelaw.theory.best_words import best_text

    if as_json:
        recipe = best.recipe.model_dump(mode="json")
        facts: dict[str, Any] = {"rows": best.rows, "notes": best.notes, "recipe": recipe}
        facts["out"] = str(out) if out else None
        print(json.dumps(facts, indent=2, allow_nan=False))
        return
    print(best_text(best.rows, asked.route, best.notes), end="")
    if out is not None:
        print(f"wrote {out} and {recipe_path(out)}")
