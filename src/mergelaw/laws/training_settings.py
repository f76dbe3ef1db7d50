"""What an expert's training was, setting by setting: tokens, steps and how far experts moved."""

from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.tables import ALL_TENSORS

LENGTH = {"steps", "epochs"}
"""Keys of a training that decide how many tokens it sees, and nothing else."""


def trainings(logs: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the mean training of a size's experts: columns size, training_tokens, steps.

    Parameters
    ----------
    logs : polars.DataFrame
        Schema `mergelaw.tables.TRAINING_LOG`, all sizes.
    """
    experts = logs.filter(pl.col("expert").is_in(study.expert_names))
    each = experts.group_by("size", "expert").agg(
        training_tokens=pl.col("n_tokens").sum(), steps=pl.col("step").max()
    )
    means = each.group_by("size").agg(pl.col("training_tokens", "steps").mean())
    return means.sort(pl.col("size").cast(pl.Enum(study.size_names)))


def movements(vectors: pl.DataFrame) -> pl.DataFrame:
    """Return how far experts are from their base: size, task_vector_norm, mean_vector_norm.

    The norm of the mean of M vectors follows from their products, ``|sum v| = (sum v_i v_j)^1/2``.

    Parameters
    ----------
    vectors : polars.DataFrame
        Schema `mergelaw.tables.TASK_VECTORS`, all sizes; no method changes these columns.
    """
    whole = vectors.filter(pl.col("tensor") == ALL_TENSORS)
    of_one = whole.filter(pl.col("method") == pl.col("method").first().over("size"))
    squared = pl.col("dots").list.sum().sum()
    return of_one.group_by("size", maintain_order=True).agg(
        task_vector_norm=pl.col("norm").mean(),
        mean_vector_norm=squared.clip(0).sqrt() / pl.len(),
    )


def described(study: Study, size: str) -> dict[str, Any]:
    """Return what the config says of a size's setting, by the columns of the table `CAPACITY`."""
    entry, training = study.size(size), study.expert_training(size)
    return {
        "size": size,
        "base_size": entry.base_size,
        "setting": entry.setting or None,
        "learning_rate": training.learning_rate,
        "lora_rank": training.lora.rank if training.lora else None,
    }


def same_but_longer(study: Study, base_size: str) -> list[str]:
    """Return the sizes of one base whose training differs from the reference's in length alone."""
    reference = study.expert_training(base_size).model_dump(exclude=LENGTH)
    return [
        size.name
        for size in study.sizes
        if size.base_size == base_size
        and study.expert_training(size.name).model_dump(exclude=LENGTH) == reference
    ]
