"""The paper's Table 16 by k: each metric once, with one orientation."""

import polars as pl

from mergelaw.laws import published
from mergelaw.laws.downstream import means_by_k, metrics_of, subset_scores
from mergelaw.laws.schemas.published import PUBLISHED_DOWNSTREAM

SERIES = "llama3.1-8b task_arithmetic"
TABLE = "Table 16"
LOWER = ("wildguard_micro_harm", "harmbench_micro_asr")
"""Harmful answers and successful attacks: lower is better."""


def table_16() -> pl.DataFrame:
    """Return Table 16's means by k, from `mergelaw.laws.downstream.means_by_k`."""
    scores = subset_scores(published.subset_scores(), TABLE, "subset")
    return means_by_k(scores, metrics_of(scores, LOWER, TABLE))


def published_downstream() -> pl.DataFrame:
    """Return Table 16's means by k with the schema `PUBLISHED_DOWNSTREAM`."""
    return PUBLISHED_DOWNSTREAM.of(table_16().with_columns(series=pl.lit(SERIES)))
