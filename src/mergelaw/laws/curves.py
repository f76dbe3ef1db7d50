"""Curves over k: means over subsets, their errors, and how complete they are."""

from math import comb

import polars as pl

from mergelaw.config import Study
from mergelaw.design import sampling
from mergelaw.laws.balanced_errors import balanced_errors
from mergelaw.laws.rows import in_order, subset_losses
from mergelaw.laws.schemas import CURVES, MACRO, SPECIALISTS
from mergelaw.laws.uncertainty import token_errors

POINT = ("size", "method", "domain", "k")


def curves(rows: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the mean loss over subsets at every (size, method, domain, k), with its errors.

    Parameters
    ----------
    rows : polars.DataFrame
        From `mergelaw.laws.rows.prepare`.

    Returns
    -------
    polars.DataFrame
        With the schema `CURVES`.
    """
    losses = subset_losses(rows)
    points = over_subsets(losses, len(study.experts))
    points = points.join(token_errors(rows, study), on=POINT, how="left")
    points = with_subset_errors(points, losses, study)
    points = points.with_columns(
        loss_se=(pl.col("subset_se") ** 2 + pl.col("token_se") ** 2).sqrt()
    )
    return CURVES.of(in_order(points, study))


def with_subset_errors(points: pl.DataFrame, losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return `subset_se` as the design tells it: of random samples, 2-designs, all in; else null.

    Parameters
    ----------
    points : polars.DataFrame
        From `over_subsets`.
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.
    """
    cells = points.select("size", "k").unique(maintain_order=True).rows()
    drawn = [(*cell, sampling(study, *cell)) for cell in cells]
    schema = {"size": pl.String, "k": pl.Int64, "sampling": pl.String}
    points = points.join(
        pl.DataFrame(drawn, schema=schema, orient="row"), on=["size", "k"], how="left"
    )
    two_designs = [(size, k) for size, k, how in drawn if how == "balanced"]
    points = points.join(balanced_errors(losses, study, two_designs), on=POINT, how="left")
    all_in = pl.col("n_subsets") == pl.col("n_subsets_pool")
    known = (
        pl.when(all_in | (pl.col("sampling") == "random"))
        .then("subset_se")
        .when(pl.col("sampling") == "balanced")
        .then("balanced_se")
    )
    return points.with_columns(subset_se=known).drop("sampling", "balanced_se")


def over_subsets(losses: pl.DataFrame, pool: int) -> pl.DataFrame:
    """Return mean, spread and sampling error over the measured subsets of each size k.

    ``subset_se = sd / sqrt(n) * sqrt(1 - n / C)`` with C = C(pool, k) and sd of divisor n - 1: n
    subsets drawn without replacement from C (Cochran, Sampling Techniques, section 2.6; its
    square is unbiased). It is 0 when all are in.
    """
    groups = losses.group_by(
        "size", "n_params_billions", "method", "domain", "k", maintain_order=True
    ).agg("loss", "n_mask_seeds")
    all_k = range(pool + 1)
    n, n_pool, loss = pl.col("n_subsets"), pl.col("n_subsets_pool"), pl.col("loss").list
    return groups.with_columns(
        n_subsets=loss.len().cast(pl.Int64),
        n_subsets_pool=pl.col("k").replace_strict(
            list(all_k), [comb(pool, k) for k in all_k], return_dtype=pl.Int64
        ),
        n_mask_seeds=pl.col("n_mask_seeds").list.min(),
        loss=loss.mean(),
        sd=loss.std(ddof=1),
        minimum=loss.min(),
        maximum=loss.max(),
    ).with_columns(
        subset_se=pl.when(n == n_pool)
        .then(0.0)
        .otherwise(pl.col("sd") * ((n_pool - n) / (n * n_pool)).sqrt())
    )


def specialists(rows: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the loss of every single expert on every domain, and whether that is its home."""
    single = subset_losses(rows).filter((pl.col("k") == 1) & (pl.col("domain") != MACRO))
    homes = [expert.domain for expert in study.experts]
    home = pl.col("subset").replace_strict(study.expert_names, pl.Series(homes, dtype=pl.String))
    single = single.with_columns(expert="subset", is_own=pl.col("domain") == home)
    return SPECIALISTS.of(in_order(single, study, "expert"))
