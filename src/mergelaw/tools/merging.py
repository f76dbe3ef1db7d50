"""Commands that merge: check, merge, export-recipe; they need no study."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mergelaw.config.recipe import MergeRecipe
from mergelaw.errors import ConfigError, listing
from mergelaw.tools.options import Json

Base = Annotated[
    str | None, typer.Option("--base", help="The base: a folder, or org/name in the Hub's cache.")
]
Members = Annotated[
    list[str] | None,
    typer.Option("--expert", help="An expert, [NAME=]PATH, or a LoRA adapter; repeatable."),
]
MethodText = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="METHOD[:KEY=VALUE,...], as ties:density=0.2; docs/merging.md has them all.",
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", help="NAME=WEIGHT; once for every expert, or not at all."),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", help="A recipe file (YAML), mergelaw's or mergekit's."),
]
Dtype = Annotated[
    Literal["base", "float32", "bfloat16", "float16"] | None,
    typer.Option("--dtype", help="Type of the merged weights; base: each tensor's own."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Seed of random masks.", min=0, max=2**32 - 1)
]
Lineage = Annotated[
    Literal["strict", "report"] | None,
    typer.Option("--lineage", help="Refuse, or only report, experts that name another base."),
]


def check(
    base: Base = None,
    expert: Members = None,
    method: MethodText = None,
    recipe: RecipeFile = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the merged model would go.")
    ] = None,
    dtype: Dtype = None,
    lineage: Lineage = None,
    as_json: Json = False,
) -> None:
    """Tell from headers, configs and tokenizers whether models can be merged; reads no weights."""
    from mergelaw.preflight.report import preflight

    plain = recipe is None and method is None
    given = _recipe(recipe, base, expert, "average" if plain else method, None)
    found = preflight(
        given.base,
        dict(given.experts),
        out=out,
        dtype=dtype or given.dtype,
        lineage=lineage or given.lineage,
        stand_in=None if plain else given.stand_in,
    )
    print(json.dumps(found.facts(), indent=2) if as_json else found.text(), flush=True)
    if found.problems and as_json:
        raise typer.Exit(1)
    found.raise_problems()
    if not as_json:
        print("these models can be merged")


def merge(
    out: Annotated[Path, typer.Option("--out", help="Folder to be made.")],
    base: Base = None,
    expert: Members = None,
    method: MethodText = None,
    weight: Weights = None,
    recipe: RecipeFile = None,
    dtype: Dtype = None,
    seed: Seed = None,
    lineage: Lineage = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Write tables of task vectors, too.")
    ] = False,
    shard_gb: Annotated[
        float, typer.Option("--shard-gb", help="Most gigabytes of one file.", min=1e-6, max=1e6)
    ] = 5.0,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes; 0: one on each core.", min=0)
    ] = 0,
    io: Annotated[
        Literal["pread", "mmap"], typer.Option("--io", help="How files are read.")
    ] = "pread",
    as_json: Json = False,
) -> None:
    """Merge checkpoints into a new one; after a kill, the same command goes on."""
    from mergelaw.merging.checkpoint import Streaming, merge_checkpoints

    given = _recipe(recipe, base, expert, method, weight)
    changes = {"dtype": dtype, "seed": seed, "lineage": lineage}
    given = given.model_copy(update={k: v for k, v in changes.items() if v is not None})
    streaming = Streaming(io, workers, int(shard_gb * 1e9), statistics)
    checked, record = merge_checkpoints(given, out, streaming)
    if as_json:
        print(json.dumps({"out": str(out), **record}, indent=2))
        return
    for note in record["notes"]:
        print(f"note: {note}", file=sys.stderr)
    loss = record["rounding_loss"]
    told = "" if loss is None else f"; rounding loss {loss:.3g} of the merged change"
    print(f"{out}: {checked.n_params:,} parameters{told}")


def export_recipe(
    out: Annotated[Path, typer.Option("--out", help="The file to be written.")],
    base: Base = None,
    expert: Members = None,
    method: MethodText = None,
    weight: Weights = None,
    recipe: RecipeFile = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A study, whose cell --cell names.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", help="SIZE/METHOD/SUBSET of the study.")
    ] = None,
    dtype: Dtype = None,
    native: Annotated[
        bool, typer.Option("--native", help="Write mergelaw's YAML instead of mergekit's.")
    ] = False,
) -> None:
    """Write a merge as a recipe file that mergekit reads."""
    from mergelaw.config.mergekit import to_mergekit
    from mergelaw.config.recipe import recipe_yaml
    from mergelaw.files import write_text

    if (config is None) != (cell is None):
        raise ConfigError("--config and --cell go together: a study, and SIZE/METHOD/SUBSET of it")
    if config is not None and cell is not None:
        if any((recipe, base, expert, method, weight)):
            raise ConfigError("--cell names the whole merge: leave the other options out")
        from mergelaw.cells import recipe_of_cell

        given = recipe_of_cell(config, cell)
    else:
        given = _recipe(recipe, base, expert, method, weight)
    if dtype is not None:
        given = given.model_copy(update={"dtype": dtype})
    write_text(out, recipe_yaml(given) if native else to_mergekit(given, **_of_models(given)))
    print(out)


def _recipe(
    path: Path | None,
    base: str | None,
    experts: Sequence[str] | None,
    method: str | None,
    weights: Sequence[str] | None,
) -> MergeRecipe:
    """Return the recipe of a file, or that of options; both at once are refused."""
    from mergelaw.config.recipe import method_from_text, read_recipe, recipe_of

    given = {"--base": base, "--expert": experts, "--method": method, "--weight": weights}
    named = [name for name, value in given.items() if value]
    if path is not None:
        if named:
            raise ConfigError(f"--recipe holds the whole merge: leave out {', '.join(named)}")
        return read_recipe(path)
    lacking = [name for name in ("--base", "--expert", "--method") if name not in named]
    if lacking:
        raise ConfigError(f"{', '.join(lacking)}: missing; or give a recipe file with --recipe")
    pairs = dict(_pair(text, "--weight") for text in weights or ())
    if len(pairs) < len(weights or ()):
        raise ConfigError("--weight names an expert twice: give each one once")
    return recipe_of(
        str(base),
        named_experts(experts or ()),
        method_from_text(str(method), {name: _number(name, text) for name, text in pairs.items()}),
    )


def _of_models(recipe: MergeRecipe) -> dict[str, Any]:
    """Return what mergekit's file says of models and a recipe does not: type, adapters."""
    from mergelaw.checkpoints.lora import is_adapter
    from mergelaw.checkpoints.store import TensorStore
    from mergelaw.hub import resolve
    from mergelaw.preflight.report import STORED_AS

    adapters = [name for name, ref in recipe.experts.items() if is_adapter(resolve(ref))]
    if recipe.dtype != "base":
        return {"adapters": adapters}
    stored = {entry.dtype for entry in TensorStore.open(resolve(recipe.base)).entries.values()}
    words = [word for word, name in STORED_AS.items() if {name} == stored]
    return {"adapters": adapters, "base_dtype": words[0] if words else None}


def named_experts(experts: Sequence[str]) -> dict[str, str]:
    """Return experts by name: NAME=PATH, or a name made from the path."""
    from mergelaw.config.refs import expert_names

    named = [_split(text) for text in experts]
    plain = expert_names([ref for name, ref in named if name is None])
    given = [(name, ref) for name, ref in named if name is not None]
    names = [*plain, *(name for name, _ in given)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        problems = [f"{name!r} occurs {names.count(name)} times: give NAME=PATH" for name in twice]
        raise ConfigError(listing("--expert", problems))
    return plain | dict(given)


def _split(text: str) -> tuple[str | None, str]:
    name, equals, ref = text.partition("=")
    return (name, ref) if equals and "/" not in name else (None, text)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{option} {text}: must be NAME=VALUE")
    return name, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--weight {name}={text}: must be a number") from None
