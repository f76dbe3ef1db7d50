"""Curves over k: means over subsets, their errors, and how complete they are."""

from math import comb

import polars as pl

from mergelaw.config import Study
from mergelaw.design import is_random_sample
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
    points = over_subsets(subset_losses(rows), len(study.experts))
    points = points.join(token_errors(rows, study), on=POINT, how="left")
    cells = points.select("size", "k").unique(maintain_order=True).rows()
    random = [cell for cell in cells if is_random_sample(study, *cell)]
    drawn = pl.DataFrame(random, schema={"size": pl.String, "k": pl.Int64}, orient="row")
    points = points.join(drawn.with_columns(random=True), on=["size", "k"], how="left")
    known = (pl.col("n_subsets") == pl.col("n_subsets_pool")) | pl.col("random").fill_null(False)
    points = points.with_columns(subset_se=pl.when(known).then(pl.col("subset_se"))).drop("random")
    points = points.with_columns(
        loss_se=(pl.col("subset_se") ** 2 + pl.col("token_se") ** 2).sqrt()
    )
    return CURVES.of(in_order(points, study))


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
