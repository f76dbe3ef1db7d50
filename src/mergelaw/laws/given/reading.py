"""Read a table of any origin, with the line of every row, so that problems can name it."""

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mergelaw.errors import TableError, listing

DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".parquet")
MISSING = {"", "na", "n/a", "nan", "null", "none", "-"}
N_NAMED = 6
"""Places that a message names; of more it tells the number."""


class Given(NamedTuple):
    """A table as it stands in its file."""

    path: Path
    sha256: str
    place: str  # what rows are counted by: "line" (the header is line 1) or "row"
    columns: dict[str, tuple[Any, ...]]
    places: tuple[int, ...]


def read_file(path: Path) -> Given:
    """Return the table of a CSV (comma, semicolon or tab), TSV or parquet file.

    Cells of text files stay text, stripped; a column without a name is left out.

    Raises
    ------
    TableError
        If there is no such file, or it is no table.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise TableError(f"{path}: the file's name must end in {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.strip():
        raise TableError(f"{path}: the file is empty; it needs the columns k and loss")
    if suffix == ".parquet":
        names, rows = _parquet(path, content)
        places = list(range(1, len(rows) + 1))
    else:
        names, rows, places = _text(path, content, DELIMITERS[suffix])
    _require_names(path, names)
    columns = {
        name: tuple(row[i] for row in rows) for i, name in enumerate(names) if name is not None
    }
    place = "row" if suffix == ".parquet" else "line"
    return Given(path, hashlib.sha256(content).hexdigest(), place, columns, tuple(places))


def _require_names(path: Path, names: Sequence[str | None]) -> None:
    known = [name for name in names if name is not None]
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise TableError(f"{path}: two columns have the same name: {', '.join(twice)}")


def _parquet(path: Path, content: bytes) -> tuple[list[str | None], list[tuple[Any, ...]]]:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TableError(f"{path}: is no parquet file: {str(error).splitlines()[0]}") from error
    return [name.strip() for name in frame.columns], frame.rows()


def _text(
    path: Path, content: bytes, delimiters: str
) -> tuple[list[str | None], list[tuple[Any, ...]], list[int]]:
    """Return names of columns (None where there is none), rows of text, and their lines."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: is no text in UTF-8; save it as CSV in UTF-8") from error
    header = next(line for line in text.splitlines() if line.strip())
    delimiter = max(delimiters, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(f"{path}: line {reader.line_num}: {error}") from error
    names = [name or None for name in rows[0]]
    faults = [
        f"line {line} has {len(row)} cells and the header {len(names)}"
        for line, row in zip(lines, rows, strict=True)
        if len(row) != len(names)
    ]
    if faults:
        alike = len({len(row) for row in rows[1:]}) == 1
        told = ["the first line must name the columns: take away a title or a remark above them"]
        raise TableError(listing(str(path), _shortened(faults) + told * alike))
    return names, rows[1:], lines[1:]


def _shortened(faults: list[str]) -> list[str]:
    more = len(faults) - N_NAMED
    return faults[:N_NAMED] + [f"and {more} more such lines"] * (more > 0)


def is_missing(cell: object) -> bool:
    """Tell whether a cell says nothing: null, NaN, empty, or a word for it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and cell.strip().lower() in MISSING


def number(cell: object) -> float | None:
    """Return a cell's number, None where it says nothing.

    Raises
    ------
    ValueError
        If it says something else.
    """
    if is_missing(cell):
        return None
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        raise ValueError(cell)
    try:
        return float(cell)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(cell) from error
