"""config/README.md from the config's types (its last line of introduction says how)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mergelaw.config.messages import bounds, values_of
from mergelaw.config.methods import METHODS
from mergelaw.config.recipe import MergeRecipe
from mergelaw.config.study import Study

ENTRIES = [entry.__name__ for entry in METHODS.values()]
"""Sections of the method list, shown in one table."""

INTRO = """\
# Study configs

One YAML file per study; `snakemake --cores all --configfile config/NAME.yaml` runs it. A single
top-level key can be set on the command line: `--config seed=3`. Unknown keys are refused, and all
problems of a file are reported at once, before any job starts.

| file | study |
|---|---|
| `default.yaml` | the embedded ladder: four sizes, nine experts, every subset, four methods |
| `balanced.yaml` | the same by a balanced design: 34 merges of a size and method, not 511 |
| `smoke.yaml` | every stage in a minute, for tests |
| `capacity.yaml` | training settings of the experts: one size, steps, learning rate, LoRA ranks |
| `math-real.yaml` | your own text: one file of problems and solutions per domain |
| `own-experts.yaml` | your own base and experts: short, every section explained |
| `qwen2.5.yaml` | the paper's: seven Qwen2.5 bases, nine experts each, four methods |
| `qwen2.5-10k.yaml` | the same sizes and experts, the paper's number of merges in 300 jobs |
| `llama3.yaml` | the paper's two pools of nine public Llama checkpoints |
| `pool16.yaml` | sixteen experts of one 3B model, Task Arithmetic |

`prices.yaml` is no study: prices for `mergelaw plan`.

What the last four need, and how they are run: [docs/studies.md](../docs/studies.md).

This page is generated: `python -m mergelaw.config.describe > config/README.md`.
"""


def main() -> None:
    """Print the page."""
    print(page(), end="")


def page() -> str:
    """Return config/README.md."""
    schema = Study.model_json_schema()
    entries = [schema["$defs"].pop(name) for name in ENTRIES]
    parts = [INTRO, *_section("The study", schema), *_methods(entries)]
    for name, section in schema["$defs"].items():
        parts += _section(name, section)
    parts += _section("Merge recipe", _flat(MergeRecipe.model_json_schema()))
    return "\n".join(parts).rstrip() + "\n"


def _section(title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{schema['description']}\n"
    if not schema.get("properties"):
        return
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in schema["properties"].items():
        default = "required" if key in schema.get("required", ()) else _default(field)
        yield f"| `{key}` | {_type(field)} | {default} | {field['description']} |"
    yield ""


def _methods(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one table of all methods, whose entries differ in their parameters only."""
    label = entries[0]["properties"]["label"]
    yield "## Method\n"
    yield "An entry of the method list: `label`, `method`, `parameters`.\n"
    yield f"`label` ({_type(label)}, required): {label['description']}\n"
    yield "| `method` | `parameters` | meaning |"
    yield "|---|---|---|"
    for entry in entries:
        method, parameters = (entry["properties"][key] for key in ("method", "parameters"))
        keys = f"{_type(parameters)}: {parameters['description']}"
        yield f"| {_type(method)} | {keys} | {method['description']} |"
    yield ""


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's schema as its file has it: `parameters` beside `method`."""
    fields = {}
    for key, field in recipe["properties"].items():
        fields[key] = field
        if key == "method":
            beside = "The method's parameters, its defaults where absent."
            fields["parameters"] = field | {"description": beside, "default": {}}
    about = "What `mergelaw merge --recipe FILE` reads; mergekit's YAML is read too."
    return {**recipe, "properties": fields, "description": about}


def _type(field: Mapping[str, Any]) -> str:
    """Return a field's type in words: `list of integer >= 1`, `one of ...`, a section's name."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field or "oneOf" in field:
        kinds = field.get("anyOf") or field["oneOf"]
        if "patternProperties" in kinds[-1]:
            return f"{_type(kinds[0])}, or a mapping by expert"
        if any(kind.get("$ref", "").rsplit("/", 1)[-1] in ENTRIES for kind in kinds):
            return "[Method](#method)"
        return " or ".join(_type(kind) for kind in kinds)
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} {_type(field['prefixItems'][0])}"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("type") == "object":
        return f"mapping to {_type(values_of(field))}"
    return f"{field['type']} {bounds(field)}".strip()


def _default(field: Mapping[str, Any]) -> str:
    return "its defaults" if "$ref" in field else f"`{_shown(field.get('default'))}`"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{k}: {_shown(v)}" for k, v in value.items() if v is not None)
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


if __name__ == "__main__":
    main()
