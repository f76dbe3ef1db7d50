"""Mixtures of blocks against as many experts of one block: loss by the number of blocks."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.members import expert_blocks
from mergelaw.laws.rows import in_order
from mergelaw.laws.schemas.subsets import MIXING

CELL = ("size", "method", "domain", "k")


def mixing(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the loss at each k by the number of blocks in a subset, schema `MIXING`.

    `against_k` compares with the mean of all measured subsets of k, so that the fall with k does
    not enter. Which experts a subset has still does: a block of one expert is never among the
    subsets of one block at k > 1, so that a difference is of experts as well as of their mixture.
    Subsets with an expert without a block are counted in the mean of k alone.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.

    Raises
    ------
    NotMadeError
        If the experts' home domains have fewer than two blocks, or no subset has experts with
        blocks alone.
    """
    blocks = expert_blocks(study)
    if len(set(blocks.values())) < 2:
        raise NotMadeError("fewer than two blocks among the experts' home domains")
    merges = losses.filter(pl.col("k") > 0)
    names = merges["subset"].unique().to_list()
    counts = pl.DataFrame({"subset": names, "n_blocks": [_n_blocks(n, blocks) for n in names]})
    merges = merges.with_columns(mean_of_k=pl.col("loss").mean().over(CELL))
    counted = merges.join(counts.drop_nulls(), on="subset", maintain_order="left")
    if counted.is_empty():
        raise NotMadeError("every measured subset has an expert without a block")
    groups = counted.group_by(*CELL, "n_blocks", maintain_order=True).agg(
        n_subsets=pl.len(),
        sd=pl.col("loss").std(),
        loss=pl.col("loss").mean(),
        mean_of_k=pl.col("mean_of_k").first(),
    )
    groups = groups.with_columns(against_k=pl.col("loss") - pl.col("mean_of_k"))
    return MIXING.of(in_order(groups, study, "n_blocks"))


def _n_blocks(subset: str, blocks: dict[str, str]) -> int | None:
    """Return the number of blocks in a subset; None where an expert has no block."""
    experts = subset.split("+")
    found = {blocks[name] for name in experts if name in blocks}
    return len(found) if all(name in blocks for name in experts) else None
