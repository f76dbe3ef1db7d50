"""The text that ladder bases are pre-trained on: generic documents and problems written plainly."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mergelaw.config import Study
from mergelaw.data.generic import generate_generic
from mergelaw.errors import DataError

BLOCK = 256
"""Documents drawn and tokenised at a time."""


def documents(study: Study, items: pl.DataFrame) -> Iterator[str]:
    """Yield documents without end: generic ones, and `base` items in rounds of random order.

    Parameters
    ----------
    study : Study
        Its seed decides the mixture; `data.generic_share` is the probability of a generic document.
    items : polars.DataFrame
        Items of all domains (columns of `mergelaw.tables.ITEMS`); only the split `base` is used.
    """
    plain = items.filter(pl.col("split") == "base")["plain"].to_list()
    generator = random.Random(f"{study.seed}/pretraining")
    domain_text = _rounds(plain, generator)
    while True:
        for generic in generate_generic(generator, BLOCK):
            while generator.random() >= study.data.generic_share:
                yield next(domain_text)
            yield generic


def tokenizer_texts(study: Study, items: pl.DataFrame) -> Iterator[str]:
    """Yield the text that the tokenizer is trained on: everything but held-out items."""
    seen = items.filter(pl.col("split") != "heldout").sort("item_id")
    yield from seen["plain"]
    for turns in seen["messages"].to_list():
        yield from (turn["content"] for turn in turns)
    yield from generate_generic(random.Random(f"{study.seed}/tokenizer"), 2000)


def token_stream(
    study: Study, items: pl.DataFrame, tokenizer: Any, n_tokens: int
) -> NDArray[np.int32]:
    """Return the first `n_tokens` of the documents, each closed by the end token.

    Raises
    ------
    DataError
        If the tokenizer has no end token.
    """
    if tokenizer.eos_token_id is None:
        raise DataError("pre-training needs a tokenizer with an eos_token")
    stream, length, source = [], 0, documents(study, items)
    while length < n_tokens:
        block = list(itertools.islice(source, BLOCK))
        for ids in tokenizer(block, add_special_tokens=False)["input_ids"]:
            stream.append(np.asarray([*ids, tokenizer.eos_token_id], dtype=np.int32))
            length += len(stream[-1])
    return np.concatenate(stream)[:n_tokens]


def _rounds(texts: Sequence[str], generator: random.Random) -> Iterator[str]:
    if not texts:
        raise DataError(
            "no items are left for pre-training; raise data.shares.base or generic_share"
        )
    while True:
        yield from generator.sample(texts, len(texts))
