"""Curves from checked rows: single merges averaged, no k twice, sampling errors."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import comb, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from mergelaw.errors import TableError, listing
from mergelaw.laws.given.checks import Faults, Row, check_rows
from mergelaw.laws.given.names import unread
from mergelaw.laws.given.reading import Given
from mergelaw.laws.given.units import in_billions

AGGREGATES = {"macro", "micro", "all", "overall", "avg", "avg.", "average", "mean", "total"}
"""Names of a domain that is a mean over others."""


class Point(NamedTuple):
    """A mean loss at one size and k; what the table does not tell is None."""

    k: int
    loss: float
    size: str | None
    n_params_billions: float | None
    n_subsets: int | None
    sd: float | None
    se: float | None
    places: tuple[int, ...]


class Curve(NamedTuple):
    """The points of one method and domain, by N and k."""

    method: str | None
    domain: str | None
    points: list[Point]


class Points(NamedTuple):
    """What a table holds for fits."""

    given: Given
    curves: list[Curve]
    pool: int | None
    unit: str | None
    alike: list[tuple[str, ...]]  # sizes with the same N
    left_out: list[tuple[int, str]]
    warnings: list[str]

    @property
    def has_errors(self) -> bool:
        """Whether sampling errors of some points are known."""
        return any(point.se is not None for curve in self.curves for point in curve.points)


def read_points(given: Given, pool: int | None) -> Points:
    """Return the curves of a table.

    Raises
    ------
    TableError
        Listing every problem: cells that are no numbers or out of range, by line; a k that
        occurs twice in a curve, with the columns that tell the rows apart; sizes and N that do
        not go together; more subsets than there are.
    """
    checked = check_rows(given, pool)
    faults = checked.faults
    if not checked.rows and not faults.found:
        raise TableError(f"{given.path}: no row has k >= 1 (k = 0 is the base)")
    stated = "n_params_billions" in given.columns
    sizes = in_billions(checked.rows, stated, faults)
    warnings = [*checked.warnings, *sizes.warnings, *unread(given.columns)]
    if stated and "n_params" in given.columns:
        warnings.append("'n_params' is not read, as n_params_billions is there")
    rows = sizes.rows
    if any(row.subset for row in rows):
        rows, told = _averaged(rows, pool, faults)
        warnings.append(told)
    _require_single(given, rows, faults)
    if faults.found:
        raise TableError(listing(str(given.path), faults.lines()))
    curves = _curves(rows, pool)
    warnings += [*_aggregates(curves), *_mixed(curves, pool, faults)]
    warnings += list(_whole_pool(curves, pool)) or _unknown_errors(curves, pool, faults)
    return Points(given, curves, pool, sizes.unit, sizes.alike, checked.left_out, warnings)


def _curve(row: Row) -> tuple[str, ...]:
    return (row.method or "", row.domain or "", row.size or "")


def _point(row: Row) -> tuple[str | int, ...]:
    return (*_curve(row), row.k)


def _merge(row: Row) -> tuple[str | int, ...]:
    return (*_point(row), row.subset or "")


def _averaged(rows: list[Row], pool: int | None, faults: Faults) -> tuple[list[Row], str]:
    """Return one row per point from rows that are single merges: mask seeds first, then subsets."""
    merges = []
    n_seeds = 1
    for _, group in groupby(sorted(rows, key=_merge), key=_merge):
        same = list(group)
        seeds = {row.mask_seed for row in same}
        if len(seeds) < len(same):
            where = f"k = {same[0].k} {same[0].subset!r} stands more than once"
            for row in same:
                faults.add(f"{where}, and 'mask_seed' does not tell the rows apart", row.place)
        n_seeds = max(n_seeds, len(seeds))
        merges.append(same[0]._replace(loss=fmean(row.loss for row in same)))
    points = []
    for _, group in groupby(merges, key=_point):
        same = list(group)
        losses = [row.loss for row in same]
        k = same[0].k
        if pool is not None and len(same) > comb(pool, k):
            faults.add(
                f"more subsets of {k} than the C({pool}, {k}) of --pool; from", same[0].place
            )
        spread = stdev(losses) if len(same) > 1 else None
        first = min(same, key=lambda row: row.place)
        points.append(
            first._replace(loss=fmean(losses), sd=spread, n_subsets=len(same), se=None, subset=None)
        )
    told = "rows are single merges (column 'subset'): averaged over subsets at each k, "
    told += "mask seeds first, " if n_seeds > 1 else ""
    told += "and sd and n_subsets are theirs"
    if any(value is not None for row in rows for value in (row.sd, row.n_subsets, row.se)):
        told += "; those of the file are not read"
    return points, told


def _require_single(given: Given, rows: Sequence[Row], faults: Faults) -> None:
    """Note points that occur twice, with the columns that could tell their rows apart."""
    repeated: list[list[int]] = []
    for _, group in groupby(sorted(rows, key=_point), key=_point):
        same = list(group)
        if len(same) > 1:
            label = ", ".join(filter(None, _curve(same[0])))
            where = f"k = {same[0].k}{f' of {label}' if label else ''} stands {len(same)} times"
            repeated.append([row.place for row in same])
            for row in same:
                faults.add(where, row.place)
    if repeated:
        faults.tell(_apart(given, repeated))


def _apart(given: Given, repeated: list[list[int]]) -> str:
    """Return which columns differ among the rows of a point, and what to do."""
    at = {place: i for i, place in enumerate(given.places)}
    read = {"k", "loss", "sd", "se", "n_subsets", "method", "domain", "size"}
    telling = [
        name
        for name, cells in given.columns.items()
        if name not in read and all(len({str(cells[at[p]]) for p in same}) > 1 for same in repeated)
    ]
    if not telling:
        return (
            "no other column tells these rows apart: keep one row for each k, or name in a column "
            "'subset' which experts each row merges, and the rows are averaged"
        )
    return (
        f"what tells these rows apart is {' or '.join(map(repr, telling))}: rename it to 'subset' "
        "if each row is one merge (they are averaged), or to 'method', 'domain', 'size' or "
        "'n_params' if it makes curves of their own"
    )


def _curves(rows: list[Row], pool: int | None) -> list[Curve]:
    """Return the curves in the order of the file, their points by N and k."""
    curves: dict[tuple[str | None, str | None], list[Point]] = {}
    for row in sorted(rows, key=lambda row: row.place):
        point = Point(
            k=row.k,
            loss=row.loss,
            size=row.size,
            n_params_billions=row.n_params,
            n_subsets=row.n_subsets,
            sd=row.sd,
            se=sampling_error(row, pool),
            places=(row.place,),
        )
        curves.setdefault((row.method, row.domain), []).append(point)
    for points in curves.values():
        order = list(dict.fromkeys(point.size for point in points))
        points.sort(key=lambda p: (p.n_params_billions or 0.0, order.index(p.size), p.k))
    return [Curve(*key, points) for key, points in curves.items()]


def sampling_error(row: Row, pool: int | None) -> float | None:
    """Return the standard error of a mean over subsets, None where it cannot be known.

    `se` where the table has it; else ``sd / sqrt(n) * sqrt(1 - n / C(M, k))`` for n subsets drawn
    without replacement (Cochran, Sampling Techniques, section 2.6), which is 0 where all are in;
    without a pool the last factor is 1, so that the error is too large rather than too small.
    """
    n, sd = row.n_subsets, row.sd
    if row.se is not None or n is None:
        return row.se
    n_pool = None if pool is None else comb(pool, row.k)
    if n == n_pool:
        return 0.0
    if n == 1 or sd is None:
        return None
    return sd / sqrt(n) if n_pool is None else sd * sqrt((n_pool - n) / (n * n_pool))


def _aggregates(curves: list[Curve]) -> Iterator[str]:
    names = list(dict.fromkeys(curve.domain for curve in curves if curve.domain))
    means = [name for name in names if name.casefold() in AGGREGATES]
    if means and len(means) < len(names):
        yield (
            f"the domain {' and '.join(map(repr, means))} is a mean over others by its name: it is "
            "fitted apart, and its fit is no further evidence beside theirs"
        )


def _mixed(curves: list[Curve], pool: int | None, faults: Faults) -> Iterator[str]:
    """Yield a warning about single merges among means over many, the whole pool aside."""
    places = []
    for curve in curves:
        many = any((point.n_subsets or 0) > 1 for point in curve.points)
        whole = pool or max(point.k for point in curve.points)
        singles = [p for p in curve.points if p.n_subsets == 1 and p.k != whole]
        places += [str(point.places[0]) for point in singles if many]
    if places:
        yield (
            "single merges stand among means over many subsets; the law is about the mean, and "
            f"one merge may lie far from it: {faults.named(places)}"
        )


def _unknown_errors(curves: list[Curve], pool: int | None, faults: Faults) -> Iterator[str]:
    """Yield a warning about means without a sampling error, and the whole pool, among others."""
    places = []
    for curve in curves:
        known = any(point.se is not None for point in curve.points)
        whole = pool or max(point.k for point in curve.points)
        unknown = [p for p in curve.points if p.se is None and (p.n_subsets != 1 or p.k == whole)]
        places += [str(point.places[0]) for point in unknown if known]
    if places:
        hint = "" if pool else " (the one merge of a whole pool has the error 0: say --pool)"
        yield (
            "the sampling error of some points is not known, and all points of their curves weigh "
            f"the same; 'se', or 'sd' with 'n_subsets', tells it{hint}: {faults.named(places)}"
        )


def _whole_pool(curves: list[Curve], pool: int | None) -> Iterator[str]:
    """Yield the hint that n_subsets tells the pool, where --pool does not."""
    points = [point for curve in curves for point in curve.points]
    largest = max(point.k for point in points)
    told = all(p.n_subsets is not None for p in points)
    if pool is not None or largest == 1 or not told:
        return
    if all(p.n_subsets == comb(largest, p.k) for p in points):
        yield (
            f"n_subsets is C({largest}, k) at every k: if the pool has {largest} experts, all "
            f"subsets are in; say --pool {largest}, and their means have no sampling error"
        )
