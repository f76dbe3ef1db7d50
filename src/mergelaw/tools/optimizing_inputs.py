"""What `mergelaw optimize` is given, read and checked: all that is wrong is told at once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mergelaw.errors import ConfigError, MergeLawError
from mergelaw.tools.merging import named_experts
from mergelaw.tools.options import problem_lines

if TYPE_CHECKING:
    from mergelaw.config.theory import Objective
    from mergelaw.evaluation.shards import EvalShard
    from mergelaw.evaluation.text import EvalText

SPLIT = 0.5
"""Share of the items that weights are chosen on, where no held-out text is given."""


def out_problems(out: Path | None) -> Iterator[str]:
    """Yield what is in the way of a merge and of the recipe beside it."""
    if out is None:
        return
    if out.exists():
        yield f"--out {out}: exists; name another folder"
    if recipe_path(out).exists():
        yield f"--out {out}: the recipe beside it, {recipe_path(out).name}, exists; name another"


def route_problems(route: str) -> Iterator[str]:
    """Yield why a route that tells no pairs of weights is not taken."""
    if route == "differences":
        yield (
            "--route differences: differences along each expert's distance from the mean tell the "
            "curve in k, not what two weights do together; take gauss_newton, hvp, or pairs, "
            "which goes forward only, too"
        )


def checkpoint_problems(
    base: str, experts: Mapping[str, str], lineage: Literal["strict", "report"]
) -> Iterator[str]:
    """Yield all that speaks against merging these, from headers: what is missing, too."""
    from mergelaw.preflight.report import preflight

    if len(experts) < 2:
        yield (
            f"--expert: {len(experts)} is given; the best weight of one is the scale of its task "
            "vector alone, and no choice between experts: give two at least"
        )
    yield from preflight(base, experts, lineage=lineage).problems


def recipe_path(out: Path) -> Path:
    """Return where a merge's recipe goes."""
    return out.with_name(f"{out.name}.yaml")


def pool_of(
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


def objective_of(
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
        bounds = _numbers(region["bounds"], problems)
        raw |= {} if region["simplex"] else {"bounds": bounds}
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


def texts_of(
    shards: Sequence[Path],
    heldout: Sequence[Path],
    split: float | None,
    batch_tokens: int,
    problems: list[str],
) -> "tuple[EvalText, EvalText] | None":
    """Return calibration and held-out text; what is wrong with them is added to the problems."""
    from mergelaw.evaluation.text import EvalText
    from mergelaw.theory.best_merge import check_apart, divided

    before = len(problems)
    if not shards:
        problems.append("--shard: name the prepared text that weights are chosen on")
    if heldout and split is not None:
        problems.append("--heldout, --split: give one of them")
    if split is not None and not 0 < split < 1:
        problems.append(f"--split {split:g}: must be a share between 0 and 1")
    read = [*_read("--shard", shards, problems)], [*_read("--heldout", heldout, problems)]
    if len(problems) > before:
        return None
    try:
        text, other = (EvalText.of(found, batch_tokens) for found in read)
        if heldout:
            check_apart(text.shards, other.shards)
            return text, other
        one, rest = divided(text.shards, SPLIT if split is None else split)
        return EvalText.of(one, batch_tokens), EvalText.of(rest, batch_tokens)
    except MergeLawError as error:
        problems += problem_lines(error)
        return None


def _read(option: str, paths: Sequence[Path], problems: list[str]) -> "Iterator[EvalShard]":
    """Yield prepared shards; those that cannot be read, and domains given twice, are problems."""
    from mergelaw.evaluation.shards import read_shard

    domains = set[str]()
    for path in paths:
        try:
            shard = read_shard(path)
        except MergeLawError as error:
            problems.append(f"{option} {error}")
            continue
        if shard.domain in domains:
            problems.append(f"{option} {path}: a second shard of domain {shard.domain!r}")
        domains.add(shard.domain)
        yield shard


def mismatches(objective: "Objective", text: "EvalText", n_experts: int) -> Iterator[str]:
    """Yield what an objective asks for that the text or the pool does not have."""
    from mergelaw.theory.goal import goal_problems

    domains = tuple(shard.domain for shard in text.shards)
    yield from map(_as_option, goal_problems(objective, domains, n_experts))
