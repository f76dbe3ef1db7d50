"""The items of a training, encoded once for all of its processes, and the order they are taken in.

One safetensors file: tokens and masks of all items end to end, and which item stands at each place
of the training. Step s of batches of b items takes places s b to (s + 1) b, so that a training goes
on at the same place after a kill whatever seeds and processes do.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from mergelaw.data.encode import Encoded, Encoder
from mergelaw.errors import DataError
from mergelaw.files import atomic_file
from mergelaw.progress import progress

SHOWN = 3
"""Items that an error names."""


@dataclass(frozen=True)
class Item:
    """One item as it is trained on.

    Attributes
    ----------
    input_ids : int32 array, shape (length,)
    scored : bool array, shape (length,)
        Which tokens are targets; never the first.
    """

    input_ids: NDArray[np.int32]
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class Domain:
    """The training items of one expert.

    Attributes
    ----------
    items : list of Encoded
        Each with a scored token.
    places : list of str
        Where each was read.
    n_left_out : int
        Items of which the cut left no response; they are not trained on.
    """

    items: list[Encoded]
    places: list[str]
    n_left_out: int

    @property
    def n_truncated(self) -> int:
        """Tokens that were cut off items that are trained on."""
        return sum(item.n_truncated for item in self.items)

    @property
    def n_items_truncated(self) -> int:
        """Items that were cut and are trained on."""
        return sum(item.n_truncated > 0 for item in self.items)


def training_items(items: pl.DataFrame, encoder: Encoder, *, truncate: bool, label: str) -> Domain:
    """Encode a domain's training items; held-out ones are never looked at.

    Parameters
    ----------
    items : polars.DataFrame
        All items of the domain (columns of `mergelaw.tables.ITEMS`).
    encoder : Encoder
        Tokenizer and longest item.
    truncate : bool
        Whether longer items are cut; those without a response left are then left out.
    label : str
        For the progress line.

    Raises
    ------
    DataError
        If an item cannot be encoded, is too long and may not be cut, or none is left.
    """
    rows = items.filter(pl.col("split") == "train").sort("item_id")
    encoded = encoder.encode(rows.iter_rows(named=True))
    shown = progress(encoded, rows.height, f"{label}: encode", "item")
    drawn = list(zip(rows["place"].to_list(), shown, strict=True))
    long = [(place, item) for place, item in drawn if item.n_truncated]
    if long and not truncate:
        raise DataError(_too_long(long, len(drawn), encoder.max_length))
    used = [(place, item) for place, item in drawn if item.scored.any()]
    if not used:
        raise DataError(
            f"no training item has a response within max_length = {encoder.max_length} tokens"
        )
    n_left_out = len(drawn) - len(used)
    return Domain([item for _, item in used], [place for place, _ in used], n_left_out)


def _too_long(long: Sequence[tuple[str, Encoded]], n_items: int, most: int) -> str:
    longest = max(len(item.input_ids) + item.n_truncated for _, item in long)
    shown = ", ".join(place for place, _ in long[:SHOWN]) + ", ..." * (len(long) > SHOWN)
    return (
        f"{len(long):,} of {n_items:,} training items are longer than training.expert.max_length = "
        f"{most} tokens, the longest has {longest:,} ({shown}); raise max_length, or allow that "
        "they are cut: training.expert.truncate: true"
    )


def order_of(n_items: int, n_places: int, seed: str) -> NDArray[np.int64]:
    """Return which item stands at each place: rounds over the items, each in a new random order."""
    generator, drawn = random.Random(seed), list[int]()
    while len(drawn) < n_places:
        drawn += generator.sample(range(n_items), n_items)
    return np.asarray(drawn[:n_places], dtype=np.int64)


def joined(orders: Sequence[tuple[int, NDArray[np.int64]]], seed: str) -> NDArray[np.int64]:
    """Return the places of several trainings as one, in random order: each item as often as there.

    Parameters
    ----------
    orders : sequence of (int, int64 array)
        Of each training its number of items, which stand end to end, and its order.
    seed : str
        Names the random order.
    """
    starts = np.cumsum([0, *(n_items for n_items, _ in orders)])
    every = np.concatenate([o + start for (_, o), start in zip(orders, starts, strict=False)])
    random.Random(seed).shuffle(places := every.tolist())
    return np.asarray(places, dtype=np.int64)


def write_text(
    path: Path,
    items: Sequence[Encoded],
    places: Sequence[str],
    order: NDArray[np.int64],
) -> None:
    """Write a training's items and their order.

    Parameters
    ----------
    order : int64 array, shape (steps * batch,)
        An item's number at each place.
    """
    tensors = {
        "input_ids": np.concatenate([item.input_ids for item in items]),
        "scored": np.concatenate([item.scored for item in items]),
        "ends": np.cumsum([len(item.input_ids) for item in items]),
        "order": order,
    }
    with atomic_file(path) as part:
        save_file(tensors, part, {"places": json.dumps(list(places))})


def _opened(path: Path) -> Any:
    """Return the file; its type has no types of its own."""
    return safe_open(path, framework="numpy")


class TrainingText:
    """The items of a training, read from its file as they are asked for.

    Parameters
    ----------
    path : Path
        From `write_text`.
    batch_rows : int
        Items a step.
    """

    def __init__(self, path: Path, batch_rows: int) -> None:
        self._file = _opened(path)
        self._batch = batch_rows
        self._order: NDArray[np.int64] = self._file.get_tensor("order")
        ends: NDArray[np.int64] = self._file.get_tensor("ends")
        self._ends = [0, *ends.tolist()]
        self.places: list[str] = json.loads(self._file.metadata()["places"])

    def numbers(self, step: int) -> list[int]:
        """Return the numbers of the items of a step, counted from 0."""
        chosen: list[int] = self._order[step * self._batch : (step + 1) * self._batch].tolist()
        return chosen

    def items(self, step: int) -> list[Item]:
        """Return the items of a step."""
        return list(self._read(self.numbers(step)))

    def _read(self, numbers: Sequence[int]) -> Iterator[Item]:
        ids, scored = self._file.get_slice("input_ids"), self._file.get_slice("scored")
        for number in numbers:
            span = slice(self._ends[number], self._ends[number + 1])
            yield Item(ids[span], scored[span])
