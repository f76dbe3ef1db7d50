"""The model card of a merged checkpoint: README.md as the Hugging Face Hub reads it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml

from mergelaw.design import BASE

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Ingredient:
    """A model that went into a merge.

    Attributes
    ----------
    name : str
        What the recipe calls it: `base`, or the expert's name.
    ref : str
        How the recipe refers to it: a folder, or a name on the Hub.
    label : str
        How the card does: its name on the Hub, else its folder's name without the path.
    digest : str
        Digest of its weights.
    weight : float or None
        Its weight in the merge; None for a base, and where a method has no weights.
    """

    name: str
    ref: str
    label: str
    digest: str
    weight: float | None = None


@dataclass(frozen=True)
class Merge:
    """All that a card tells of a merge.

    Attributes
    ----------
    title : str
        The merged model's name.
    ingredients : sequence of Ingredient
        Base first, where there is one, then the experts.
    method : str
        The method's name.
    definition : str
        What it does, in words.
    papers : mapping of str to str
        Addresses by title.
    parameters : mapping
        The method's parameters.
    recipe : mapping
        All that `mergelaw merge --recipe` needs.
    dtype : str
        Type of the merged weights.
    rounding_loss : float or None
        ||round(w) - w|| over ||merged delta||; None where the merged delta is 0.
    drop_rates : mapping of str to float
        Fraction of entries dropped at random from each expert; empty where nothing is.
    versions : mapping of str to str
        Of the packages that did it.
    accumulate : str
        Type of the sum over experts.
    """

    title: str
    ingredients: Sequence[Ingredient]
    method: str
    definition: str
    papers: Mapping[str, str]
    parameters: Mapping[str, Any]
    recipe: Mapping[str, Any]
    dtype: str
    rounding_loss: float | None
    drop_rates: Mapping[str, float]
    versions: Mapping[str, str]
    accumulate: str = "float32"


def model_card(merge: Merge) -> str:
    """Return the text of a merged model's README.md.

    Local folders are called by their last name everywhere, in the recipe too: a card is published.
    """
    merged = any(ingredient.name != BASE for ingredient in merge.ingredients)
    sections = [
        f"---\n{_yaml(_front_matter(merge))}---",
        f"# {_line(merge.title)}",
        *(_merged(merge) if merged else _base_alone(merge)),
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in merge.versions.items()),
    ]
    return "\n\n".join(sections) + "\n"


def _merged(merge: Merge) -> list[str]:
    return [
        f"Made with mergelaw from {len(merge.ingredients)} models by `{merge.method}`.",
        "## Models",
        _models(merge.ingredients),
        "## Method",
        _method(merge),
        "## Recipe",
        "Run it again with `mergelaw merge --recipe recipe.yml --out DIR`; "
        "a model of the Hub is taken from the local cache.",
        _fenced(_yaml(public(merge.recipe, merge.ingredients))),
        "## Precision",
        _precision(merge),
    ]


def _base_alone(merge: Merge) -> list[str]:
    return [
        f"The base, written with mergelaw in {merge.dtype}; nothing is merged into it (k = 0).",
        "## Models",
        _models(merge.ingredients),
    ]


def _front_matter(merge: Merge) -> dict[str, Any]:
    return {
        "base_model": list(dict.fromkeys(i.label for i in merge.ingredients)),
        "base_model_relation": "merge",
        "library_name": "transformers",
        "tags": ["merge", "mergelaw"],
    }


def _models(ingredients: Sequence[Ingredient]) -> str:
    rows = [
        (
            i.name,
            f"[{i.label}]({HUB}/{i.label})" if "/" in i.label else i.label,
            "" if i.weight is None else f"{i.weight:g}",
            f"`{i.digest}`",
        )
        for i in ingredients
    ]
    return _table(("model", "source", "weight", "digest of its weights"), rows)


def _method(merge: Merge) -> str:
    papers = ", ".join(f"[{_line(title)}]({url})" for title, url in merge.papers.items())
    text = f"`{merge.method}`: {merge.definition}" + (f" ({papers})" if papers else "")
    if not merge.parameters:
        return text
    rows = [(name, _value(value)) for name, value in merge.parameters.items()]
    return f"{text}\n\n{_table(('parameter', 'value'), rows)}"


def _precision(merge: Merge) -> str:
    loss = (
        "none, as nothing changed" if merge.rounding_loss is None else f"{merge.rounding_loss:.3g}"
    )
    text = (
        f"Sums run in {merge.accumulate}, experts in sorted order; the result is rounded once, to "
        f"{merge.dtype}. Rounding loss, the norm of what rounding changes over the norm of the "
        f"merged change: {loss}."
    )
    if not merge.drop_rates:
        return text
    rows = [(name, f"{rate:.6f}") for name, rate in merge.drop_rates.items()]
    return f"{text}\n\n{_table(('expert', 'realised drop_rate'), rows)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str) -> str:
    """Return a block of YAML, fenced by more backticks than it holds in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text}{fence}"


def _labels(ingredients: Sequence[Ingredient]) -> dict[str, str]:
    """Return the labels by refs; a name on the Hub stays with its revision."""
    return {i.ref: i.label for i in ingredients if i.ref.partition("@")[0] != i.label}


def public(recipe: Mapping[str, Any], ingredients: Sequence[Ingredient]) -> dict[str, Any]:
    """Return a recipe that refers to models by their labels, and to nobody's folders."""
    changed: dict[str, Any] = _public(recipe, _labels(ingredients))
    return changed


def _public(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {_public(key, labels): _public(inner, labels) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(inner, labels) for inner in value]
    if not isinstance(value, str):
        return value
    return labels.get(value) or (PurePath(value).name if value.startswith(("/", "~")) else value)


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=1000)
