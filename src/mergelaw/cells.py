"""Cells of a sweep by name: which merge `results/{study}/merge/{size}/{method}/{cell}` is.

A cell's name is its experts, sorted and joined by '+', or 'base'. A method that draws masks has a
cell for each mask seed: the study's first has no mark, the others end in `~mask{seed}`. No name of
an expert holds '+' or '~', so that every name can be read in one way only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mergelaw.config import Study, read_study
from mergelaw.config.base import Name, Section
from mergelaw.config.messages import likeliest
from mergelaw.config.method_checks import k_problems
from mergelaw.config.methods import Method
from mergelaw.config.recipe import MergeRecipe, recipe_of
from mergelaw.design import BASE, Subset
from mergelaw.errors import ConfigError, listing
from mergelaw.paths import StudyPaths, checkpoint_ref

MASK = "~mask"
"""Stands between a cell's subset and its mask seed, where that is not the study's first."""


@dataclass(frozen=True)
class Cell:
    """One merge of a study.

    Attributes
    ----------
    size, method : str
        Name of the size, label of the method.
    subset : Subset
        Any subset of the pool, whether the design has it or not.
    mask_seed : int
        Seed of the masks; the sweep's column of that name.
    name : str
        Subset and mask seed as the cell's folder is called.
    """

    size: str
    method: str
    subset: Subset
    mask_seed: int
    name: str


class BaseRecipe(MergeRecipe):
    """The base with nothing merged into it, in a numeric type: what a study scores at k = 0."""

    experts: dict[Name, str] = Field({}, max_length=0, description="None.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Ask nothing of the method, which has nothing to merge."""
        return self


def cell(study: Study, size: str, method: str, name: str) -> Cell:
    """Return the cell that a path or a command names.

    Parameters
    ----------
    study : Study
        The study.
    size, method : str
        Name of the size, label of the method.
    name : str
        The cell's name, such as `algebra+code`, `algebra+code~mask1` or `base`.

    Raises
    ------
    ConfigError
        If the study has no such cell; every problem is listed, with the right name where there is
        one.
    """
    problems = [*_unknown("size", size, study.size_names)]
    problems += _unknown("method", method, study.method_labels)
    stem, mark, mask = name.partition(MASK)
    experts = () if stem == BASE else tuple(stem.split("+"))
    for expert in experts:
        problems += _unknown("expert", expert, study.expert_names)
    if not problems:
        entry, subset = study.method(method), Subset(tuple(sorted(set(experts))))
        seeds = {str(seed): seed for seed in study.mask_seeds_of(entry)}
        found = _named(size, entry, subset, list(seeds.values()), seeds.get(mask))
        problems += k_problems(entry, subset.k) if subset.k else ()
        if mark and mask not in seeds:
            problems.append(_no_such_mask(entry, seeds))
        elif found.name != name:
            problems.append(f"its name is {found.name}")
    if problems:
        raise ConfigError(listing(f"cell {size}/{method}/{name}", problems))
    return found


def whole_pool(study: Study, size: str, method: str) -> Cell:
    """Return the cell of all experts, under the study's first mask seed.

    Raises
    ------
    ConfigError
        If the method does not merge that many experts.
    """
    return cell(study, size, method, Subset(tuple(sorted(study.expert_names))).name)


def recipe_of_cell(config: Path, name: str) -> MergeRecipe:
    """Return the recipe of a study's cell, for use outside the study.

    Parameters
    ----------
    config : Path
        The study's config.
    name : str
        SIZE/METHOD/CELL, as the last parts of the cell's path.

    Raises
    ------
    ConfigError
        If the config has problems, the study has no such cell, or no recipe says what it is.
    """
    parts = name.strip("/").split("/")
    if len(parts) != 3:
        raise ConfigError(f"cell {name!r}: must be SIZE/METHOD/SUBSET, such as 0.5b/ties/a+b")
    study = read_study(config)
    paths, found = StudyPaths.of(study), cell(study, *parts)
    if not found.subset.k:
        base = checkpoint_ref(study, paths, found.size, BASE)
        raise ConfigError(f"cell {name}: nothing is merged; the base is {base}")
    if study.accumulate != "float32":
        raise ConfigError(
            f"cell {name}: the study sums with accumulate = {study.accumulate!r}, which recipes "
            "do not know; make the checkpoint as a target of the study"
        )
    return cell_recipe(study, paths, found)


def cell_recipe(study: Study, paths: StudyPaths, cell: Cell) -> MergeRecipe:
    """Return what the sweep merged in a cell: the weights are the same, bit for bit.

    The sum's arithmetic, `accumulate`, stands in the study and not in the recipe.

    Raises
    ------
    ConfigError
        If the weights of these experts add up to 0, by which a mean divides.
    """
    refs = {
        name: checkpoint_ref(study, paths, cell.size, name) for name in (BASE, *cell.subset.experts)
    }
    base, method = refs.pop(BASE), study.method(cell.method)
    settings = {
        "dtype": study.dtype,
        "seed": study.seed,
        "mask_seed": cell.mask_seed,
        "lineage": study.lineage.check,
    }
    if not refs:
        return BaseRecipe.model_validate({"base": base, "method": method, **settings})
    return recipe_of(base, refs, _of_experts(method, cell.subset.experts), **settings)


def _named(
    size: str, entry: Method, subset: Subset, seeds: Sequence[int], mask_seed: int | None
) -> Cell:
    """Return the cell with the name that it bears; the base has one for all mask seeds."""
    seed = seeds[0] if mask_seed is None or not subset.k else mask_seed
    mark = "" if seed == seeds[0] else f"{MASK}{seed}"
    return Cell(size, entry.label, subset, seed, subset.name + mark)


def _unknown(kind: str, name: str, known: Iterable[str]) -> Iterator[str]:
    if name not in known:
        yield f"the study has no {kind} {name!r}; {likeliest(name, known)}"


def _no_such_mask(entry: Method, seeds: Iterable[str]) -> str:
    if not entry.draws_masks:
        return f"method {entry.label!r} draws no masks: leave {MASK!r} and what follows it out"
    return f"the study's mask seeds are {', '.join(seeds)}"


def _of_experts(method: Method, experts: Sequence[str]) -> Method:
    """Return a method whose numbers by expert name these experts only."""
    numbers: dict[str, object] = _numbers_of(method.parameters, experts)
    groups = getattr(method.parameters, "groups", None)
    if groups is not None:
        copies = [group.model_copy(update=_numbers_of(group, experts)) for group in groups]
        numbers["groups"] = tuple(copies)
    return method.model_copy(update={"parameters": method.parameters.model_copy(update=numbers)})


def _numbers_of(section: Section, experts: Sequence[str]) -> dict[str, object]:
    """Return the numbers by expert of a section, for these experts only."""
    return {
        name: {expert: value[expert] for expert in experts}
        for name in type(section).model_fields
        if isinstance(value := getattr(section, name), Mapping)
    }
