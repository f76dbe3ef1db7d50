"""Prepared evaluation text: the held-out items of one domain as tokens, in one safetensors file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mergelaw.config.models import Evaluation
from mergelaw.data.encode import Encoded, encode
from mergelaw.errors import DataError
from mergelaw.files import atomic_file

METADATA = "mergelaw"
"""The one entry of a shard's metadata: safetensors writes several in random order."""


@dataclass(frozen=True)
class EvalShard:
    """Tokens of one domain's evaluation items.

    Attributes
    ----------
    domain : str
        Name of the domain.
    items : tuple of Encoded
        The items, in the order of their digests; each has at least one scored token.
    vocabulary : str
        Digest of the tokenizer's vocabulary.
    n_skipped : int
        Items drawn that have no scored token within `max_length`.
    """

    domain: str
    items: tuple[Encoded, ...]
    vocabulary: str
    n_skipped: int

    def contents(self) -> dict[str, int | str]:
        """Return what the shard holds and what was cut off, but for `n_heldout`."""
        return {
            "domain": self.domain,
            "n_items": len(self.items),
            "n_skipped": self.n_skipped,
            "n_tokens": sum(len(item.input_ids) for item in self.items),
            "n_scored": int(self.n_tokens.sum()),
            "n_truncated": sum(item.n_truncated for item in self.items),
        }

    @property
    def n_tokens(self) -> NDArray[np.int32]:
        """Scored tokens of each item, shape (n_items,)."""
        return np.asarray([item.scored.sum() for item in self.items], dtype=np.int32)


def prepare_shard(
    domain: str, items: pl.DataFrame, tokenizer: Any, settings: Evaluation, vocabulary: str
) -> EvalShard:
    """Encode held-out items, in the order of their digests, until they hold the token budget.

    Parameters
    ----------
    domain : str
        Name of the domain.
    items : polars.DataFrame
        All items of the domain (columns of `mergelaw.tables.ITEMS`).
    tokenizer : transformers fast tokenizer
        The study's tokenizer.
    settings : Evaluation
        Token budget, longest item, what is scored.
    vocabulary : str
        Digest of the tokenizer's vocabulary.

    Raises
    ------
    DataError
        If no item has a scored token within `max_length`.
    """
    encoded: list[Encoded] = []
    n_skipped, budget = 0, settings.tokens_per_domain
    for row in items.filter(pl.col("split") == "heldout").sort("item_id").iter_rows(named=True):
        if budget <= 0:
            break
        item = encode(
            tokenizer, row["messages"], row["plain"], settings.max_length, settings.scored
        )
        if item.scored.any():
            encoded.append(item)
            budget -= len(item.input_ids)
        else:
            n_skipped += 1
    if not encoded:
        raise DataError(
            f"domain {domain!r}: no held-out item has a scored token within "
            f"evaluation.max_length = {settings.max_length}"
        )
    return EvalShard(domain, tuple(encoded), vocabulary, n_skipped)


def write_shard(path: Path, shard: EvalShard) -> None:
    """Write a shard atomically: `input_ids`, `scored`, `lengths`, `n_truncated`."""
    tensors = {
        "input_ids": np.concatenate([item.input_ids for item in shard.items]),
        "scored": np.concatenate([item.scored for item in shard.items]),
        "lengths": np.asarray([len(item.input_ids) for item in shard.items], dtype=np.int32),
        "n_truncated": np.asarray([item.n_truncated for item in shard.items], dtype=np.int32),
    }
    with atomic_file(path) as part:
        save_file(
            tensors, part, {METADATA: json.dumps([shard.domain, shard.vocabulary, shard.n_skipped])}
        )


def read_shard(path: Path) -> EvalShard:
    """Read a shard.

    Raises
    ------
    DataError
        If the file is missing or broken.
    """
    try:
        with safe_open(path, "numpy") as file:
            ids, scored, lengths, cut = (
                file.get_tensor(name) for name in ("input_ids", "scored", "lengths", "n_truncated")
            )
            domain, vocabulary, n_skipped = json.loads((file.metadata() or {})[METADATA])
    except KeyError as error:
        raise DataError(
            f"{path}: is not a prepared shard of this version; make it again (mergelaw data shards)"
        ) from error
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: is not a prepared shard ({error}); make it again") from error
    ends = np.cumsum(lengths)[:-1]
    parts = zip(np.split(ids, ends), np.split(scored, ends), cut.tolist(), strict=True)
    return EvalShard(domain, tuple(Encoded(*part) for part in parts), vocabulary, n_skipped)
