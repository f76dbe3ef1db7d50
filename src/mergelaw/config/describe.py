"""config/README.md from the config's types (its last line of introduction says how)."""

from collections.abc import Iterator, Mapping
from typing import Any

from mergelaw.config.messages import bounds
from mergelaw.config.study import Study

INTRO = """\
# Study configs

One YAML file per study; `snakemake --cores all --configfile config/NAME.yaml` runs it. A single
top-level key can be set on the command line: `--config seed=3`. Unknown keys are refused, and all
problems of a file are reported at once, before any job starts.

| file | study |
|---|---|
| `default.yaml` | the embedded ladder: four sizes, nine experts, every subset, four methods |
| `smoke.yaml` | every stage in a minute, for tests |
| `math-real.yaml` | your own text: one file of problems and solutions per domain |

This page is generated: `python -m mergelaw.config.describe > config/README.md`.
"""


def main() -> None:
    """Print the page."""
    print(page(), end="")


def page() -> str:
    """Return config/README.md."""
    schema = Study.model_json_schema()
    parts = [INTRO, *_section("Study", "The study", schema)]
    for name, section in schema["$defs"].items():
        parts += _section(name, name, section)
    return "\n".join(parts).rstrip() + "\n"


def _section(name: str, title: str, schema: Mapping[str, Any]) -> Iterator[str]:
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


def _type(field: Mapping[str, Any]) -> str:
    """Return a field's type in words: `list of integer >= 1`, `one of ...`, a section's name."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field or "oneOf" in field:
        kinds = field.get("anyOf") or field["oneOf"]
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
        return f"mapping to {_type(field['additionalProperties'])}"
    return f"{field['type']} {bounds(field)}".strip()


def _default(field: Mapping[str, Any]) -> str:
    return "its defaults" if "$ref" in field else f"`{_shown(field.get('default'))}`"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{k}: {_shown(v)}" for k, v in value.items() if v is not None)
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "null" if value is None else str(value)


if __name__ == "__main__":
    main()
