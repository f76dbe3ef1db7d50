"""Records of text from files and data sets, turned into messages by the names of their fields."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mergelaw.config.data import DatasetsSource, Fields, FilesSource
from mergelaw.errors import DataError

Message = dict[str, str]
"""A turn of a conversation: `role` and `content`."""


def read_files(source: FilesSource, folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, record) of JSON lists and JSONL files.

    Raises
    ------
    DataError
        If a file is missing, empty, or not JSON; names the file and line.
    """
    for name in source.files:
        path = folder / name
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise DataError(f"{path}: cannot be read ({reason})") from error
        if not text.strip():
            raise DataError(f"{path}: is empty")
        yield from _json_list(path, text) if text.lstrip().startswith("[") else _lines(path, text)


def read_dataset(source: DatasetsSource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, record) of a data set opened by the `datasets` library.

    Raises
    ------
    DataError
        If `datasets` cannot load it.
    """
    import datasets  # a second of imports that studies on files do not pay

    try:
        loaded = datasets.load_dataset(
            source.path, source.subset, split=source.split, revision=source.revision
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = error.__cause__ or error  # of a broken file, the error itself only says "an error"
        raise DataError(f"data set {source.path!r}: cannot be loaded ({reason})") from error
    for index, record in enumerate(loaded):
        yield f"{source.path}[{index}]", record


def to_messages(record: Mapping[str, Any], fields: Fields, place: str) -> tuple[list[Message], str]:
    """Return a record's messages (empty for plain text) and its plain document.

    Parameters
    ----------
    record : mapping
        One line or row.
    fields : Fields
        Names of the fields to use.
    place : str
        Where the record stands, for errors.

    Raises
    ------
    DataError
        If a field is missing, of the wrong type, or blank.
    """
    if fields.text is not None:
        return [], _text(record, fields.text, place)
    if fields.messages is not None:
        messages = _messages(record, fields.messages, place)
    else:
        messages = [
            {"role": "user", "content": _text(record, str(fields.prompt), place)},
            {"role": "assistant", "content": _text(record, str(fields.response), place)},
        ]
    return messages, "\n".join(message["content"] for message in messages)


def _json_list(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error})") from error
    if not records:
        raise DataError(f"{path}: holds an empty list")
    for index, record in enumerate(records):
        yield f"{path}[{index}]", _mapping(record, f"{path}[{index}]")


def _lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: is not JSON ({error})") from error
        yield f"{path}:{number}", _mapping(record, f"{path}:{number}")


def _mapping(record: object, place: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise DataError(f"{place}: must be an object with named fields, not {record!r:.60}")
    return record


def _value(record: Mapping[str, Any], field: str, place: str) -> Any:
    if field not in record:
        raise DataError(f"{place}: lacks field {field!r}; it has {', '.join(map(repr, record))}")
    return record[field]


def _text(record: Mapping[str, Any], field: str, place: str) -> str:
    value = _value(record, field, place)
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"{place}: field {field!r} must be text that is not blank, not {value!r:.60}"
        )
    return value.strip()


def _messages(record: Mapping[str, Any], field: str, place: str) -> list[Message]:
    value = _value(record, field, place)
    turns = value if isinstance(value, list) else []
    if len(turns) < 2 or not all(map(_is_turn, turns)) or turns[-1]["role"] != "assistant":
        raise DataError(
            f"{place}: field {field!r} must be a list of at least two {{role, content}} "
            f"that ends with the assistant, not {value!r:.80}"
        )
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _is_turn(turn: object) -> bool:
    return isinstance(turn, Mapping) and all(
        isinstance(turn.get(key), str) and turn[key].strip() for key in ("role", "content")
    )
