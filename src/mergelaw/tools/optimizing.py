"""The command `mergelaw optimize`: the best weights of given experts, and their merge."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mergelaw.errors import ConfigError, MergeLawError, listing
from mergelaw.tools.merging import Base, Lineage, Members, named_experts
from mergelaw.tools.options import Json, problem_lines

if TYPE_CHECKING:
    from mergelaw.config.theory import Objective
    from mergelaw.evaluation.text import EvalText
    from mergelaw.theory.best_merge import Asked, BestMerge

SPLIT = 0.5
"""Share of the items that weights are chosen on, where no held-out text is given."""

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
Mixture = Annotated[
    str | None, typer.Option("--mixture", help="Weights of domains, as a=0.5,b=0.5.")
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
        Literal["gauss_newton", "hvp", "pairs"],
        typer.Option("--route", help="How curvature is measured."),
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

    problems = [*_out_problems(out)]
    pool = _pool(base, expert, recipe, problems)
    objective = _objective(
        problems,
        {"target": target, "mixture": mixture, "worst": worst},
        {"bounds": bounds, "simplex": simplex},
        max_experts=max_experts,
        no_worse_than_base=no_worse_than_base,
        groups="layers" if layers else "model",
    )
    texts = _texts(shard or [], heldout or [], split, batch_tokens, problems)
    if objective and texts and pool:
        problems += _mismatches(objective, texts[0], len(pool[1]))
    if problems or objective is None or texts is None or pool is None:
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


def _out_problems(out: Path | None) -> Iterator[str]:
    for place in (out, _recipe_path(out)) if out is not None else ():
        if place.exists():
            yield f"--out {out}: {place} exists; name another folder"


def _recipe_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.yaml")


def _pool(
    base: str | None, experts: Sequence[str] | None, recipe: Path | None, problems: list[str]
) -> tuple[str, dict[str, str]] | None:
    """Return the base and the experts; what is wrong with them is added to the problems."""
    from mergelaw.config.recipe import read_recipe

    try:
        if recipe is not None:
            if base or experts:
                problems.append("--recipe names base and experts: leave out --base, --expert")
            given = read_recipe(recipe)
            return given.base, dict(given.experts)
        if not base or not experts:
            problems.append("--base, --expert: name them, or a recipe file with --recipe")
            return None
        return base, named_experts(experts)
    except MergeLawError as error:
        problems += problem_lines(error)
        return None


def _objective(
    problems: list[str], aims: dict[str, Any], region: dict[str, Any], **settings: Any
) -> "Objective | None":
    """Return what is minimised; what is wrong with it is added to the problems."""
    from mergelaw.config.load import validate_section
    from mergelaw.config.theory import Theory
    from mergelaw.tools.choosing import mixture_of

    raw: dict[str, Any] = {"label": "best"} | {k: v for k, v in settings.items() if v is not None}
    named = [f"--{name}" for name, value in aims.items() if value]
    if len(named) > 1:
        problems.append(f"{', '.join(named)}: give one of them")
    if region["simplex"] and region["bounds"]:
        problems.append("--simplex, --bounds: give one of them")
    try:
        if aims["mixture"]:
            raw["mixture"] = mixture_of(aims["mixture"])
    except ConfigError as error:
        problems += problem_lines(error)
    raw["target"] = "worst" if aims["worst"] else aims["target"] or "macro"
    raw["sums_to_one"] = region["simplex"]
    if region["bounds"]:
        raw["bounds"] = _numbers(region["bounds"], problems)
    found, wrong = validate_section(Theory, "objectives", {"objectives": [raw]})
    problems += [_as_option(line.removeprefix("objectives[0].")) for line in wrong]
    return None if wrong else found[0]


def _as_option(line: str) -> str:
    """Return a problem of the config's key as one of the option with that name."""
    name, _, rest = line.partition(" ")
    return f"--{name.replace('_', '-')} {rest}"


def _numbers(text: str, problems: list[str]) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        problems.append(f"--bounds {text}: must be LO,HI, two numbers, the first below the second")
        return -1.0, 2.0
    return low, high


def _texts(
    shards: Sequence[Path],
    heldout: Sequence[Path],
    split: float | None,
    batch_tokens: int,
    problems: list[str],
) -> "tuple[EvalText, EvalText] | None":
    """Return calibration and held-out text; what is wrong with them is added to the problems."""
    from mergelaw.evaluation.checkpoint import read_text
    from mergelaw.evaluation.text import EvalText
    from mergelaw.theory.best_merge import check_apart, divided

    before = len(problems)
    if not shards:
        problems.append("--shard: name the prepared text that weights are chosen on")
    if heldout and split is not None:
        problems.append("--heldout, --split: give one of them")
    if split is not None and not 0 < split < 1:
        problems.append(f"--split {split:g}: must be a share between 0 and 1")
    if len(problems) > before:
        return None
    try:
        text = read_text(shards, batch_tokens)
        if heldout:
            other = read_text(heldout, batch_tokens)
            check_apart(text.shards, other.shards)
            return text, other
        one, rest = divided(text.shards, SPLIT if split is None else split)
        return EvalText.of(one, batch_tokens), EvalText.of(rest, batch_tokens)
    except MergeLawError as error:
        problems += problem_lines(error)
        return None


def _mismatches(objective: "Objective", text: "EvalText", n_experts: int) -> Iterator[str]:
    from mergelaw.theory.goal import goal_problems

    domains = tuple(shard.domain for shard in text.shards)
    yield from map(_as_option, goal_problems(objective, domains, n_experts))


def _write(best: "BestMerge", out: Path | None) -> None:
    """Write the merged checkpoint, and its recipe beside it."""
    if out is None:
        return
    from mergelaw.config.recipe import recipe_yaml
    from mergelaw.files import write_text
    from mergelaw.merging.checkpoint import merge_checkpoints

    _, record = merge_checkpoints(best.recipe, out)
    write_text(_recipe_path(out), recipe_yaml(best.recipe))
    for note in record["notes"]:
        print(f"note: {note}", file=sys.stderr)


def _print(asked: "Asked", best: "BestMerge", out: Path | None, as_json: bool) -> None:
    from mergelaw.theory.best_words import best_text

    if as_json:
        recipe = best.recipe.model_dump(mode="json")
        facts = {"rows": best.rows, "recipe": recipe, "out": str(out) if out else None}
        print(json.dumps(facts, indent=2, allow_nan=False))
        return
    print(best_text(best.rows), end="")
    if out is not None:
        print(f"wrote {out} and {_recipe_path(out)}")
