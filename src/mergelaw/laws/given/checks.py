"""The rows of a table, checked one by one: every problem is told at once, by line."""

import math
from collections.abc import Iterator, Mapping
from math import comb
from typing import Any, NamedTuple

from mergelaw.errors import TableError, listing
from mergelaw.laws.given.names import KNOWN, NUMBERS, TEXTS, lacking
from mergelaw.laws.given.reading import N_NAMED, Given, is_missing, number

MOST_LOSS = 6.0
"""Nats per token, a perplexity of 400; uniform guessing among 100,000 tokens has 11.5."""

MOST_K = 10_000
"""Experts; more are a mistake."""

RANGES = {
    "loss": (1e-9, 1e6),
    "n_params": (1e-9, 1e15),
    "n_params_billions": (1e-9, 1e6),
    "sd": (0.0, 1e6),
    "se": (0.0, 1e6),
    "subset_se": (0.0, 1e6),
}
"""Least and largest values that can mean anything; also what arithmetic bears."""

UNIT = {"loss": ", in nats per token (leave out rows without one)"}


class Row(NamedTuple):
    """A row that can be used; a number or text that the table does not give is None."""

    place: int
    k: int
    loss: float
    n_params: float | None
    sd: float | None
    n_subsets: int | None
    se: float | None
    method: str | None
    domain: str | None
    size: str | None
    subset: str | None
    mask_seed: str | None


