"""Pre-training of a ladder base: a real Qwen2 model on rows of a stream of tokens."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Qwen2Config, Qwen2ForCausalLM

from mergelaw.config.models import Architecture
from mergelaw.data.encode import Encoded


def new_model(architecture: Architecture, tokenizer: Any) -> Qwen2ForCausalLM:
    """Return an untrained Qwen2 model with tied embeddings; weights by torch's random numbers."""
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
    return Qwen2ForCausalLM(config)


def stream_rows(tokens: NDArray[np.int32], context: int) -> list[Encoded]:
    """Cut a stream of tokens into rows; every token but a row's first is scored.

    Parameters
    ----------
    tokens : int32 array, shape (rows * context,)
    context : int
        Tokens of a row.
    """
    scored = np.arange(context) > 0
    return [Encoded(row, scored, 0) for row in tokens.reshape(-1, context)]
