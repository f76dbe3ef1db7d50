"""Prepared evaluation text: the held-out items of one domain as tokens, in one safetensors file."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mergelaw.data.digests import added_tokens
from mergelaw.data.encode import Encoded, Encoder
from mergelaw.errors import DataError, listing
from mergelaw.files import atomic_file
from mergelaw.progress import progress
from mergelaw.provenance import digest

METADATA = "mergelaw"
"""The one entry of a shard's metadata: safetensors writes several in random order."""

TENSORS = ("input_ids", "scored", "lengths", "n_truncated", "sources")

REMAKE = "make it again (mergelaw data shards --config FILE)"


@dataclass(frozen=True)
class EvalShard:
    """Tokens of one domain's evaluation items.

    Attributes
    ----------
    domain : str
        Name of the domain.
    items : tuple of Encoded
        The items, in the order of their digests; each has at least one scored token.
    sources : tuple of str
        Where each item was read (`file.json[3]`).
    n_skipped : int
        Items drawn that have no scored token within the longest sequence.
    keys : mapping of str to str
        Digests of what the tokens were made from: `vocabulary`, `tokenizer`, `template` (with the
        system turn, what is scored and the longest sequence) and `data` (the items drawn). `marks`
        are the added tokens that occur in the items, as JSON of their ids and names.
    """

    domain: str
    items: tuple[Encoded, ...]
    sources: tuple[str, ...]
    n_skipped: int
    keys: Mapping[str, str]

    @property
    def vocabulary(self) -> str:
        """Digest of the tokenizer's trained vocabulary."""
        return self.keys["vocabulary"]

    @property
    def marks(self) -> dict[int, str]:
        """Added tokens that occur in the items, by their ids."""
        return {int(place): token for place, token in json.loads(self.keys["marks"]).items()}

    def contents(self) -> dict[str, int | str]:
        """Return what the shard holds and what was cut off, but for `n_heldout`."""
        return {
            "domain": self.domain,
            "n_items": len(self.items),
            "n_skipped": self.n_skipped,
            "n_tokens": sum(len(item.input_ids) for item in self.items),
            "n_scored": int(self.n_tokens.sum()),
            "n_truncated": sum(item.n_truncated for item in self.items),
            "n_items_truncated": sum(item.n_truncated > 0 for item in self.items),
        }

    @property
    def n_tokens(self) -> NDArray[np.int32]:
        """Scored tokens of each item, shape (n_items,)."""
        return np.asarray([item.scored.sum() for item in self.items], dtype=np.int32)


def prepare_shard(
    domain: str, items: pl.DataFrame, encoder: Encoder, n_tokens: int, keys: Mapping[str, str]
) -> EvalShard:
    """Encode held-out items, in the order of their digests, until they hold the token budget.

    Parameters
    ----------
    domain : str
        Name of the domain.
    items : polars.DataFrame
        All items of the domain (columns of `mergelaw.tables.ITEMS`).
    encoder : Encoder
        Tokenizer, longest item, what is scored.
    n_tokens : int
        The budget: tokens within the longest sequence, prompts included.
    keys : mapping of str to str
        `encoder.keys()`, which all domains of a study share.

    Raises
    ------
    DataError
        If an item cannot be encoded, or none has a scored token within the longest sequence.
    """
    rows = items.filter(pl.col("split") == "heldout").sort("item_id")
    encoded, sources, data = list[Encoded](), list[str](), hashlib.sha256()
    n_skipped, budget = 0, n_tokens
    tokens = encoder.encode(rows.iter_rows(named=True))
    drawn = zip(rows.iter_rows(named=True), tokens, strict=True)
    for row, item in progress(drawn, rows.height, f"encode {domain}", "item"):
        data.update(json.dumps([row["messages"], row["plain"]]).encode())
        if item.scored.any():
            encoded.append(item)
            sources.append(row["place"])
            budget -= len(item.input_ids)
        else:
            n_skipped += 1
        if budget <= 0:
            break
    if not encoded:
        raise DataError(
            f"domain {domain!r}: no held-out item has a scored token within "
            f"evaluation.max_length = {encoder.max_length}"
        )
    marks = _marks(encoded, added_tokens(encoder.tokenizer))
    made_of = {**keys, "marks": marks, "data": data.hexdigest()[:16]}
    return EvalShard(domain, tuple(encoded), tuple(sources), n_skipped, made_of)


