"""Records of text from files, turned into messages by the names of their fields."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from mergelaw.config.data import Fields, FilesSource
from mergelaw.errors import DataError

Message = dict[str, str]
"""A turn of a conversation: `role` and `content`."""


def read_files(source: FilesSource, folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, record) of JSON lists, JSONL and parquet files.

    JSONL is read line by line; of parquet, only the columns that `source.fields` names.

    Parameters
    ----------
    source : FilesSource
        A file whose name ends with `.parquet` is one; any other is JSON or JSONL by its content.
    folder : Path
        Where relative names start.

    Yields
    ------
    place : str
        The file as it is named in `source`, with `[index]` (or `:line` of JSONL).
    record : mapping
        Its fields.

    Raises
    ------
    DataError
        If a file is missing, empty, or broken; names the file and line.
    """
    for name in source.files:
        path = folder / name
        if path.suffix == ".parquet":
            records = _parquet(path, source.fields.names)
        else:
            records = _json_list(path) if _first_character(path) == "[" else _lines(path)
        for place, record in records:
            yield f"{name}{place}", record


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
        return [], _field_text(record, fields.text, place)
    if fields.messages is not None:
        messages = _messages(record, fields.messages, place)
    else:
        messages = [
            {"role": "user", "content": _field_text(record, str(fields.prompt), place)},
            {"role": "assistant", "content": _field_text(record, str(fields.response), place)},
        ]
    return messages, "\n".join(message["content"] for message in messages)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file, with or without a mark of its encoding at its start."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({_reason(error)})") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def _first_character(path: Path) -> str:
    """Return the first character that is not white space."""
    with _opened(path) as file:
        for line in file:
            if line.strip():
                return line.lstrip()[0]
    raise DataError(f"{path}: is empty")


def _json_list(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _opened(path) as file:
        try:
            records = json.load(file)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: is not JSON ({error})") from error
    if not records:
        raise DataError(f"{path}: holds an empty list")
    for index, record in enumerate(records):
        yield f"[{index}]", _mapping(record, f"{path}[{index}]")


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: is not JSON ({error})") from error
            yield f":{number}", _mapping(record, f"{path}:{number}")


def _parquet(path: Path, fields: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        scan = pl.scan_parquet(path, glob=False)
        columns = scan.collect_schema().names()
        missing = [name for name in fields if name not in columns]
        if missing:
            raise DataError(_lacks(str(path), missing, columns))
        frame = scan.select(fields).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: is not a readable parquet file ({error})") from error
    if frame.is_empty():
        raise DataError(f"{path}: holds no rows")
    for index, record in enumerate(frame.iter_rows(named=True)):
        yield f"[{index}]", record


def _lacks(place: str, missing: Sequence[str], fields: Iterable[str]) -> str:
    return (
        f"{place}: lacks field {', '.join(map(repr, missing))}; it has "
        f"{', '.join(map(repr, fields))}"
    )


def _mapping(record: object, place: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise DataError(f"{place}: must be an object with named fields, not {record!r:.60}")
    return record


def _value(record: Mapping[str, Any], field: str, place: str) -> Any:
    if field not in record:
        raise DataError(_lacks(place, [field], record))
    return record[field]


def _field_text(record: Mapping[str, Any], field: str, place: str) -> str:
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
