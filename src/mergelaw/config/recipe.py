"""A merge recipe: base, experts, method and numeric type; read from a file, written to one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from mergelaw.config.base import Name, Section
from mergelaw.config.load import (
    mapping_of,
    parse_yaml,
    read_yaml,
    validate_section,
    validate_sections,
)
from mergelaw.config.mergekit import from_mergekit, is_mergekit
from mergelaw.config.method_checks import by_expert_problems, k_problems, weight_problems
from mergelaw.config.methods import METHODS, Method
from mergelaw.errors import ConfigError, listing


class MergeRecipe(Section):
    """A merge of named experts into one checkpoint."""

    base: str = Field(
        min_length=1, description="The base: a folder, or `org/name[@revision]` in the Hub's cache."
    )
    experts: dict[Name, str] = Field(
        min_length=1, description="Experts by name: folders or Hub names, also of LoRA adapters."
    )
    method: Method = Field(description="The method's name; `parameters` stands beside it.")
    dtype: Literal["base", "float32", "bfloat16", "float16"] = Field(
        "base", description="Type of the merged weights, rounded once; `base`: each tensor's own."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of all random numbers.")
    mask_seed: int = Field(0, ge=0, lt=2**32, description="Repeats a method that draws masks.")
    lineage: Literal["strict", "report"] = Field(
        "strict", description="Whether an expert that names another base is refused or told."
    )

    @field_validator("method")
    @classmethod
    def _label_is_name(cls, method: Method) -> Method:
        """Label the one method by its name."""
        return method.model_copy(update={"label": method.method})

    @model_validator(mode="after")
    def _whole(self) -> Self:
        problems = list(_problems_across(self.experts, self.method))
        if problems:
            raise ConfigError(listing("recipe", problems))
        return self

    @property
    def stand_in(self) -> str | None:
        """The expert that is the base too, in a merge that does not depend on its base."""
        space = getattr(self.method.parameters, "space", None)
        if self.method.method != "average" and space != "weights":
            return None
        return next((name for name, ref in self.experts.items() if ref == self.base), None)


def read_recipe(path: Path) -> MergeRecipe:
    """Read a recipe from mergelaw's YAML or from mergekit's, which has the key `merge_method`.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or holds a recipe with problems; all are listed.
    """
    raw, origin = mapping_of("keys", read_yaml(path), str(path)), str(path)
    return parse_recipe(from_mergekit(raw, origin) if is_mergekit(raw) else raw, origin)


def parse_recipe(raw: object, origin: str = "recipe") -> MergeRecipe:
    """Check a raw recipe in its flat form: `base, experts, method, parameters, dtype, ...`.

    Parameters
    ----------
    raw : object
        What YAML holds: `method` is a name, and its `parameters` stand beside it.
    origin : str
        Where the recipe comes from; starts the error message.

    Raises
    ------
    ConfigError
        With one line for each problem: key, value, what is allowed.
    """
    nested = dict(mapping_of("keys", raw, origin))
    parameters = nested.pop("parameters", None)
    if "method" in nested:
        nested["method"] = _entry(nested["method"], parameters)
    sections, problems = validate_sections(MergeRecipe, nested, also=("parameters",))
    if {"experts", "method"} <= sections.keys():
        problems += _problems_across(sections["experts"], sections["method"])
    if problems:
        raise ConfigError(listing(origin, [line.removeprefix("method.") for line in problems]))
    return MergeRecipe.model_validate(nested)


def recipe_of(
    base: str, experts: Mapping[str, str], method: Method, **settings: object
) -> MergeRecipe:
    """Return the checked recipe of parts, as the command line gives them.

    Parameters
    ----------
    base : str
        The base's reference.
    experts : mapping of str to str
        References by name.
    method : Method
        From `method_from_text`, or a study's entry.
    **settings
        `dtype`, `seed`, `mask_seed`, `lineage`.

    Raises
    ------
    ConfigError
        With one line for each problem.
    """
    parts = {"base": base, "experts": dict(experts), "method": method.method}
    return parse_recipe(parts | {"parameters": _plain(method.parameters)} | settings)


def recipe_yaml(recipe: MergeRecipe) -> str:
    """Return a recipe as YAML that `read_recipe` reads back to the same; defaults written out."""
    flat = _plain(recipe)
    method = flat.pop("method")
    top = {key: flat.pop(key) for key in ("base", "experts")}
    flat = top | {"method": method["method"], "parameters": method["parameters"]} | flat
    return yaml.safe_dump(flat, sort_keys=False, allow_unicode=True, width=2**16)


def method_from_text(text: str, weights: Mapping[str, float] | None = None) -> Method:
    """Return the method that a line of text such as `ties:density=0.2,scale=1.0` means.

    Parameters
    ----------
    text : str
        The method's name; after a colon its settings, separated by commas. Values are YAML.
    weights : mapping of str to float, optional
        The parameter `weight` by expert.

    Raises
    ------
    ConfigError
        With one line for each problem.
    """
    origin = f"method {text!r}"
    name, _, tail = text.strip().partition(":")
    settings, problems = _settings(tail)
    if weights:
        if "weight" in settings:
            problems.append("weight: is given for all and by expert; keep one of the two")
        settings["weight"] = dict(weights)
    method, found = validate_section(MergeRecipe, "method", {"method": _entry(name, settings)})
    problems += [line.removeprefix("method.").removeprefix("parameters.") for line in found]
    if problems:
        raise ConfigError(listing(origin, problems))
    return method.model_copy(update={"label": name})  # type: ignore[no-any-return]


def _settings(tail: str) -> tuple[dict[str, Any], list[str]]:
    """Split `density=0.2,scale=1.0`; return its settings and its problems."""
    settings: dict[str, Any] = {}
    problems = []
    for item in tail.split(",") if tail else ():
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            problems.append(f"{item.strip()!r}: must be key=value, as in density=0.2")
        elif key in settings:
            problems.append(f"{key}: is given twice")
        elif "." in key:
            problems.append(f"{key}: numbers by expert stand in a recipe file (--recipe FILE)")
        else:
            settings[key] = _scalar(value)
    return settings, problems


def _scalar(text: str) -> object:
    """Return what YAML makes of text; the text itself, which then is no number, if that fails."""
    try:
        return parse_yaml(text, "value")
    except ConfigError:
        return text


def _entry(name: object, parameters: object) -> dict[str, object]:
    """Return a method of the flat form as an entry of a study's list."""
    label = name if isinstance(name, str) and name in METHODS else "method"
    entry = {"label": label, "method": name}
    return entry if parameters is None else entry | {"parameters": parameters}


def _plain(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json")


def _problems_across(experts: Mapping[str, str], method: Method) -> Iterator[str]:
    """Yield what the method and the experts have against each other."""
    if "base" in experts:
        yield "experts.base: the word is taken by the base model; give another name"
    yield from k_problems(method, len(experts))
    yield from by_expert_problems("parameters", method, list(experts))
    yield from weight_problems("parameters", method, list(experts), [len(experts)])
