"""What the order of summation and the mask seed do to the loss of a fixed subset."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.forms import Array
from mergelaw.laws.rows import in_order, prepare
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import ORDER

CELL = ("size", "method", "domain", "k")
MERGE = ("size", "method", "subset", "k", "order", "mask_seed", "accumulate")

SOURCES = {"order": "sequential_bfloat16", "mask_seed": "float32"}
"""Which sums each source of spread is measured with."""


class Components(NamedTuple):
    """Variances of repeated losses of several subsets.

    Attributes
    ----------
    within : float
        Over the repeats of a subset, pooled over subsets.
    between : float, optional
        Over subsets, without that part; None for one subset.
    largest_range : float
        Of the repeats of one subset.
    """

    within: float
    between: float | None
    largest_range: float


def order(orders: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the spread over orders, mask seeds and subsets, with the schema `ORDER`.

    "order" is the spread over orders summed in bfloat16, under one mask seed; "mask_seed" that over
    mask seeds, summed in float32 in one order; "subset" that between the subsets of k, from the
    mask seeds where the method draws masks, else from the orders. Shares add up to 1 over the
    sources of a cell, and are not defined where one subset was measured. Two numbers have the same
    sum in either order: k = 2 has no spread over orders in a mean.

    Parameters
    ----------
    orders : polars.DataFrame
        Losses with the columns of `mergelaw.tables.LOSSES`, from sweep/{size}/orders.parquet.

    Raises
    ------
    NotMadeError
        If there are no losses.
    """
    if orders.is_empty():
        raise NotMadeError("no method merges the k of `orders`")
    losses = in_order(_with_macro(prepare(orders, study)), study, "subset", "order", "mask_seed")
    rows: list[dict[str, Any]] = []
    for key, part in losses.partition_by(CELL, as_dict=True, maintain_order=True).items():
        place = dict(zip(CELL, key, strict=True))
        rows += [place | row for row in _cell(part)]
    return ORDER.frame(rows)


def components(losses: Array) -> Components:
    """Return the variance components of losses of shape (subsets, repeats).

    The variance within subsets has the divisor n - 1. That between them is the variance of their
    means less what the repeats put into it: the mean square of the residuals of rows and columns,
    over the number of repeats. One mask seed shifts many subsets alike, which leaves the residuals
    and the spread of the means as they are; for orders, drawn for each subset, the residuals are
    the spread within (Searle, Casella & McCulloch, Variance Components, section 4.3). It is held
    at 0 from below.
    """
    n_subsets, n_repeats = losses.shape
    within = float(losses.var(axis=1, ddof=1).mean())
    largest_range = float(np.ptp(losses, axis=1).max())
    if n_subsets < 2:
        return Components(within, None, largest_range)
    means = losses.mean(axis=1, keepdims=True)
    residuals = losses - means - losses.mean(axis=0, keepdims=True) + losses.mean()
    square = (residuals**2).sum() / ((n_subsets - 1) * (n_repeats - 1))
    between = float(means.var(ddof=1) - square / n_repeats)
    return Components(within, max(0.0, between), largest_range)


def _with_macro(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one loss per merge and domain, and the macro loss of each merge."""
    domains = rows.select(*MERGE, "domain", "loss")
    macro = domains.group_by(MERGE, maintain_order=True).agg(pl.col("loss").mean())
    return pl.concat([domains, macro.with_columns(domain=pl.lit(MACRO)).select(domains.columns)])


def _cell(part: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows of one size, method, domain and k."""
    tables = {name: _table(part.filter(accumulate=sums)) for name, sums in SOURCES.items()}
    tables = {name: losses for name, losses in tables.items() if losses.size}
    found = {name: components(losses) for name, losses in tables.items()}
    last = list(found)[-1]  # the mask seeds, where there are any
    between = found[last].between
    total = None if between is None else between + sum(part.within for part in found.values())
    for name, (within, _, largest_range) in found.items():
        yield _row(name, tables[name], within, largest_range, total)
    if between is not None:
        yield _row("subset", tables[last], between, None, total)


def _row(
    source: str, losses: Array, variance: float, largest_range: float | None, total: float | None
) -> dict[str, Any]:
    return {
        "source": source,
        "n_subsets": losses.shape[0],
        "n_repeats": losses.shape[1],
        "sd": variance**0.5,
        "largest_range": largest_range,
        "share": variance / total if total else None,
    }


def _table(part: pl.DataFrame) -> Array:
    """Return losses of shape (subsets, repeats)."""
    repeats = part.group_by("subset", maintain_order=True).agg("loss")["loss"]
    return np.array(repeats.to_list(), ndmin=2)
