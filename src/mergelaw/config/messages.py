"""Validation errors in words: the key as it stands in the file, its value, what is allowed."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from mergelaw.config.study import Study

BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def describe(section: str, details: Mapping[str, Any], value: object) -> str:
    """Turn one pydantic error of a section into a line of words.

    Parameters
    ----------
    section : str
        The top-level key.
    details : mapping
        One entry of `ValidationError.errors()`.
    value : object
        The section's raw value.
    """
    key, schema = section, _resolve(_root()["properties"][section])
    for part in details["loc"]:
        branch = _branch(schema, part)
        if branch is not None:  # a union's tag, which is no key of the file
            schema = branch
            continue
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
        if details["type"] == "extra_forbidden" and part == details["loc"][-1]:
            return unknown_key(key, str(part), schema.get("properties", {}))
        schema, value = _child_schema(schema, part), _child(value, part)
    if details["type"] == "missing":
        return f"{key}: is missing"
    if details["type"] == "union_tag_not_found":
        key += "." + details["ctx"]["discriminator"].strip("'")
        return f"{key}: is missing; one of {', '.join(schema['discriminator']['mapping'])}"
    if details["type"] == "union_tag_invalid":
        key += "." + details["ctx"]["discriminator"].strip("'")
        return (
            f"{key} = {details['ctx']['tag']!r}: must be one of {details['ctx']['expected_tags']}"
        )
    return f"{key} = {value!r}: {details['msg'].removeprefix('Input ')}{_allowed(schema)}"


def unknown_key(key: str, name: str, known: Iterable[str]) -> str:
    """Return the line for a key that no section has, with the likeliest one meant."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"allowed here: {', '.join(names) or 'none'}"
    return f"{key}: unknown key; {hint}"


@cache
def _root() -> dict[str, Any]:
    return Study.model_json_schema()


def _resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and optional values to the value."""
    while True:
        if "$ref" in schema:
            schema = _root()["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in schema:
            schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
        else:
            return schema


def _branch(schema: Mapping[str, Any], part: str | int) -> Mapping[str, Any] | None:
    mapping = schema.get("discriminator", {}).get("mapping", {})
    return _resolve({"$ref": mapping[part]}) if part in mapping else None


def _child_schema(schema: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    if isinstance(part, str):
        return _resolve(schema.get("properties", {}).get(part, {}))
    fixed = schema.get("prefixItems", ())
    return _resolve(fixed[part] if part < len(fixed) else schema.get("items", {}))


def _child(value: object, part: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
        return value[part]
    return value


def bounds(schema: Mapping[str, Any]) -> str:
    """Return a number's bounds in a JSON schema as text, such as `> 0 and <= 1`."""
    return " and ".join(
        f"{sign} {schema[name]:,}" for name, sign in BOUNDS.items() if name in schema
    )


def _allowed(schema: Mapping[str, Any]) -> str:
    return f" (allowed: {bounds(schema)})" if bounds(schema) else ""
