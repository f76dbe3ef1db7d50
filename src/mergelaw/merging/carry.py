"""What a merged model takes over from its base besides weights: config, tokenizer, licence."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mergelaw.errors import CheckpointError, listing
from mergelaw.preflight.findings import json_object

CONFIG = "config.json"
CONFIGS = (
    CONFIG,
    "generation_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
"""JSON files that may name code (`auto_map`)."""

FILES = (
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
    "NOTICE.txt",
    "USE_POLICY.md",
)
TEMPLATES = "additional_chat_templates"
"""Folder of further chat templates; nothing else is carried from a folder below the base's."""

DTYPE_KEYS = ("dtype", "torch_dtype")
"""Names of the weights' type: that of transformers 5 and the one before it."""


def carry(base: Path, part: Path, dtype: str | None) -> tuple[str, ...]:
    """Copy what belongs to a model, weights aside, from a base to a merged checkpoint.

    Only files known by name are copied: never weights, states of optimizers, pickles or code.
    A config that names code of its own (`auto_map`) is carried without that entry, so that loading
    the merged model runs no code, whatever the loader trusts.

    Parameters
    ----------
    base : Path
        The base; links, as in a Hugging Face cache, are followed.
    part : Path
        The merged checkpoint's folder.
    dtype : str, optional
        Type of the merged weights as configs call it (`bfloat16`); None leaves the base's word.

    Returns
    -------
    tuple of str
        Notes for the user: what the merged model lacks.

    Raises
    ------
    CheckpointError
        If a config is no JSON object, or a link points nowhere; all such files are listed.
    """
    paths = tuple(_known(base))
    configs = _read_configs(base, paths)
    for path in paths:
        copy = part / path.relative_to(base)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
    notes = [] if CONFIG in configs else [f"{base} has no {CONFIG}: transformers cannot load it"]
    for name, config in configs.items():
        carried = _without_code(config)
        if carried != config:
            notes.append(
                f"{base / name} names code of its own (auto_map), which is never carried over: "
                "where transformers itself lacks the class, put entry and code back by hand"
            )
        if name == CONFIG and dtype is not None:
            carried = _with_dtype(carried, dtype)
            if not any(key in carried for key in DTYPE_KEYS):
                carried[DTYPE_KEYS[0]] = dtype
        if carried != config:
            text = json.dumps(carried, indent=2, ensure_ascii=False)
            (part / name).write_text(text + "\n", encoding="utf-8")
    return tuple(notes)


def _known(base: Path) -> Iterator[Path]:
    """Yield the files to carry that are there; links that point nowhere too."""
    templates = sorted((base / TEMPLATES).glob("*.jinja"))
    for path in (*(base / name for name in (*CONFIGS, *FILES)), *templates):
        if path.is_file() or (path.is_symlink() and not path.exists()):
            yield path


def _read_configs(base: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    configs: dict[str, dict[str, Any]] = {}
    problems = []
    for path in paths:
        if not path.exists():
            problems.append(f"{path.name}: is a link to a file that is not there; fetch it again")
        elif path.name in CONFIGS:
            try:
                configs[path.name] = json_object(path) or {}
            except CheckpointError as error:
                problems.append(str(error))
    if problems:
        raise CheckpointError(listing(f"{base}: files that cannot be carried over", problems))
    return configs


def _without_code(value: Any) -> Any:
    """Return a JSON value without `auto_map`, at any depth."""
    if isinstance(value, dict):
        return {key: _without_code(inner) for key, inner in value.items() if key != "auto_map"}
    return [_without_code(inner) for inner in value] if isinstance(value, list) else value


def _with_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return a config whose own type, and that of its parts (`text_config`), is the one given."""
    changed = dict(config)
    for key, value in config.items():
        if key in DTYPE_KEYS:
            changed[key] = dtype
        elif key.endswith("_config") and isinstance(value, dict):
            changed[key] = _with_dtype(value, dtype)
    return changed
