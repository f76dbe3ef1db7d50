"""Sizes of a table: N in billions, whatever unit it came in, and one N for each size."""

from collections.abc import Iterator
from typing import NamedTuple

from mergelaw.laws.given.checks import Faults, Row

LEAST_COUNT = 1000.0
"""N from here on is read as a count of parameters, below as billions."""

LEAST_LIKELY = 1e5
"""A count below is that of a model too small for most uses: the numbers may be millions."""

MOST_LIKELY = 100.0
"""Billions; a larger model is rare among those merged: the numbers may be millions."""

IN_MILLIONS = "if they are millions, divide them by 1000 and name the column n_params_billions"

BILLION = 1e9


class Sizes(NamedTuple):
    """Rows with N in billions, the unit that N came in, and names of sizes with the same N."""

    rows: list[Row]
    unit: str | None  # "billions" or "counts"; None: the table has no N
    alike: list[tuple[str, ...]]
    warnings: list[str]


def in_billions(rows: list[Row], stated: bool, faults: Faults) -> Sizes:
    """Return the rows with N in billions and a name of the size.

    Parameters
    ----------
    rows : list of Row
    stated : bool
        Whether the column's name states the unit (`n_params_billions`).
    faults : Faults
        Takes N that stands in some rows only, in two units, or twice for one size.
    """
    given = [row.n_params for row in rows if row.n_params is not None]
    if not given:
        return Sizes(rows, None, [], [])
    for row in rows:
        if row.n_params is None:
            faults.add("'n_params' must stand in every row or in none; it is empty", row.place)
    low, high = min(given), max(given)
    warnings = []
    counts = not stated and high >= LEAST_COUNT
    if counts and low < LEAST_COUNT:
        for row in rows:
            if row.n_params is not None and row.n_params < LEAST_COUNT:
                faults.add(
                    f"'n_params' below {LEAST_COUNT:g} is read as billions and above as a count; "
                    f"write all in one unit, best in billions; {IN_MILLIONS}; below 1000",
                    row.place,
                    f"{row.n_params:g}",
                )
    elif counts:
        warnings.append(_counted(low, high))
        rows = [
            row._replace(n_params=None if row.n_params is None else row.n_params / BILLION)
            for row in rows
        ]
    elif not stated and high >= MOST_LIKELY:
        warnings.append(f"'n_params' up to {high:g} is read as billions: {IN_MILLIONS}")
    rows = [row if row.size else row._replace(size=_named(row.n_params)) for row in rows]
    alike = list(_alike(rows))
    warnings += [
        f"the sizes {', '.join(names)} have the same N: a law in N cannot tell them apart"
        for names in alike
    ]
    _one_n_each(rows, faults)
    return Sizes(rows, "counts" if counts else "billions", alike, warnings)


def _counted(low: float, high: float) -> str:
    text = (
        f"'n_params' looks like counts of parameters ({low:,.0f} to {high:,.0f}): they are divided "
        "by 1e9, as the law takes N in billions; a column n_params_billions says so without doubt"
    )
    if low < LEAST_LIKELY:
        text += f"; {IN_MILLIONS}"
    return text


def _named(n_params: float | None) -> str | None:
    return None if n_params is None else f"{n_params:.12g}B"


def _alike(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    for n_params in sorted({row.n_params for row in rows if row.n_params is not None}):
        names = sorted({row.size for row in rows if row.n_params == n_params and row.size})
        if len(names) > 1:
            yield tuple(names)


def _one_n_each(rows: list[Row], faults: Faults) -> None:
    """Note rows whose size had another N before."""
    first: dict[str | None, float | None] = {}
    for row in rows:
        if row.n_params is not None and first.setdefault(row.size, row.n_params) != row.n_params:
            faults.add(
                f"size {row.size!r} has more than one N, {first[row.size]:g} and others (billions)",
                row.place,
                f"{row.n_params:g}",
            )
