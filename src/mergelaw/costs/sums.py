"""Sums over rows of costs.parquet: what is not known of one row is not known of their sum."""

from typing import Any

import polars as pl

ALWAYS = ("n_jobs", "wall_seconds", "n_failed", "failed_seconds")
"""Columns of `mergelaw.tables.COSTS` that every row tells."""

OF_JOBS = ("cpu_seconds", "n_merges", "prepare_seconds", "merge_seconds")
"""Those that are summed over jobs that are done."""

OF_MODELS = ("device_hours", "n_tokens", "flops", "energy_joules")
"""Those that are summed over the jobs that ran models, where there are any."""

LARGEST = ("peak_memory_bytes", "peak_device_bytes")


def summed(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the sum of each column of some rows, and the largest peaks of memory.

    Returns
    -------
    dict of str to float or None
        By column; None where a row does not tell it, or there is none.
    """
    done = frame.filter(pl.col("n_jobs") > 0)
    models = done.filter(pl.col("device").is_not_null())
    models = done if models.is_empty() else models
    attempts = frame.drop_nulls("failed_device_hours")
    return {
        **{name: frame[name].sum() for name in ALWAYS},
        **{name: _sum(done[name]) for name in OF_JOBS},
        **{name: _sum(models[name]) for name in OF_MODELS},
        **{name: done[name].max() for name in LARGEST},
        "failed_device_hours": _sum(attempts["failed_device_hours"]),
    }


def _sum(values: pl.Series) -> Any:
    known = len(values) > 0 and values.null_count() == 0
    return values.sum() if known else None


def rows_of(frame: pl.DataFrame, *rules: str, size: str | None = None) -> pl.DataFrame:
    """Return the rows of some rules, at one size or at all."""
    of_rules = frame.filter(pl.col("rule").is_in(rules))
    return of_rules if size is None else of_rules.filter(pl.col("size") == size)


def seconds_per_merge(frame: pl.DataFrame) -> tuple[float, float] | None:
    """Return the mean seconds of a merge: alone, and with its share of what is prepared once.

    Returns
    -------
    tuple of float or None
        None where the rows tell of no merge.
    """
    total = summed(frame.drop_nulls(["n_merges", "merge_seconds"]))
    merges, seconds = total["n_merges"], total["merge_seconds"]
    if not merges or seconds is None:
        return None
    return seconds / merges, (seconds + (total["prepare_seconds"] or 0.0)) / merges
