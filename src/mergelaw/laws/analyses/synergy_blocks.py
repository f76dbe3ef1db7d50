"""Gains summed up: how much an expert gives, a domain takes, and one block gives to another."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.members import domain_blocks, expert_blocks
from mergelaw.laws.schemas.subsets import SYNERGY_BLOCKS, SYNERGY_STRENGTHS

ESTIMATE = ("size", "method", "estimator")


def synergy_strengths(estimators: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return donor and receiver strengths, schema `SYNERGY_STRENGTHS`.

    A donor's strength is the sum of its gains to the domains that are not its home, a receiver's
    the sum over the experts whose home it is not: the off-diagonal sums of the paper (appendix
    M.1). An expert without a home gives to all domains. A sum that lacks a gain has no row.

    Parameters
    ----------
    estimators : polars.DataFrame
        Schema `SYNERGY_ESTIMATORS`.

    Raises
    ------
    NotMadeError
        If there is no gain between an expert and another domain than its home.
    """
    cross = _with_home(estimators, study).filter(~pl.col("at_home"))
    if cross.is_empty():
        raise NotMadeError("no gain of an expert to a domain that is not its home")
    homes = [expert.domain for expert in study.experts]
    expected = {
        "donor": {e.name: len(study.domains) - (e.domain is not None) for e in study.experts},
        "receiver": {name: sum(home != name for home in homes) for name in study.domain_names},
    }
    return pl.concat(_sums(cross, role, counts) for role, counts in expected.items())


def synergy_blocks(estimators: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the mean gain from each block of experts to each block, schema `SYNERGY_BLOCKS`.

    Over all pairs as in the paper (appendix M.1), where the gain of an expert to its own domain
    lifts the blocks on the diagonal, and over pairs across domains alone. An expert is of its home
    domain's block; experts and domains without one are left out.

    Parameters
    ----------
    estimators : polars.DataFrame
        Schema `SYNERGY_ESTIMATORS`.

    Raises
    ------
    NotMadeError
        If the domains have fewer than two blocks, or no expert with a block has a gain.
    """
    receivers = domain_blocks(study)
    if len(set(receivers.values())) < 2:
        raise NotMadeError("fewer than two blocks among the domains: give each its `block`")
    pairs = _with_home(estimators, study).with_columns(
        donor_block=_mapped("donor", expert_blocks(study)),
        receiver_block=_mapped("receiver", receivers),
    )
    pairs = pairs.drop_nulls(["donor_block", "receiver_block"])
    if pairs.is_empty():
        raise NotMadeError("no gain of an expert with a block to a domain with one")
    means = pairs.group_by(*ESTIMATE, "donor_block", "receiver_block", maintain_order=True).agg(
        n_pairs=pl.len(),
        mean_gain=pl.col("gain").mean(),
        mean_gain_cross=pl.col("gain").filter(~pl.col("at_home")).mean(),
    )
    return SYNERGY_BLOCKS.of(means)


def _with_home(estimators: pl.DataFrame, study: Study) -> pl.DataFrame:
    homes = {e.name: e.domain for e in study.experts if e.domain is not None}
    at_home = (_mapped("donor", homes) == pl.col("receiver")).fill_null(False)
    return estimators.with_columns(at_home=at_home)


def _mapped(column: str, values: dict[str, str]) -> pl.Expr:
    """Return the values that belong to a column's names; null where there is none."""
    return pl.col(column).replace_strict(values, default=None, return_dtype=pl.String)


def _sums(cross: pl.DataFrame, role: str, counts: dict[str, int]) -> pl.DataFrame:
    """Return the sums over a role's partners, where no partner is missing."""
    sums = cross.group_by(*ESTIMATE, role, maintain_order=True).agg(
        strength=pl.col("gain").sum(), n=pl.len().cast(pl.Int64)
    )
    expected = pl.col(role).replace_strict(counts, return_dtype=pl.Int64)
    whole = sums.filter(pl.col("n") == expected).rename({role: "name"})
    return SYNERGY_STRENGTHS.of(whole.with_columns(role=pl.lit(role)))
