"""The text that models are scored on: all domains in one set of batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mergelaw.costs.inputs import TextLength
from mergelaw.data.digests import vocabulary_digest
from mergelaw.errors import DataError, listing
from mergelaw.evaluation.loss import Batch, make_batches
from mergelaw.evaluation.shards import EvalShard
from mergelaw.models.rotary import stretch_of


@dataclass(frozen=True)
class EvalText:
    """All domains' items as one set of batches, and each domain's items in it."""

    shards: tuple[EvalShard, ...]
    batches: tuple[Batch, ...]
    n_items: int

    @classmethod
    def of(cls, shards: Sequence[EvalShard], batch_tokens: int) -> "EvalText":
        """Batch the items of all domains together, by length."""
        items = [item for shard in shards for item in shard.items]
        return cls(tuple(shards), make_batches(items, batch_tokens), len(items))

    @cached_property
    def length(self) -> TextLength:
        """Tokens of all items together."""
        items = [item for shard in self.shards for item in shard.items]
        lengths = [len(item.input_ids) for item in items]
        return TextLength(
            len(items),
            sum(lengths),
            sum(int(item.scored.sum()) for item in items),
            float(sum(length**2 for length in lengths)),
            prepared=True,
        )

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of the largest batch."""
        return max((batch.input_ids.numel() for batch in self.batches), default=0)

    def by_domain(
        self, nll: NDArray[np.float64]
    ) -> Iterator[tuple[EvalShard, NDArray[np.float64]]]:
        """Split per-item sums into (shard, its items' sums)."""
        start = 0
        for shard in self.shards:
            yield shard, nll[start : start + len(shard.items)]
            start += len(shard.items)

    def item_source(self, index: int) -> str:
        """Name an item by its number in its domain's shard and the place where it was read.

        Parameters
        ----------
        index : int
            Number of the item among those of all domains, as in the batches.
        """
        for shard in self.shards:
            if index < len(shard.items):
                return f"item {index} of domain {shard.domain!r} ({shard.sources[index]})"
            index -= len(shard.items)
        raise IndexError(index)


def check_vocabulary(text: EvalText, folders: Sequence[Path], model: Any) -> None:
    """Refuse text that was not prepared for these checkpoints.

    Parameters
    ----------
    text : EvalText
        What is scored.
    folders : sequence of Path
        Checkpoints; one without `tokenizer.json` is known by its embeddings alone.
    model : transformers causal language model
        Made from them.

    Raises
    ------
    DataError
        If a tokenizer has another vocabulary, the text has a token without an embedding, an item
        is longer than the model's context, or its loss would depend on its batch; all are listed.
    """
    problems = [
        *_other_vocabularies(text, folders),
        *_unknown_tokens(text, model),
        *_too_long(text, model),
        *_stretched(text, model),
    ]
    if problems:
        raise DataError(listing("the evaluation text does not fit these checkpoints", problems))


def _other_vocabularies(text: EvalText, folders: Sequence[Path]) -> Iterator[str]:
    known = {shard.vocabulary for shard in text.shards}
    marks = {pair for shard in text.shards for pair in shard.marks.items()}
    found: dict[bytes, bool] = {}  # by content: the files of a pool are mostly the same, and large
    for file in (folder / "tokenizer.json" for folder in folders):
        if not file.exists():
            continue
        content = file.read_bytes()
        if content not in found:
            other = _tokenizer(file, content)
            same = all(other.id_to_token(place) == token for place, token in marks)
            found[content] = same and {vocabulary_digest(other)} == known
        if not found[content]:
            yield (
                f"{file}: has another vocabulary than the tokenizer that the text was prepared "
                "with (tokenizer.path): losses in nats per token do not compare"
            )


def _tokenizer(file: Path, content: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises bare exceptions
        raise DataError(
            f"{file}: is not a tokenizer ({error}); copy it from the model's source again"
        ) from error


def _unknown_tokens(text: EvalText, model: Any) -> Iterator[str]:
    largest = max(int(item.input_ids.max()) for shard in text.shards for item in shard.items)
    n_embeddings = model.get_input_embeddings().num_embeddings
    if largest >= n_embeddings:
        yield f"the text has token {largest}, the model {n_embeddings} embeddings"


def _too_long(text: EvalText, model: Any) -> Iterator[str]:
    """Name the longest item if it has no place in the model's context, where that is limited."""
    stretch = stretch_of(model)
    if stretch and stretch.grows:  # frequencies for any length
        return
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    source, length = _longest(text)
    if context is not None and length > context:
        yield (
            f"{source} has {length} tokens, the model's context "
            f"(max_position_embeddings) {context}: prepare the text with "
            f"evaluation.max_length = {context} or less"
        )


def _stretched(text: EvalText, model: Any) -> Iterator[str]:
    """Name the longest item if rotary positions make some losses depend on the batch."""
    stretch = stretch_of(model)
    if stretch is None:
        return
    kind, limit = stretch
    shapes = [tuple(batch.input_ids.shape) for batch in text.batches]
    if any(items > 1 and length > limit for items, length in shapes):
        source, length = _longest(text)
        yield (
            f"{source} has {length} tokens, and the model's rotary positions ({kind}) are others "
            f"in a batch of more than {limit}, for short items too: prepare the text with "
            f"evaluation.max_length = {limit} or less, or score with evaluation.batch_tokens = "
            f"{2 * limit} or less, which puts each longer item in a batch of its own (1: every "
            "item)"
        )


def _longest(text: EvalText) -> tuple[str, int]:
    """Return the longest item's name and its tokens."""
    items = [item for shard in text.shards for item in shard.items]
    longest = max(range(len(items)), key=lambda index: len(items[index].input_ids))
    return text.item_source(longest), len(items[longest].input_ids)
