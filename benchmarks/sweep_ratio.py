"""The sweep's merges per second over those of a write / from_pretrained / evaluate loop.

The loop is timed twice: with weights and config only, and as users of checkpoints write it, with
the tokenizer saved beside the weights and loaded again.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from statistics import median

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergelaw.config import Study, read_study
from mergelaw.design import BASE, Subset, subsets
from mergelaw.evaluation.loss import item_nll
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.methods import recipe
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.sweep.engine import Engine

N_MERGES = 48
ROUNDS = 5


def sweep_ratio(folder: Path, config: Path) -> dict[str, float | str]:
    """Time both ways in turn on one thread, in one process, at the study's smallest size.

    Parameters
    ----------
    folder : Path
        Where the finished study lies.
    config : Path
        Its config.

    Returns
    -------
    dict
        Merges per second of each way (median of the rounds) and the median ratio.
    """
    torch.set_num_threads(1)
    study, here = read_study(config), Path.cwd()
    os.chdir(folder)
    try:
        chosen = list(subsets(study, study.size_names[0]))[1 :: 512 // N_MERGES][:N_MERGES]
        with opened(study) as engine:
            rates = [[rate(way, chosen) for way in ways(study, engine)] for _ in range(ROUNDS)]
    finally:
        os.chdir(here)
    fast, weights, whole = (median(column) for column in zip(*rates, strict=True))
    return {
        "size": study.size_names[0],
        "in_memory_merges_per_second": round(fast, 1),
        "weights_on_disk_merges_per_second": round(weights, 1),
        "checkpoint_on_disk_merges_per_second": round(whole, 1),
        "ratio_to_weights_on_disk": round(median(a / b for a, b, _ in rates), 2),
        "ratio_to_checkpoint_on_disk": round(median(a / c for a, _, c in rates), 2),
    }


def rate(way: Callable[[Subset], None], chosen: list[Subset]) -> float:
    """Return merges per second."""
    start = time.perf_counter()
    for subset in chosen:
        way(subset)
    return len(chosen) / (time.perf_counter() - start)


def ways(study: Study, engine: Engine) -> tuple[Callable[[Subset], None], ...]:
    """Return the sweep's way and the two plain loops; all merge and score the same."""
    text = EvalText.of(read_shards(study, StudyPaths.of(study)), study.evaluation.batch_tokens)
    engine.use(recipe(study.methods[0], ""))
    tokenizer = AutoTokenizer.from_pretrained(engine.folders[0])

    def in_memory(subset: Subset) -> None:
        engine.merge(subset.experts)
        item_nll(engine.model, text.batches, text.n_items)

    def on_disk(subset: Subset, with_tokenizer: bool) -> None:
        engine.merge(subset.experts)
        with tempfile.TemporaryDirectory() as folder:
            engine.model.save_pretrained(folder)
            if with_tokenizer:
                tokenizer.save_pretrained(folder)
                AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            item_nll(model, text.batches, text.n_items)

    return in_memory, partial(on_disk, with_tokenizer=False), partial(on_disk, with_tokenizer=True)


def opened(study: Study) -> AbstractContextManager[Engine]:
    """Return the sweep's engine at the smallest size."""
    paths, size = StudyPaths.of(study), study.size_names[0]
    refs = {e: checkpoint_ref(study, paths, size, e) for e in (BASE, *study.expert_names)}
    return Engine.open(study, refs.pop(BASE), refs)
