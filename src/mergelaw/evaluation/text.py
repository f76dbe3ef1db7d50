"""The text that models are scored on: all domains in one set of batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mergelaw.data.tokenizer import vocabulary_digest
from mergelaw.errors import DataError, listing
from mergelaw.evaluation.loss import Batch, make_batches
from mergelaw.evaluation.shards import EvalShard


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

    def by_domain(
        self, nll: NDArray[np.float64]
    ) -> Iterator[tuple[EvalShard, NDArray[np.float64]]]:
        """Split per-item sums into (shard, its items' sums)."""
        start = 0
        for shard in self.shards:
            yield shard, nll[start : start + len(shard.items)]
            start += len(shard.items)


def check_vocabulary(text: EvalText, folders: Sequence[Path], model: Any) -> None:
    """Refuse text that was prepared with another tokenizer than the checkpoints'.

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
        If a tokenizer has another vocabulary, or the text has a token without an embedding.
    """
    known = {shard.vocabulary for shard in text.shards}
    problems = [
        f"{file}: has another vocabulary"
        for file in (folder / "tokenizer.json" for folder in folders)
        if file.exists() and {vocabulary_digest(Tokenizer.from_file(str(file)))} != known
    ]
    largest = max(int(batch.input_ids.max()) for batch in text.batches)
    n_embeddings = model.get_input_embeddings().num_embeddings
    if largest >= n_embeddings:
        problems.append(f"the text has token {largest}, the model {n_embeddings} embeddings")
    if problems:
        raise DataError(
            listing("the evaluation text was prepared with another tokenizer", problems)
        )
