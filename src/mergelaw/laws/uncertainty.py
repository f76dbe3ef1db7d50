"""Token noise of curves: evaluation items resampled, the same draw for every merge of a domain."""

import hashlib
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from mergelaw.config import Study
from mergelaw.errors import TableError
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas import MACRO

GROUP = ("size", "method", "k")


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and the names only, never on order."""
    text = "\0".join((str(seed), *names))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


class ItemDraws(NamedTuple):
    """Mean losses over subsets under resampled items.

    Attributes
    ----------
    groups
        Columns size, method, k: one row for each column of the draws.
    losses
        By domain, macro as well: shape (resamples, groups), NaN where a domain has one item.
    n_items
        By domain: items resampled. Of macro the fewest of any domain.
    freedom
        By domain: items less one. Of macro the sum over domains.
    """

    groups: pl.DataFrame
    losses: dict[str, Array]
    n_items: dict[str, int]
    freedom: dict[str, int]


def item_draws(rows: pl.DataFrame, study: Study) -> ItemDraws:
    """Resample the items of every domain `laws.resamples` times.

    Each draw is applied to all k, sizes and methods alike, because that noise is shared: it moves
    a curve as a whole and says little about its shape. Domains are drawn independently.

    Parameters
    ----------
    rows : polars.DataFrame
        From `mergelaw.laws.rows.prepare`.
    """
    groups = rows.select(GROUP).unique(maintain_order=True)
    losses, n_items = {}, {}
    for domain in study.domain_names:
        mine = rows.filter(pl.col("domain") == domain)
        losses[domain], n_items[domain] = _draws(mine, groups, study, domain)
    freedom = {domain: n - 1 for domain, n in n_items.items()}
    macro = np.mean(list(losses.values()), axis=0)
    return ItemDraws(
        groups,
        losses | {MACRO: macro},
        n_items | {MACRO: min(n_items.values())},
        freedom | {MACRO: sum(freedom.values())},
    )


def token_errors(rows: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the standard error of each curve point from the choice of evaluation items.

    Parameters
    ----------
    rows : polars.DataFrame
        From `mergelaw.laws.rows.prepare`.

    Returns
    -------
    polars.DataFrame
        Columns size, method, k, domain (macro as well), token_se: standard deviation over the
        draws (see `item_draws`) of the mean loss over subsets; null where a domain has one item.
    """
    draws = item_draws(rows, study)
    errors = [
        draws.groups.with_columns(
            domain=pl.lit(name),
            token_se=pl.Series(values.std(axis=0, ddof=1)).fill_nan(None),
        )
        for name, values in draws.losses.items()
    ]
    return pl.concat(errors)


def resampled(nll: Array, n_tokens: Array, generator: np.random.Generator, count: int) -> Array:
    """Return mean losses under `count` resamples of the items.

    Deviations from the loss of all items are stretched by sqrt(n / (n - 1)): a resample of n items
    varies less than a new sample of n, by that factor (Efron & Tibshirani 1993, section 5.3).

    Parameters
    ----------
    nll, n_tokens : arrays, shape (groups, items)
        Sums of nats and numbers of tokens.

    Returns
    -------
    Array of shape (count, groups): NaN where there is one item, whose noise cannot be seen.
    """
    n_items = nll.shape[1]
    if n_items < 2:
        return np.full((count, len(nll)), np.nan)
    times_drawn = generator.multinomial(n_items, np.full(n_items, 1 / n_items), size=count)
    drawn = (times_drawn @ nll.T) / (times_drawn @ n_tokens.T)
    centre = nll.sum(axis=1) / n_tokens.sum(axis=1)
    stretched: Array = centre + np.sqrt(n_items / (n_items - 1)) * (drawn - centre)
    return stretched


def _draws(
    rows: pl.DataFrame, groups: pl.DataFrame, study: Study, domain: str
) -> tuple[Array, int]:
    """Return the resampled mean losses of one domain, shape (resamples, groups), and its items."""
    nll, n_tokens = _items(rows, domain, "item_nll_sum"), _items(rows, domain, "item_n_tokens")
    scored = (n_tokens > 0).all(axis=0)
    nll, n_tokens = nll[:, scored], n_tokens[:, scored]
    averaging = _averaging(rows, groups)
    draw = generator(study.seed, "items", domain)
    drawn = resampled(averaging @ nll, averaging @ n_tokens, draw, study.laws.resamples)
    return drawn, nll.shape[1]


def _items(rows: pl.DataFrame, domain: str, column: str) -> Array:
    """Return a list column as an array of shape (rows, items)."""
    lengths = rows[column].list.len().unique()
    if len(lengths) != 1:
        raise TableError(f"rows of the domain {domain!r} have {sorted(lengths)} items in {column}")
    return rows[column].list.to_array(lengths[0]).to_numpy()


def _averaging(rows: pl.DataFrame, groups: pl.DataFrame) -> csr_array:
    """Return the matrix that averages rows to groups: repeats of a subset first, then subsets."""
    weighed = rows.select(
        *GROUP,
        weight=1 / (pl.len().over(*GROUP, "subset") * pl.col("subset").n_unique().over(*GROUP)),
    )
    indexed = weighed.join(
        groups.with_row_index("group"), on=GROUP, how="left", maintain_order="left"
    )
    entries = indexed["group"].to_numpy(), np.arange(rows.height)
    return csr_array((indexed["weight"].to_numpy(), entries), shape=(groups.height, rows.height))
