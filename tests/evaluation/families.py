"""Random tiny models of many families, and items to score them on."""

import random
from typing import Any

import numpy as np
import torch
import transformers

from mergelaw.data.encode import Encoded

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
    "sliding_window": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "moe_intermediate_size": 16,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
    "llama": {},
    "llama4_text": {},
    "gemma": {},
    "gemma2": {"final_logit_softcapping": 5.0},
    "gemma3_text": {"final_logit_softcapping": 8.0, "layer_types": ["sliding_attention"] * 2},
    "mistral": {},
    "mixtral": {},
    "cohere": {"logit_scale": 0.3},
    "cohere2": {"logit_scale": 0.25, "layer_types": ["sliding_attention", "full_attention"]},
    "granite": {"logits_scaling": 3.0},
    "hyperclovax": {"logits_scaling": 0.4},
    "gpt2": {},
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 24, "init_std": 0.3},
    "olmo2": {},
    "phi3": {},
}
"""Model types, with scales and caps far from what leaves logits as they are."""

OTHER_NAMES = {"gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96}}


def family(kind: str, seed: int = 0, **settings: Any) -> Any:
    """Return a random model of a type, in evaluation mode."""
    known = transformers.CONFIG_MAPPING[kind]()
    wanted = {**SHAPE, **OTHER_NAMES.get(kind, {}), **SETTINGS.get(kind, {}), **settings}
    config = type(known)(**{key: value for key, value in wanted.items() if hasattr(known, key)})
    torch.manual_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def random_items(n: int = 23, seed: int = 0, longest: int = 40) -> list[Encoded]:
    """Return items of 2 tokens and more; some score only their last token, some have gaps."""
    draw = random.Random(seed)
    items = []
    for i in range(n):
        length = draw.randint(2, longest)
        scored = [False] + [draw.random() < 0.6 for _ in range(length - 1)]
        scored[-1] = scored[-1] or i % 3 == 0
        ids = np.array([draw.randrange(300) for _ in range(length)], dtype=np.int32)
        items.append(Encoded(ids, np.array(scored), 0))
    return items
