"""Rows of a table of losses, checked one by one: numbers, subsets' names, one size and method."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from mergelaw.design import BASE
from mergelaw.errors import TableError, listing
from mergelaw.laws.given.reading import N_NAMED, is_missing, number, read_file

LOSS = "loss"


def read_rows(path: Path, size: str | None, method: str | None) -> pl.DataFrame:
    """Return the rows of one size and method, without the base's.

    Adds `place` (where each row stands), `loss` where the table has sums, and `size` and `method`
    where it has none.

    Raises
    ------
    TableError
        If the file is no table of losses, or a row cannot be used; all problems are listed.
    """
    frame = read_frame(path)
    there = ", ".join(repr(name) for name in frame.columns if name != "place")
    problems = [
        f"there is no column {name!r}; the table has {there or 'none'}" for name in _lacking(frame)
    ]
    if problems:
        raise TableError(listing(f"{path} has no losses of subsets", problems))
    frame, problems = _numbers(frame)
    frame, found = _members(frame)
    problems += found
    rows, found = _cell(frame, {"size": size, "method": method})
    problems += found
    if problems:
        raise TableError(listing(str(path), problems))
    return rows


def read_frame(path: Path) -> pl.DataFrame:
    """Return the columns of a file, with `place`: where each row stands.

    Raises
    ------
    TableError
        If there is no such file, or it is no table.
    """
    if not path.exists():
        raise TableError(f"{path}: is missing")
    if path.suffix.lower() == ".parquet":
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise TableError(f"{path}: is no readable parquet file ({error})") from error
        place, places = "row", tuple(range(1, frame.height + 1))
    else:
        given = read_file(path)
        frame = pl.DataFrame({n: pl.Series(c, dtype=pl.String) for n, c in given.columns.items()})
        place, places = given.place, given.places
    where = [f"{place} {number}" for number in places]
    return frame.with_columns(place=pl.Series(where, dtype=pl.String))


def _lacking(frame: pl.DataFrame) -> list[str]:
    names = set(frame.columns)
    summed = {"nll_sum", "n_tokens"} <= names
    return [name for name in ("subset", "loss") if name not in names | {LOSS * summed}]


def _numbers(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the table with `loss` and `se` as numbers, and what is wrong with them."""
    if "loss" not in frame.columns:
        divided = pl.col("nll_sum").cast(pl.Float64, strict=False) / pl.col("n_tokens").cast(
            pl.Float64, strict=False
        )
        frame = frame.with_columns(loss=divided)
    faults: dict[str, list[str]] = {}
    for name, least in {"loss": "above 0", "se": "at least 0"}.items():
        if name not in frame.columns:
            continue
        values = [_number(cell) for cell in frame[name]]
        for value, cell, place in zip(values, frame[name], frame["place"], strict=True):
            empty_error = name == "se" and is_missing(cell)
            good = math.isfinite(value) and (value > 0 or (name == "se" and value == 0))
            if not (good or empty_error):
                words = f"{name} = {cell}: must be a finite number {least}, in nats per token"
                faults.setdefault(words, []).append(place)
        frame = frame.with_columns(pl.Series(name, values, dtype=pl.Float64))
    return frame, shortened([f"{what} ({places_text(at)})" for what, at in faults.items()])


def _number(cell: object) -> float:
    try:
        value = number(cell)
    except ValueError:
        return math.nan
    return math.nan if value is None else value


def _members(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the table with sorted subsets, without the base, and what is wrong with its names."""
    problems, names = [], []
    for text, place in frame.select("subset", "place").iter_rows():
        parts = [part.strip() for part in str("" if text is None else text).split("+")]
        if parts == [""]:
            problems.append(f"subset ({place}): is empty; the base, if it is that, is {BASE!r}")
        elif len(set(parts)) < len(parts) or "" in parts:
            problems.append(
                f"subset {text!r} ({place}): names an expert twice, or one without name"
            )
        names.append("+".join(sorted(set(parts))) or BASE)
    merged = frame.with_columns(subset=pl.Series(names, dtype=pl.String))
    return merged.filter(pl.col("subset") != BASE), shortened(problems)


def _cell(frame: pl.DataFrame, wanted: Mapping[str, str | None]) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows of one size and method."""
    problems = []
    for name, value in wanted.items():
        if name not in frame.columns:
            problems += [f"--{name} {value}: the table has no column {name!r}"] * bool(value)
            frame = frame.with_columns(pl.lit("").alias(name))
            continue
        frame = frame.with_columns(pl.col(name).cast(pl.String).fill_null(""))
        known = frame[name].unique(maintain_order=True).to_list()
        if value is None and len(known) > 1:
            problems.append(f"--{name}: the table has {', '.join(known)}; name one of them")
        elif value is not None and value not in known:
            problems.append(f"--{name} {value}: the table has {', '.join(known) or 'none'}")
        else:
            frame = frame.filter(pl.col(name) == (value or (known or [""])[0]))
    return frame, problems


def places_text(places: Sequence[str]) -> str:
    """Return the first of many places, and how many more there are."""
    shown = ", ".join(places[:N_NAMED])
    return shown + f" and {len(places) - N_NAMED} more" * (len(places) > N_NAMED)


def shortened(problems: list[str]) -> list[str]:
    """Return the first of many problems, and how many more there are."""
    more = len(problems) - N_NAMED
    return problems[:N_NAMED] + [f"and {more} more such problems"] * (more > 0)
