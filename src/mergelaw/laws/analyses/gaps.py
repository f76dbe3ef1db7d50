"""Gaps between methods at equal size and k."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import GAPS


def gaps(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return how much worse than plain averaging each method is, in percent, schema `GAPS`.

    ``100 (L / L_reference - 1)`` at k >= 1; the reference is the first entry with the method
    "average", or the first entry where there is none. It has rows (of 0) as well.
    """
    label = study.reference_label
    merges = curves.filter(pl.col("k") > 0)
    reference = merges.filter(pl.col("method") == label).select(
        "size", "domain", "k", reference_loss="loss"
    )
    both = merges.join(reference, on=("size", "domain", "k"), maintain_order="left")
    percent = 100 * (pl.col("loss") / pl.col("reference_loss") - 1)
    return GAPS.of(both.with_columns(reference=pl.lit(label), gap_percent=percent))
