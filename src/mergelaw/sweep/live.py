"""A model that merges are written into, and the text that it is scored on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergelaw.errors import CheckpointError
from mergelaw.evaluation.loss import make_batches
from mergelaw.evaluation.shards import EvalShard
from mergelaw.merging.task_vectors import TaskVectors

disable_progress_bar()  # mergelaw shows its own


class LiveModel:
    """A model whose parameters are slices of one flat buffer, so that a merge is one copy.

    Parameters
    ----------
    folder : Path
        Checkpoint of the base.
    vectors : TaskVectors
        Base and experts; their segments must be the model's parameters.
    dtype : torch.dtype
        Type of the merged weights and of the forward pass.
    """

    def __init__(self, folder: Path, vectors: TaskVectors, dtype: torch.dtype) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype
        ).eval()
        parameters = dict(self.model.named_parameters())
        names = {segment.name for segment in vectors.segments}
        if parameters.keys() != names:
            lacks, extra = sorted(parameters.keys() - names), sorted(names - parameters.keys())
            raise CheckpointError(
                f"{folder}: lacks parameters of its model: {lacks[:5]}; "
                f"has tensors that the model does not: {extra[:5]}"
            )
        self.buffer = torch.empty(vectors.base.numel(), dtype=dtype)
        for segment in vectors.segments:
            parameters[segment.name].data = self.buffer[segment.span].view(segment.shape)

    def n_params(self) -> tuple[int, int]:
        """Return the number of parameters, tied weights once: in total, and without embeddings."""
        total = sum(p.numel() for p in self.model.parameters())
        embeddings = {
            id(m.weight): m.weight.numel()
            for m in (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        }
        return total, total - sum(embeddings.values())


@dataclass(frozen=True)
class EvalText:
    """All domains' items as one set of batches, and each domain's items in it."""

    shards: tuple[EvalShard, ...]
    batches: tuple[Any, ...]
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