class Faults:
    """Problems gathered by what they are, each with its places."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.found: dict[str, list[str]] = {}
        self.told: list[str] = []

    def add(self, what: str, place: int, cell: object = None) -> None:
        """Note a problem at a line, with what stands there."""
        shown = "" if cell is None else f" ({str(cell)[:30]!r})"
        self.found.setdefault(what, []).append(f"{place}{shown}")

    def tell(self, words: str) -> None:
        """Note what helps with the problems, without a place."""
        self.told.append(words)

    def lines(self) -> list[str]:
        """Return one line per kind of problem, then what helps."""
        return [f"{what}: {self.named(at)}" for what, at in self.found.items()] + self.told

    def named(self, places: list[str]) -> str:
        """Return `lines 2, 5 and 7 more`."""
        more = len(places) - N_NAMED
        text = ", ".join(places[:N_NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"{self.place}{'s'[: len(places) != 1]} {text}"


class Checked(NamedTuple):
    """The rows of a table, those left out with the reason, and what else is to be told."""

    rows: list[Row]
    left_out: list[tuple[int, str]]
    warnings: list[str]
    faults: Faults


def check_rows(given: Given, pool: int | None) -> Checked:
    """Return the rows that can be used; the problems of the others are in `faults`.

    Raises
    ------
    TableError
        If a column is missing, or there are no rows.
    """
    problems = lacking(given.columns)
    if problems:
        raise TableError(listing(str(given.path), problems))
    if not given.places:
        raise TableError(f"{given.path}: the table has names of columns and no rows")
    faults = Faults(given.place)
    columns = {name: cells for name, cells in given.columns.items() if name in KNOWN}
    _require_texts(columns, given.places, faults)
    checked = Checked([], [], [], faults)
    for place, record in zip(given.places, _records(columns), strict=True):
        row = _row(record, place, pool, faults)
        if isinstance(row, str):
            checked.left_out.append((place, row))
        elif row is not None:
            checked.rows.append(row)
    checked.warnings.extend(_odd(checked.rows, faults))
    return checked


def _records(columns: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, cells, strict=True))


def _require_texts(
    columns: dict[str, tuple[Any, ...]], places: tuple[int, ...], faults: Faults
) -> None:
    """Note text columns filled in some rows only; one that is empty throughout is no column."""
    for name in TEXTS:
        empty = [is_missing(cell) for cell in columns.get(name, ())]
        if all(empty):
            columns.pop(name, None)
        elif any(empty):
            for place in (place for place, gone in zip(places, empty, strict=True) if gone):
                faults.add(f"{name!r} must stand in every row or in none; it is empty", place)


def _row(record: dict[str, Any], place: int, pool: int | None, faults: Faults) -> Row | str | None:
    """Return the row, the reason why it is left out, or None where it has problems."""
    values: dict[str, float | None] = dict.fromkeys(NUMBERS)
    wrong: dict[str, str] = {}
    for name in NUMBERS:
        try:
            values[name] = number(record.get(name))
        except ValueError:
            wrong[name] = _no_number(name, record[name])
    if values["k"] == 0:
        return "k = 0 is the base: the law begins at one expert"
    wrong = dict(_rules(values, pool)) | wrong
    for name, words in wrong.items():
        faults.add(words, place, record[name])
    if wrong:
        return None
    texts = {name: _text(record.get(name)) for name in TEXTS}
    billions, errors = values["n_params_billions"], values["se"]
    return Row(
        place=place,
        k=int(values["k"] or 0),
        loss=float(values["loss"] or 0),
        n_params=values["n_params"] if billions is None else billions,
        sd=values["sd"],
        n_subsets=None if values["n_subsets"] is None else int(values["n_subsets"]),
        se=values["subset_se"] if errors is None else errors,
        **texts,
    )


def _text(cell: object) -> str | None:
    return None if is_missing(cell) else str(cell).strip()


def _no_number(name: str, cell: object) -> str:
    text = str(cell)
    if name.startswith("n_params") and text[-1:].lower() in "bmk" and text[:-1]:
        return f"{name!r} must be a number: write 0.5 for 0.5B"
    if "," in text:
        return f"{name!r} must be a number with a decimal point and no comma"
    if text.endswith("%"):
        return f"{name!r} must be a number without a sign of percent"
    return f"{name!r} must be a number"


def _rules(values: Mapping[str, float | None], pool: int | None) -> Iterator[tuple[str, str]]:
    """Yield the column and the words of each rule that the numbers of a row break."""
    k, n_subsets = values["k"], values["n_subsets"]
    if k is None or not (1 <= k <= MOST_K and k == int(k)):
        yield "k", f"'k' must be a whole number of merged experts, 1 to {MOST_K} (0 is the base)"
    elif pool is not None and k > pool:
        yield "k", f"'k' is above --pool {pool}"
    for name, (least, most) in RANGES.items():
        value = values[name]
        if value is None and name != "loss":
            continue
        if value is None or not least <= value <= most:
            zero = "0 or " if least == 0 else ""
            yield name, f"{name!r} must be {zero}a positive number{UNIT.get(name, '')}"
    if n_subsets is None:
        return
    if not (1 <= n_subsets < math.inf and n_subsets == int(n_subsets)):
        yield "n_subsets", "'n_subsets' must be a whole number, 1 or more"
    elif (n_pool := _n_subsets(pool, k)) is not None and n_subsets > n_pool:
        yield "n_subsets", f"'n_subsets' is above the C({pool}, {k:g}) = {n_pool} there are"


def _n_subsets(pool: int | None, k: float | None) -> int | None:
    """Return C(pool, k), None where it is not known or k is none."""
    if pool is None or k is None or not 1 <= k <= pool or k != int(k):
        return None
    return comb(pool, int(k))


def _odd(rows: list[Row], faults: Faults) -> Iterator[str]:
    """Yield warnings about values that are allowed and strange."""
    high = [str(row.place) for row in rows if row.loss > MOST_LOSS]
    if high:
        yield (
            f"a loss above {MOST_LOSS:g} nats per token is a perplexity above "
            f"{math.exp(MOST_LOSS):.0f}: if it is a perplexity itself, take its natural logarithm; "
            f"if a sum, divide it by the tokens ({faults.named(high)})"
        )
    for name in ("method", "domain", "size"):
        texts = sorted({text for row in rows if (text := getattr(row, name)) is not None})
        plain = [text.casefold() for text in texts]
        alike = [text for text in texts if plain.count(text.casefold()) > 1]
        if alike:
            yield f"{name}s that differ in case alone are fitted apart: {', '.join(alike)}"
