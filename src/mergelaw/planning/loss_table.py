"""Losses of subsets from a table of any origin, checked: a row per subset, a column per domain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mergelaw.design import BASE
from mergelaw.errors import TableError, listing
from mergelaw.laws.forms import Array
from mergelaw.planning.loss_rows import places_text, read_frame, read_rows, shortened

ONE = "loss"
"""Name of the domain of a table that has no column `domain`."""

ITEMS = ("item_nll_sum", "item_n_tokens")
REPEATS = ("mask_seed", "order", "accumulate")
"""Columns by which rows of one subset and domain may differ; they are averaged."""


@dataclass(frozen=True)
class Items:
    """Losses of each merge on each item of a domain.

    Attributes
    ----------
    nll_sum, n_tokens : arrays, shape (subsets, items)
        Nats; tokens.
    """

    nll_sum: Array
    n_tokens: Array


@dataclass(frozen=True)
class SubsetLosses:
    """What was measured of one pool at one size with one method.

    Attributes
    ----------
    source, size, method : str
        Where it is from; size and method are "" in a table without them.
    experts, domains : tuple of str
    members : bool array, shape (subsets, experts)
    losses : array, shape (subsets, domains)
        Nats per token.
    stderr : array of that shape, or None
        Standard errors of the losses, as the table tells them.
    items : dict of str to Items
        By domain; without those of which the table has none, or not the same for every merge.
    """

    source: str
    size: str
    method: str
    experts: tuple[str, ...]
    domains: tuple[str, ...]
    members: Array
    losses: Array
    stderr: Array | None
    items: Mapping[str, Items]

    def n_items(self, domain: str) -> int:
        """Return how many items a domain has; 0 where the table does not tell."""
        items = self.items.get(domain)
        return 0 if items is None else int(items.nll_sum.shape[1])

    def names(self, members: Array) -> list[str]:
        """Return the names of subsets."""
        return ["+".join(sorted(np.array(self.experts)[row])) for row in members]


def read_losses(
    path: Path,
    size: str | None = None,
    method: str | None = None,
    experts: Sequence[str] | None = None,
    domains: Sequence[str] | None = None,
) -> SubsetLosses:
    """Read the losses of subsets from parquet, CSV or TSV.

    Parameters
    ----------
    path : Path
        With the columns `subset` (experts joined by '+') and `loss` (or `nll_sum` and `n_tokens`),
        and, where it has them, `domain`, `size`, `method`, `se`; a study's losses.parquet is one.
    size, method : str, optional
        Which rows; needed where the table has several.
    experts, domains : sequence of str, optional
        The pool and the domains in their order; else those of the table, by name.

    Raises
    ------
    TableError
        If the table is none, or has problems; all are listed.
    """
    rows = read_rows(path, size, method)
    return _assembled(path, rows, experts, domains)


def names_in(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the domains and the experts of all rows of a table, whatever else is wrong with it.

    None of either where that cannot be told.
    """
    try:
        frame = read_frame(path)
    except TableError:
        return (), ()
    if "subset" not in frame.columns:
        return (), ()
    subsets = frame["subset"].cast(pl.String).drop_nulls()
    experts = {name.strip() for subset in subsets for name in subset.split("+")} - {"", BASE}
    if "domain" not in frame.columns:
        return (ONE,), tuple(sorted(experts))
    domains = frame["domain"].cast(pl.String).drop_nulls().unique().sort()
    return tuple(domains), tuple(sorted(experts))


def _assembled(
    path: Path,
    frame: pl.DataFrame,
    experts: Sequence[str] | None,
    domains: Sequence[str] | None,
) -> SubsetLosses:
    """Return the checked rows as arrays."""
    if "domain" not in frame.columns:
        frame = frame.with_columns(domain=pl.lit(ONE))
    frame = frame.with_columns(pl.col("domain").cast(pl.String).fill_null(""))
    subsets = sorted(frame["subset"].unique().to_list(), key=lambda name: (name.count("+"), name))
    found = sorted({name for subset in subsets for name in subset.split("+")})
    pool, columns = tuple(experts or found), tuple(domains or frame["domain"].unique().sort())
    problems = [f"expert {name!r} is not in the study" for name in found if name not in pool] + [
        f"expert {name!r} is in no measured merge: nothing is known of it; measure it alone"
        for name in pool
        if name not in found
    ]
    problems += _repeated(frame) + _incomplete(frame, subsets, columns)
    if len(subsets) < 2:
        problems.append(f"{len(subsets)} subsets are measured: there is nothing to compare")
    if problems:
        raise TableError(listing(str(path), problems))
    members = np.array([[name in subset.split("+") for name in pool] for subset in subsets])
    return SubsetLosses(
        str(path),
        str(frame["size"][0]),
        str(frame["method"][0]),
        pool,
        columns,
        members,
        _wide(frame, "loss", subsets, columns),
        _wide(frame, "se", subsets, columns) if _has_errors(frame) else None,
        _items(frame, subsets, columns),
    )


