"""Text files as people have them, made sources of a study: fields are found by their names."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mergelaw.config.data import Fields, FilesSource
from mergelaw.data.records import read_files
from mergelaw.errors import DataError
from mergelaw.files import write_text

PAIRS = (
    ("instruction", "output"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("problem", "solution"),
    ("input", "output"),
    ("instruction", "response"),
    ("query", "response"),
)
"""Names that a prompt and its response have, the first that fit."""

TEXTS = ("text", "content")
MESSAGES = ("messages", "conversation")
TABLES = {".csv": ",;\t", ".tsv": "\t"}
RECORDS = (".json", ".jsonl", ".ndjson", ".parquet")


LONGEST_CELL = 2**31 - 1
"""Characters of a cell of a table; the csv module's own bound, 131,072, is below a long document.
"""


def source_of(path: Path, written: Path) -> FilesSource:
    """Return a file as the source of a domain.

    Parameters
    ----------
    path : Path
        JSON, JSONL or parquet is read where it lies; CSV, TSV and plain text (whose items are its
        paragraphs) are written as JSONL.
    written : Path
        That JSONL file, of this domain alone.

    Raises
    ------
    DataError
        If the file is missing, empty or broken, or no field of it is known.
    """
    suffix = path.suffix.lower()
    if suffix not in RECORDS:
        rows = _table(path, TABLES[suffix]) if suffix in TABLES else _paragraphs(path)
        path = _as_jsonl(rows, written)
    names = _names(path)
    return FilesSource(kind="files", files=(str(path.absolute()),), fields=_fields(path, names))


def _names(path: Path) -> list[str]:
    """Return the names of the first record's fields."""
    if path.suffix.lower() == ".parquet":
        import polars as pl

        try:
            return pl.read_parquet_schema(path).names()  # type: ignore[no-any-return, attr-defined]
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: is not a readable parquet file ({error})") from error
    source = FilesSource(kind="files", files=(str(path.absolute()),))
    return list(next(iter(read_files(source, Path())))[1])


def _fields(path: Path, names: Sequence[str]) -> Fields:
    """Return which fields hold the text."""
    lowered = {name.lower(): name for name in names}
    for name in MESSAGES:
        if name in lowered:
            return Fields(messages=lowered[name])
    for prompt, response in PAIRS:
        if prompt in lowered and response in lowered:
            return Fields(prompt=lowered[prompt], response=lowered[response])
    for name in TEXTS:
        if name in lowered:
            return Fields(text=lowered[name])
    known = [*MESSAGES, *(" and ".join(pair) for pair in PAIRS), *TEXTS]
    raise DataError(
        f"{path}: its fields are {', '.join(map(repr, names)) or 'none'}; none of these is there: "
        f"{', '.join(known)}; rename its fields"
    )


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read (not UTF-8 text)") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise DataError(f"{path}: is empty")
    return text


def _table(path: Path, delimiters: str) -> list[Mapping[str, Any]]:
    """Return the rows of a CSV or TSV, whose first line names the columns."""
    text = _read(path)
    header = text.lstrip().splitlines()[0]
    delimiter = max(delimiters, key=header.count)
    rows = _cells(path, text.lstrip(), delimiter)
    if not rows:
        raise DataError(f"{path}: has a header and no rows")
    ragged = [i for i, row in enumerate(rows, start=2) if None in row or None in row.values()]
    if ragged:
        raise DataError(f"{path}: row {ragged[0]} has not as many cells as the header has names")
    return list(rows)


def _cells(path: Path, text: str, delimiter: str) -> list[Mapping[str, Any]]:
    former = csv.field_size_limit(LONGEST_CELL)
    try:
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error
    finally:
        csv.field_size_limit(former)


def _paragraphs(path: Path) -> list[Mapping[str, Any]]:
    """Return the paragraphs of a plain text: what stands between empty lines, else its lines."""
    text = _read(path)
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if len(parts) == 1:
        parts = [line.strip() for line in text.splitlines() if line.strip()]
    return [{"text": part} for part in parts]


def _as_jsonl(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Write rows as JSONL, unless the file holds just these: its time of change then stays."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
