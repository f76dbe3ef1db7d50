"""One way of scoring, in a process of its own: seconds, the loss, and memory above the model's.

Kernels are warm before the clock starts, and reading the checkpoint is not counted. Memory is the
peak that the kernel keeps of this process (Linux), set back once all weights have been touched.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.evaluation_text import TOKENIZER, Request, load
from mergelaw.data.encode import Encoded
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.models.loading import load_model

OFFICIAL_LENGTH = 2_048
WARM_TOKENS = 16
MERGELAW, LM_EVAL, OFFICIAL = "mergelaw", "lm_eval", "official"

Score = Callable[[], float]
"""Scores all requests; returns the summed negative log-likelihood in nats."""


def main() -> None:
    """Score once and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=[MERGELAW, LM_EVAL, OFFICIAL])
    parser.add_argument("model", type=Path)
    parser.add_argument("requests", type=Path, help="From `benchmarks.evaluation_text`.")
    parser.add_argument("batch", type=int, help="Padded tokens (mergelaw), items (the others).")
    parser.add_argument("--items", type=int, help="The first so many only.")
    arguments = parser.parse_args()
    requests = load(arguments.requests)[: arguments.items]
    model = load_model(arguments.model, torch.bfloat16)
    ways: dict[str, Callable[[], Score]] = {
        MERGELAW: partial(ours, model, requests, arguments.batch),
        OFFICIAL: partial(official, model, requests),
        LM_EVAL: partial(lm_eval, model, requests, arguments.batch, arguments.requests.parent),
    }
    print(json.dumps(figures(model, ways[arguments.way](), sum(r.n_scored for r in requests))))


def figures(model: Any, score: Score, n_scored: int) -> dict[str, float]:
    """Warm up, score, and return what it took."""
    with torch.inference_mode():
        model(input_ids=torch.zeros((1, WARM_TOKENS), dtype=torch.int64))
    before = set_back_peak()
    start = time.perf_counter()
    nll = score()
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "scored_per_second": round(n_scored / seconds, 2),
        "loss": nll / n_scored,
        "above_model_mb": round((peak_bytes() - before) / 1e6, 1),
    }


def ours(model: Any, requests: Sequence[Request], batch_tokens: int) -> Score:
    """Return the way of this project: what the sweep and `mergelaw evaluate` call."""
    items = as_items(requests)
    return lambda: float(item_nll(model, make_batches(items, batch_tokens), len(items)).sum())


def as_items(requests: Sequence[Request]) -> list[Encoded]:
    """Return requests as the items of a prepared shard."""
    return [
        Encoded(
            np.asarray(request.ids, dtype=np.int32),
            np.arange(len(request.ids)) >= request.n_prompt,
            0,
        )
        for request in requests
    ]


def official(model: Any, requests: Sequence[Request]) -> Score:
    """Return the way of the paper's code: padded to one length, the loss of all logits.

    One item at a time, which on a CPU is its fastest.
    """

    def score() -> float:
        with torch.inference_mode():
            return sum(
                float(model(**padded(request)).loss.double()) * request.n_scored
                for request in requests
            )

    return score


def padded(request: Request) -> dict[str, torch.Tensor]:
    """Return what a causal model of transformers takes: ids, mask, and labels of the response."""
    ids, mask, labels = (torch.zeros((1, OFFICIAL_LENGTH), dtype=torch.int64) for _ in range(3))
    n = len(request.ids)
    if n > OFFICIAL_LENGTH:
        raise SystemExit(f"an item of {n} tokens does not fit the official {OFFICIAL_LENGTH}")
    ids[0, :n] = torch.tensor(request.ids)
    mask[0, :n] = 1
    labels.fill_(-100)
    labels[0, request.n_prompt : n] = ids[0, request.n_prompt : n]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def lm_eval(model: Any, requests: Sequence[Request], batch: int, folder: Path) -> Score:
    """Return the way of lm-evaluation-harness, from its overlay, with its softmax in float32."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    logging.disable(logging.WARNING)  # that it is given a model, not a name
    harness = HFLM(
        pretrained=model,
        tokenizer=AutoTokenizer.from_pretrained(folder / TOKENIZER),
        batch_size=batch,
        softmax_dtype="float32",
        max_length=model.config.max_position_embeddings,
    )
    asked = [
        ((str(index), ""), request.ids[: request.n_prompt], request.ids[request.n_prompt :])
        for index, request in enumerate(requests)
    ]
    return lambda: -sum(nll for nll, _ in harness._loglikelihood_tokens(asked, disable_tqdm=True))


def set_back_peak() -> int:
    """Set the kernel's peak of this process to what it holds now, and return that in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the most resident bytes since the peak was set back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
