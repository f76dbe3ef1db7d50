"""Scoring on a GPU: share of the matrix units' speed, merges' overhead, models per hour.

Random weights in bfloat16. The speed that the share is of is that of one large matrix product,
measured in the same run.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from mergelaw.data.encode import Encoded
from mergelaw.evaluation.loss import item_nll, make_batches

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "0.5B": {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4_864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "7B": {
        "vocab_size": 152_064,
        "hidden_size": 3_584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
}
N_ITEMS, LENGTH, BATCH_TOKENS = 64, 1_024, 16_384
PRODUCT = 8_192
REPEATS = 5
TOKENS_PER_MODEL = 1_000_000


def main() -> None:
    """Print the figures as JSON; a line in words where there is no GPU."""
    if not torch.cuda.is_available():
        print(json.dumps({"skipped": "there is no GPU here"}))
        return
    device = torch.device("cuda")
    peak = product_flops(device, PRODUCT)
    found = {name: figures(device, shape, peak) for name, shape in SHAPES.items()}
    facts = {"device": torch.cuda.get_device_name(device), "product_tflops": round(peak / 1e12)}
    print(json.dumps(facts | found))


def product_flops(device: torch.device, n: int) -> float:
    """Return the operations per second of a product of two n by n matrices in bfloat16."""
    left, right = torch.randn(2, n, n, device=device, dtype=torch.bfloat16)
    return 2 * n**3 / timed(device, lambda: left @ right)


def figures(device: torch.device, shape: Mapping[str, Any], peak: float) -> dict[str, float]:
    """Return one shape's figures; all tokens but the first of each item are scored.

    Operations are two per weight of a matrix and token, and those of causal attention. A merge's
    overhead on scoring is that of copying the weights from pinned memory: the next merge is made
    on the processor meanwhile, which `make bench-eval` times in its sweep.
    """
    config = Qwen2Config(**shape)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    rng, scored = np.random.default_rng(0), np.arange(LENGTH) > 0
    ids = rng.integers(0, config.vocab_size, (N_ITEMS, LENGTH), dtype=np.int32)
    batches = make_batches([Encoded(row, scored, 0) for row in ids], BATCH_TOKENS)
    seconds = timed(device, lambda: item_nll(model, batches, N_ITEMS))
    weights = torch.cat([parameter.detach().flatten().cpu() for parameter in model.parameters()])
    staged = weights.pin_memory() if device.type == "cuda" else weights
    target = torch.empty_like(weights, device=device)
    copying = timed(device, lambda: target.copy_(staged))
    n_tokens = N_ITEMS * LENGTH
    whole = TOKENS_PER_MODEL / n_tokens * seconds + copying
    return {
        "tokens_per_second": round(n_tokens / seconds),
        "share_of_product": round(flops(model, n_tokens) / seconds / peak, 3),
        "copy_seconds": round(copying, 4),
        "models_per_hour_of_1m_tokens": round(3600 / whole, 1),
    }


def flops(model: Any, n_tokens: int) -> float:
    """Return the operations of scoring items of one length: matrices, head, causal attention."""
    config = model.config
    embedding = model.get_input_embeddings().weight.numel()
    head = model.get_output_embeddings().weight.numel()
    tied = head if config.tie_word_embeddings else 0
    matrices = sum(p.numel() for p in model.parameters() if p.ndim > 1) - embedding + tied
    attention = 2 * config.num_hidden_layers * config.hidden_size * LENGTH
    return float(n_tokens * (2 * matrices + attention))


def timed(device: torch.device, work: Callable[[], object]) -> float:
    """Return the median seconds of a call, once warm."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
