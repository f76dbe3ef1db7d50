"""Pre-training of a ladder base: a real Qwen2 model on a stream of tokens."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Qwen2Config, Qwen2ForCausalLM

from mergelaw.config.models import Architecture, BaseTraining
from mergelaw.experts.loop import TrainingBatch, train


def new_model(architecture: Architecture, tokenizer: Any, seed: str) -> Qwen2ForCausalLM:
    """Return an untrained Qwen2 model with tied embeddings; weights depend on `seed` alone."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        max_position_embeddings=architecture.context,
        initializer_range=architecture.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(random.Random(seed).getrandbits(63))
    return Qwen2ForCausalLM(config)


def pretraining_batches(
    tokens: NDArray[np.int32], settings: BaseTraining, context: int
) -> Iterator[TrainingBatch]:
    """Yield steps of `batch_rows` consecutive rows of `context` tokens."""
    rows = torch.from_numpy(tokens.astype(np.int64)).view(-1, settings.batch_rows, context)
    for batch in rows:
        yield TrainingBatch(batch, batch)


def pretrain(
    architecture: Architecture,
    tokens: NDArray[np.int32],
    tokenizer: Any,
    settings: BaseTraining,
    seed: str,
    label: str,
) -> tuple[Qwen2ForCausalLM, float]:
    """Train a base from scratch.

    Parameters
    ----------
    tokens : int32 array, shape (n,)
        The stream; the first steps * batch_rows * context tokens are used.
    seed : str
        Names the initial weights.

    Returns
    -------
    model, float
        The trained model and its last loss, nats/token.
    """
    model = new_model(architecture, tokenizer, seed)
    needed = settings.steps * settings.batch_rows * architecture.context
    loss = train(
        model, pretraining_batches(tokens[:needed], settings, architecture.context), settings, label
    )
    return model, loss