def _marks(items: list[Encoded], added: Mapping[int, str]) -> str:
    used = set(np.unique(np.concatenate([item.input_ids for item in items])).tolist())
    return json.dumps({str(place): added[place] for place in sorted(added.keys() & used)})


def write_shard(path: Path, shard: EvalShard) -> None:
    """Write a shard atomically: the tensors `TENSORS`, and their digest in the metadata."""
    places = json.dumps(shard.sources, separators=(",", ":")).encode()
    tensors = {
        "input_ids": np.concatenate([item.input_ids for item in shard.items]),
        "scored": np.concatenate([item.scored for item in shard.items]),
        "lengths": np.asarray([len(item.input_ids) for item in shard.items], dtype=np.int32),
        "n_truncated": np.asarray([item.n_truncated for item in shard.items], dtype=np.int32),
        "sources": np.frombuffer(places, dtype=np.uint8),
    }
    facts = {"domain": shard.domain, "n_skipped": shard.n_skipped, "keys": dict(shard.keys)}
    metadata = json.dumps({**facts, "digest": _digest(facts, tensors)})
    with atomic_file(path) as part:
        save_file(tensors, part, {METADATA: metadata})


def read_shards_at(paths: Sequence[Path]) -> list[EvalShard]:
    """Read several shards.

    Raises
    ------
    DataError
        With every one that cannot be read.
    """
    found, problems = [], []
    for path in paths:
        try:
            found.append(read_shard(path))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(problems[0] if len(problems) == 1 else listing("shards", problems))
    return found


def read_shard(path: Path) -> EvalShard:
    """Read a shard, and check it against its digest.

    Raises
    ------
    DataError
        If the file is missing, no shard of this version, or not what was written.
    """
    try:
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in TENSORS}
            facts = json.loads((file.metadata() or {})[METADATA])
            written = facts.pop("digest")
    except FileNotFoundError:
        raise DataError(
            f"{path}: is missing; make it (mergelaw data shards --config FILE)"
        ) from None
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: is not a prepared shard ({error}); {REMAKE}") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not a prepared shard of this version; {REMAKE}") from error
    if written != _digest(facts, tensors):
        raise DataError(f"{path}: is damaged: it does not match its digest; {REMAKE}")
    return _shard(facts, tensors)


def shards_digest(shards: Iterable[EvalShard]) -> str:
    """Return 16 hexadecimal digits of what the text of several domains was made from."""
    return digest([[shard.domain, dict(shard.keys)] for shard in shards])


def _shard(facts: dict[str, Any], tensors: Mapping[str, NDArray[Any]]) -> EvalShard:
    ends = np.cumsum(tensors["lengths"])[:-1]
    parts = zip(
        np.split(tensors["input_ids"], ends),
        np.split(tensors["scored"], ends),
        tensors["n_truncated"].tolist(),
        strict=True,
    )
    return EvalShard(
        domain=facts["domain"],
        items=tuple(Encoded(*part) for part in parts),
        sources=tuple(json.loads(tensors["sources"].tobytes())),
        n_skipped=facts["n_skipped"],
        keys=facts["keys"],
    )


def _digest(facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return 32 hexadecimal digits of the shard's facts, and of its tensors with their types."""
    whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in TENSORS:
        whole.update(f"{name}{tensors[name].dtype}{tensors[name].shape}".encode())
        whole.update(np.ascontiguousarray(tensors[name]).data)
    return whole.hexdigest()[:32]