def _has_errors(frame: pl.DataFrame) -> bool:
    return "se" in frame.columns and bool(frame["se"].is_finite().all())


def _repeated(frame: pl.DataFrame) -> list[str]:
    """Say which rows stand for the same subset and domain, with nothing that tells them apart."""
    key = ["subset", "domain", *(name for name in REPEATS if name in frame.columns)]
    rows = frame.group_by(key, maintain_order=True).agg("place")
    twice = rows.filter(pl.col("place").list.len() > 1)
    return shortened(
        [
            f"subset {row['subset']} on {row['domain']} stands {len(row['place'])} times "
            f"({places_text(row['place'])})"
            for row in twice.iter_rows(named=True)
        ]
    )


def _incomplete(frame: pl.DataFrame, subsets: Iterable[str], domains: Sequence[str]) -> list[str]:
    measured = set(frame.select("subset", "domain").iter_rows())
    missing = [
        f"subset {subset} has no loss on domain {domain!r}"
        for subset in subsets
        for domain in domains
        if (subset, domain) not in measured
    ]
    return shortened(missing)


def _wide(frame: pl.DataFrame, value: str, subsets: list[str], domains: Sequence[str]) -> Array:
    """Return means over repeats, shape (subsets, domains); of errors, that of the mean."""
    mean = pl.col(value).mean()
    if value == "se":
        mean = (pl.col(value) ** 2).sum().sqrt() / pl.len()
    rows = frame.group_by("subset", "domain").agg(mean.alias(value))
    wide = rows.pivot("domain", index="subset", values=value)
    order = pl.DataFrame({"subset": subsets})
    values: Array = (
        order.join(wide, on="subset", how="left", maintain_order="left").select(domains).to_numpy()
    )
    return values


def _items(frame: pl.DataFrame, subsets: list[str], domains: Sequence[str]) -> dict[str, Items]:
    """Return the losses on items by domain, where every merge has as many."""
    if not set(ITEMS) <= set(frame.columns):
        return {}
    found = {}
    for domain in domains:
        mine = frame.filter(pl.col("domain") == domain)
        lengths = {n for name in ITEMS for n in mine[name].list.len()}
        if len(lengths) == 1 and lengths.pop():
            sums = [_summed(mine, name, subsets) for name in ITEMS]
            found[domain] = Items(*sums)
    return found


def _summed(rows: pl.DataFrame, column: str, subsets: list[str]) -> Array:
    """Return a list column as an array of shape (subsets, items), repeats added up."""
    values = np.array(rows[column].to_list(), dtype=float, ndmin=2)
    place = {name: i for i, name in enumerate(subsets)}
    total = np.zeros((len(subsets), values.shape[1]))
    np.add.at(total, [place[name] for name in rows["subset"]], values)
    return total


def weights_of(
    domains: Sequence[str],
    target: str | None = None,
    mixture: Mapping[str, float] | None = None,
) -> Array:
    """Return the weight of each domain in the loss that is to be small.

    Parameters
    ----------
    target : str, optional
        A domain, or `macro`: the unweighted mean, which is also meant where nothing is named.
    mixture : mapping of str to float, optional
        Weights by domain, at least 0, which add up to 1.

    Raises
    ------
    TableError
        If a domain is unknown, weights are out of range, or both are given; all are listed.
    """
    known = ", ".join(domains)
    problems = []
    if target is not None and mixture:
        problems.append("--target and --mixture: give one of them")
    if target is not None and target not in (*domains, "macro"):
        problems.append(f"--target {target}: must be macro or a domain: {known}")
    for name, weight in (mixture or {}).items():
        if name not in domains:
            problems.append(f"--mixture {name}: is no domain; the domains are {known}")
        if not 0 <= weight <= 1:
            problems.append(f"--mixture {name}={weight}: must be a number from 0 to 1")
    total = sum((mixture or {"": 1.0}).values())
    if not abs(total - 1) <= 1e-6:
        problems.append(f"--mixture: the weights add up to {total:g}; they must add up to 1")
    if problems:
        raise TableError(listing("the target cannot be used", problems))
    if mixture:
        return np.array([float(mixture.get(name, 0.0)) for name in domains])
    if target in (None, "macro"):
        return np.full(len(domains), 1 / len(domains))
    return np.array([float(name == target) for name in domains])
