"""Validation errors in words: the key as it stands in the file, its value, what is allowed."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from mergelaw.config.methods import BY_EXPERT, ONE_FOR_ALL

Schema = Mapping[str, Any]

BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}

IN_WORDS = dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a mapping")
"""Errors whose own words speak of Python's types, which no file has."""


def describe(
    model: type[BaseModel], details: Mapping[str, Any], raw: object, at: Sequence[str | int] = ()
) -> str:
    """Turn one pydantic error into a line of words.

    Parameters
    ----------
    model : type of BaseModel
        The root: keys are named from there.
    details : mapping
        One entry of `ValidationError.errors()`.
    raw : object
        The root's raw value.
    at : sequence of str or int
        Place below the root of what was validated; the error's own place goes on from there.
    """
    defs = _schema(model)
    key, schema, value = "", _resolve(defs, defs), raw
    for part in (*at, *details["loc"]):
        branch = _branch(defs, schema, part)
        if branch is not None:  # a union's tag, which is no key of the file
            schema = branch
            continue
        if part == "[key]":  # pydantic's word for "the key itself is wrong"
            return f"{key}: must be a name{_name_rule(details)}"
        key = _joined(key, part)
        if details["type"] == "extra_forbidden" and part == details["loc"][-1]:
            return unknown_key(key, str(part), schema.get("properties", {}))
        schema, value = _child_schema(defs, schema, part), _child(value, part)
    if details["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        return _wrong_tag(key, details, schema)
    if details["type"] == "missing":
        return f"{key}: is missing"
    return wrong_value(key, value, details, schema)


def wrong_value(key: str, value: object, details: Mapping[str, Any], schema: Schema) -> str:
    """Return the line for a value that its type does not take.

    Parameters
    ----------
    key : str
        The key, as it stands in the file.
    value : object
        What the file says.
    details : mapping
        One entry of `ValidationError.errors()`.
    schema : mapping
        JSON schema of the value; its bounds are told.
    """
    words = IN_WORDS.get(details["type"], details["msg"].removeprefix("Input "))
    allowed = f" (allowed: {bounds(schema)})" if bounds(schema) else ""
    return f"{key} = {value!r}: {words}{allowed}"


def unknown_key(key: str, name: str, known: Iterable[str]) -> str:
    """Return the line for a key that no section has, with the likeliest one meant."""
    return f"{key}: unknown key; {likeliest(name, known)}"


def likeliest(name: str, known: Iterable[str]) -> str:
    """Return what a misspelt name may have meant, or all that is allowed."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed here: {', '.join(names) or 'none'}"


def bounds(schema: Schema) -> str:
    """Return a number's bounds in a JSON schema as text, such as `> 0 and <= 1`."""
    return " and ".join(
        f"{sign} {schema[name]:,}" for name, sign in BOUNDS.items() if name in schema
    )


def values_of(schema: Schema) -> Schema:
    """Return the schema of the values of a mapping with free keys; empty if it has none."""
    patterns = list(schema.get("patternProperties", {}).values())
    free = patterns[0] if patterns else schema.get("additionalProperties", {})
    return free if isinstance(free, Mapping) else {}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _resolve(defs: Schema, schema: Schema) -> Schema:
    """Follow references, and optional values to the value."""
    while True:
        if "$ref" in schema:
            schema = defs["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in schema:
            schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
        else:
            return schema


def _branch(defs: Schema, schema: Schema, part: str | int) -> Schema | None:
    mapping = schema.get("discriminator", {}).get("mapping", {})
    if part in mapping:
        return _resolve(defs, {"$ref": mapping[part]})
    if part in (ONE_FOR_ALL, BY_EXPERT):
        number, by_expert = schema["oneOf"]
        return _resolve(defs, by_expert if part == BY_EXPERT else number)
    return None


def _child_schema(defs: Schema, schema: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        fixed = schema.get("prefixItems", ())
        return _resolve(defs, fixed[part] if part < len(fixed) else schema.get("items", {}))
    return _resolve(defs, schema.get("properties", {}).get(part) or values_of(schema))


def _child(value: object, part: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
        return value[part]
    return value


def _joined(key: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{key}[{part}]"
    return f"{key}.{part}" if key else part


def _wrong_tag(key: str, details: Mapping[str, Any], schema: Schema) -> str:
    tag = _joined(key, details["ctx"]["discriminator"].strip("'"))
    if details["type"] == "union_tag_not_found":
        return f"{tag}: is missing; one of {', '.join(schema['discriminator']['mapping'])}"
    return f"{tag} = {details['ctx']['tag']!r}: must be one of {details['ctx']['expected_tags']}"


def _name_rule(details: Mapping[str, Any]) -> str:
    if details["type"] == "string_type":
        return f"; put {details['input']!r} in quotes"
    return " of letters, digits, '_', '.', '-' that begins with a letter or digit"
