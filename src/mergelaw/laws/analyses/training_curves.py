"""Losses of trainings as they went: short enough to be drawn, with the mean over the experts."""

import polars as pl

from mergelaw.config import Study
from mergelaw.design import MULTITASK
from mergelaw.errors import NotMadeError
from mergelaw.laws.schemas.training import TRAINING_CURVES

MOST_STRETCHES = 100
"""Points of a curve, at most: a training may have ten thousand steps."""


def training_curves(logs: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the training loss of every expert, of their mean and of the multitask baseline.

    The steps of a training are cut into equal stretches; the loss of a stretch is that of all its
    response tokens. The experts of one size have the same number of stretches, so that their mean,
    in which each counts alike, is at equal shares of their trainings.

    Parameters
    ----------
    logs : polars.DataFrame
        Columns of `mergelaw.tables.TRAINING_LOG`.

    Returns
    -------
    polars.DataFrame
        With the schema `TRAINING_CURVES`.

    Raises
    ------
    NotMadeError
        If no training has a log.
    """
    frames = []
    for size in study.size_names:
        at_size = logs.filter(size=size).sort("step")
        experts = at_size.filter(pl.col("expert").is_in(study.expert_names))
        curves = stretched(experts, _shortest(experts))
        mean = pl.col("share", "training_tokens", "loss", "learning_rate").mean()
        means = curves.group_by("size", "stretch", maintain_order=True).agg(mean)
        both = at_size.filter(expert=MULTITASK)
        parts = (curves, means.with_columns(expert=None), stretched(both, _shortest(both)))
        frames += [TRAINING_CURVES.of(part) for part in parts if part.height]
    if not frames:
        raise NotMadeError("no training of an expert has a log")
    return pl.concat(frames)


def stretched(log: pl.DataFrame, n_stretches: int) -> pl.DataFrame:
    """Cut each training into stretches: the columns of `TRAINING_CURVES`, training by training.

    Parameters
    ----------
    log : polars.DataFrame
        Steps in rising order; no training has fewer of them than `n_stretches`.
    """
    training = ("size", "expert")
    place, count = pl.int_range(pl.len()).over(training), pl.len().over(training)
    steps = log.with_columns(
        stretch=place * n_stretches // count + 1,
        share=(place + 1) / count,
        training_tokens=pl.col("n_tokens").cum_sum().over(training),
    )
    n_scored = pl.col("n_scored")
    return steps.group_by(*training, "stretch", maintain_order=True).agg(
        pl.col("share", "training_tokens").last(),
        loss=(pl.col("loss") * n_scored).sum() / n_scored.sum(),
        learning_rate=pl.col("learning_rate").mean(),
    )


def _shortest(log: pl.DataFrame) -> int:
    """Return the number of stretches that every training of a log can have."""
    lengths: list[int] = log.group_by("expert").len()["len"].to_list()
    return min([MOST_STRETCHES, *lengths])
