"""The model of each size: from its architecture, its checkpoint's headers, or `n_params`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mergelaw.checkpoints.store import INDEX, SINGLE, TensorStore, read_json
from mergelaw.config import Study
from mergelaw.config.models import Size
from mergelaw.costs.inputs import SizeModel
from mergelaw.costs.shapes import (
    VOCABULARY,
    assumed_shape,
    shape_of_architecture,
    shape_of_config,
)
from mergelaw.errors import CheckpointError, ConfigError, DataError, listing
from mergelaw.hub import NAME, download_command, is_hub_name, resolve
from mergelaw.paths import StudyPaths


def size_models(study: Study, paths: StudyPaths) -> tuple[dict[str, SizeModel], list[str]]:
    """Return the model of each size: its architecture's, its checkpoint's, or what `n_params` says.

    Raises
    ------
    ConfigError
        If the number of parameters of a size is not known, or `n_params` is not its checkpoint's;
        all are listed.
    """
    models: dict[str, SizeModel] = {}
    notes: list[str] = []
    problems: list[str] = []
    for name in study.size_names:
        try:
            models[name] = size_model(study, paths, name, notes)
        except ConfigError as error:
            problems.append(str(error))
    if problems:  # a size under several training settings has them once
        raise ConfigError(listing("estimate", list(dict.fromkeys(problems))))
    return models, list(dict.fromkeys(notes))


def size_model(study: Study, paths: StudyPaths, name: str, notes: list[str]) -> SizeModel:
    """Return the model of one size; what is to be told besides goes to `notes`.

    Raises
    ------
    ConfigError
        As `size_models`.
    """
    size = study.size(name)
    key = f"sizes[{study.ladder.index(size.base_size)}]"
    if size.architecture is not None:
        vocabulary, origin = _vocabulary(study, paths)
        shape = shape_of_architecture(size.architecture, vocabulary)
        return SizeModel(shape, 4.0, f"`architecture` and {origin}")
    folder = _folder(str(size.base))
    counted = _counted(folder, size, key, notes) if folder else None
    settings = _config_json(folder) if folder else {}
    if counted is None and size.n_params is None:
        raise ConfigError(f"{key}.n_params: is missing, and {_lack(str(size.base), folder)}")
    if counted is None:
        n_params = size.n_params or 0
        shape = shape_of_config(n_params, settings) if settings else assumed_shape(n_params)
        return SizeModel(shape, 2.0, f"`n_params`, stored in 2 bytes each{_and(settings)}")
    n_params, per_param = counted
    if size.n_params not in (None, n_params):
        raise ConfigError(
            f"{key}.n_params = {size.n_params}: the checkpoint {folder} has {n_params}; correct it "
            "or leave it out"
        )
    return SizeModel(shape_of_config(n_params, settings), per_param, f"{folder}")


def _and(settings: dict[str, Any]) -> str:
    return ", and config.json" if settings else ""


def _folder(ref: str) -> Path | None:
    """Return the folder of a base or tokenizer where it is here."""
    try:
        return resolve(ref)
    except CheckpointError:
        return None


def _lack(base: str, folder: Path | None) -> str:
    """Return why a base's parameters cannot be counted; org/name may be meant as a folder, too."""
    if folder is not None:
        return f"`base` = {base!r} has no weights that tell it ({folder}); give the number"
    lack = f"`base` = {base!r}: no such folder ({Path(base).expanduser().absolute()})"
    lack += "; correct it, or give the number of parameters as n_params"
    match = NAME.fullmatch(base)
    if match is None or not is_hub_name(base):
        return lack
    command = download_command(match["repo"], match["revision"])
    return f"{lack}; or, if it is a name of the Hugging Face Hub, run first: {command}"


def _counted(folder: Path, size: Size, key: str, notes: list[str]) -> tuple[int, float] | None:
    """Return parameters and bytes of each, from headers; None where the folder has no weights.

    Weights that are incomplete or broken are told, and do no harm where `n_params` is given.
    """
    if not any((folder / name).exists() for name in (INDEX, SINGLE)):
        return None
    try:
        store = TensorStore.open(folder)
    except CheckpointError as error:
        if size.n_params is None:
            raise ConfigError(f"{key}.base: {error}") from error
        notes.append(f"{key}.base cannot be read, n_params is used: {str(error).splitlines()[0]}")
        return None
    entries = dict(store.entries)
    if _config_json(folder).get("tie_word_embeddings") and len(entries) > 1:
        entries.pop("lm_head.weight", None)
    n_params = sum(entry.n for entry in entries.values())
    return n_params, sum(entry.n_bytes for entry in entries.values()) / n_params


def _config_json(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    found = read_json(path) if path.exists() else {}
    return found if isinstance(found, dict) else {}


def _vocabulary(study: Study, paths: StudyPaths) -> tuple[int, str]:
    """Return the vocabulary of models that the study trains, and where it is known from."""
    for folder in _tokenizer_folders(study, paths):
        if (folder / "tokenizer.json").exists():
            return _entries(folder / "tokenizer.json"), f"the tokenizer {folder}"
    if study.tokenizer.vocab_size is not None:
        return study.tokenizer.vocab_size, "tokenizer.vocab_size"
    return VOCABULARY, f"a vocabulary of {VOCABULARY:,}, as its tokenizer is not here"


def _tokenizer_folders(study: Study, paths: StudyPaths) -> Iterator[Path]:
    yield paths.tokenizer
    if study.tokenizer.path is not None:
        folder = _folder(study.tokenizer.path)
        if folder:
            yield folder


def _entries(path: Path) -> int:
    """Return the entries of a tokenizer's vocabulary, added tokens too."""
    found = read_json(path)
    try:
        n_tokens = len(found["model"]["vocab"])
        added = [int(token["id"]) for token in found.get("added_tokens") or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: lacks `model` with `vocab`, or an `id` in `added_tokens`, which each "
            "tokenizer.json has: put a whole one there, or delete it where it is one of the results"
        ) from error
    return max(n_tokens, max(added, default=-1) + 1)
