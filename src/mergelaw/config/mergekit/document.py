"""The frame of mergekit's YAML: its keys, models and types, before any method is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergelaw.config.mergekit.peers import PEERS
from mergelaw.config.messages import unknown_key

KEYS = (
    "merge_method",
    "base_model",
    "models",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
)
REFUSED = {
    "slices": "mergelaw merges whole models; one slice over all layers is the same as `models`",
    "modules": "mergelaw merges all modules alike; list the models under `models`",
    "name": "names one merge in a file of several; give each merge a file of its own",
}
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Model:
    """An entry of `models`: where it stands, its reference, its adapter's, its parameters."""

    key: str
    ref: str
    adapter: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Document:
    """A file whose method and base are known; `dtype` is the written one, or `base`."""

    method: str
    base: str | None
    models: tuple[Model, ...]
    parameters: Mapping[str, Any]
    dtype: str


def read_document(raw: Mapping[Any, Any], problems: list[str]) -> Document | None:
    """Read the frame of a file.

    Parameters
    ----------
    raw : mapping
        What YAML holds.
    problems : list of str
        A line is appended for each.

    Returns
    -------
    Document or None
        None where the method, the base or all models cannot be read.
    """
    _check_keys(raw, problems)
    _check_tokenizer(raw, problems)
    dtype = _dtype(raw, problems)
    models = _models(raw, problems)
    before = len(problems)
    method = _method(raw, problems)
    base = _base(raw, problems)
    parameters = mapping_or_empty("parameters", raw.get("parameters"), problems)
    if len(problems) > before or not models:
        return None
    return Document(method, base, models, parameters, dtype)


def mapping_or_empty(key: str, value: object, problems: list[str]) -> Mapping[str, Any]:
    """Return a mapping, which may be absent."""
    if value is not None and not isinstance(value, Mapping):
        problems.append(f"{key} = {value!r}: must be a mapping")
    return value if isinstance(value, Mapping) else {}


def _check_keys(raw: Mapping[Any, Any], problems: list[str]) -> None:
    for key in raw:
        if key in REFUSED:
            problems.append(f"{key}: {REFUSED[key]}")
        elif key not in KEYS:
            problems.append(unknown_key(str(key), str(key), KEYS))


def _check_tokenizer(raw: Mapping[Any, Any], problems: list[str]) -> None:
    """Append a problem unless the tokenizer and chat template are the base's."""
    source, tokenizer = raw.get("tokenizer_source"), raw.get("tokenizer")
    way_out = "the base's tokenizer is carried, and experts must share it; say base or leave it out"
    if source not in (None, "base", raw.get("base_model")):
        problems.append(f"tokenizer_source = {source!r}: {way_out}")
    if tokenizer not in (None, {"source": "base"}):
        problems.append(f"tokenizer = {tokenizer!r}: {way_out}")
    if source is not None and tokenizer is not None:
        problems.append("tokenizer: mergekit refuses it beside tokenizer_source; keep one")
    if raw.get("chat_template") not in (None, "", "auto"):
        problems.append(
            f"chat_template = {raw['chat_template']!r}: the base's is carried; leave it out"
        )


def _dtype(raw: Mapping[Any, Any], problems: list[str]) -> str:
    written = "base"
    for key in ("dtype", "out_dtype"):
        if raw.get(key) is not None:
            written = str(raw[key]).removeprefix("torch.")
            if written not in DTYPES:
                problems.append(f"{key} = {raw[key]!r}: must be one of {', '.join(DTYPES)}")
    return written


def _method(raw: Mapping[Any, Any], problems: list[str]) -> str:
    name = raw.get("merge_method")
    if name is None:
        problems.append(f"merge_method: is missing; one of {', '.join(PEERS)}")
    elif not isinstance(name, str) or name not in PEERS:
        problems.append(f"merge_method = {name!r}: must be one of {', '.join(PEERS)}")
    return str(name)


def _base(raw: Mapping[Any, Any], problems: list[str]) -> str | None:
    value = raw.get("base_model")
    if value is None:
        return None
    ref, adapter = _reference("base_model", value, problems)
    if adapter:
        problems.append(
            f"base_model = {value!r}: a base is a whole model; merge its adapter into it first"
        )
    return ref


def _models(raw: Mapping[Any, Any], problems: list[str]) -> tuple[Model, ...]:
    entries = raw.get("models")
    if entries is None:
        problems.append("models: is missing")
        return ()
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        problems.append(f"models = {entries!r}: must be a list of models")
        return ()
    models: list[Model] = []
    for index, entry in enumerate(entries):
        key = f"models[{index}]"
        if not isinstance(entry, Mapping):
            problems.append(f"{key} = {entry!r}: must be a mapping of `model` and `parameters`")
            continue
        model = _model(key, entry, problems)
        if model.ref and any((model.ref, model.adapter) == (m.ref, m.adapter) for m in models):
            problems.append(f"{key}.model = {entry['model']!r}: is listed already")
        models.append(model)
    return tuple(models)


def _model(key: str, entry: Mapping[Any, Any], problems: list[str]) -> Model:
    allowed = ("model", "parameters")
    problems += [unknown_key(f"{key}.{k}", str(k), allowed) for k in entry if k not in allowed]
    ref, adapter = "", None
    if entry.get("model") is None:
        problems.append(f"{key}.model: is missing")
    else:
        ref, adapter = _reference(f"{key}.model", entry["model"], problems)
    parameters = mapping_or_empty(f"{key}.parameters", entry.get("parameters"), problems)
    return Model(key, ref, adapter, parameters)


def _reference(key: str, value: object, problems: list[str]) -> tuple[str, str | None]:
    """Split `model[@revision][+adapter[@revision]]` at the plus."""
    parts = value.split("+") if isinstance(value, str) else []
    if not 1 <= len(parts) <= 2 or not all(parts) or any(part.count("@") > 1 for part in parts):
        problems.append(f"{key} = {value!r}: must read model[@revision][+adapter[@revision]]")
        return "", None
    return parts[0], parts[1] if len(parts) == 2 else None
