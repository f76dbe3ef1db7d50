"""Supervised fine-tuning of one expert on its domain's training items."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from mergelaw.config.models import ExpertTraining
from mergelaw.data.encode import Encoded, Encoder
from mergelaw.errors import DataError
from mergelaw.experts.loop import TrainingBatch, train

IGNORED = -100
"""Label of tokens that are no target."""


def training_items(items: pl.DataFrame, encoder: Encoder) -> list[Encoded]:
    """Encode a domain's training items.

    Raises
    ------
    DataError
        If an item cannot be encoded, or none has a scored token within the longest sequence.
    """
    rows = items.filter(pl.col("split") == "train").sort("item_id").iter_rows(named=True)
    usable = [item for item in encoder.encode(rows) if item.scored.any()]
    if not usable:
        raise DataError(
            f"no training item has a response within max_length = {encoder.max_length} tokens"
        )
    return usable


def sft_batches(
    items: Sequence[Encoded], batch_rows: int, generator: random.Random
) -> Iterator[TrainingBatch]:
    """Yield batches without end: rounds over the items, each in a new random order."""
    waiting: list[Encoded] = []
    while True:
        while len(waiting) < batch_rows:
            waiting += generator.sample(items, len(items))
        yield _collate(waiting[:batch_rows])
        waiting = waiting[batch_rows:]


def fine_tune(
    model: Any, items: Sequence[Encoded], settings: ExpertTraining, seed: str, label: str
) -> float:
    """Fine-tune a base in place; return the last loss, nats/token.

    Parameters
    ----------
    seed : str
        Names the order of the items.
    """
    batches = sft_batches(items, settings.batch_rows, random.Random(seed))
    return train(model, batches, settings, label)


def _collate(items: Sequence[Encoded]) -> TrainingBatch:
    """Pad at the right: a causal model never attends there, and no label is there."""
    length = max(len(item.input_ids) for item in items)
    ids = np.zeros((len(items), length), dtype=np.int64)
    labels = np.full((len(items), length), IGNORED, dtype=np.int64)
    for row, item in enumerate(items):
        ids[row, : len(item.input_ids)] = item.input_ids
        labels[row, : len(item.scored)] = np.where(item.scored, item.input_ids, IGNORED)
    return TrainingBatch(torch.from_numpy(ids), torch.from_numpy(labels))
