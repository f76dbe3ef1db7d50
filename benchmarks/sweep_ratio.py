"""The sweep's merges per second over those of a write / from_pretrained / evaluate loop."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from transformers import AutoModelForCausalLM

from mergelaw.config import Study, read_study
from mergelaw.design import BASE, Subset, subsets
from mergelaw.evaluation.loss import item_nll
from mergelaw.evaluation.prepared import read_shards
from mergelaw.merging.methods import Recipe, merge_into, recipe
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.sweep.live import EvalText, LiveModel

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
        in_memory, on_disk = ways(study)
        chosen = list(subsets(study, study.size_names[0]))[1 :: 512 // N_MERGES][:N_MERGES]
        rates = [(rate(in_memory, chosen), rate(on_disk, chosen)) for _ in range(ROUNDS)]
    finally:
        os.chdir(here)
    fast, slow = (median(column) for column in zip(*rates, strict=True))
    return {
        "size": study.size_names[0],
        "in_memory_merges_per_second": round(fast, 1),
        "on_disk_merges_per_second": round(slow, 1),
        "ratio": round(median(a / b for a, b in rates), 2),
    }


def rate(way: Callable[[Subset], None], chosen: list[Subset]) -> float:
    """Return merges per second."""
    start = time.perf_counter()
    for subset in chosen:
        way(subset)
    return len(chosen) / (time.perf_counter() - start)


def ways(study: Study) -> tuple[Callable[[Subset], None], Callable[[Subset], None]]:
    """Return the sweep's way and the plain loop; both merge the same and score the same text."""
    paths, size = StudyPaths.of(study), study.size_names[0]
    base = checkpoint_folder(study, paths, size, BASE)
    vectors = TaskVectors.load(
        base, {name: checkpoint_folder(study, paths, size, name) for name in study.expert_names}
    )
    live = LiveModel(base, vectors, torch.float32)
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    average = recipe(study.methods[0], "")

    def in_memory(subset: Subset) -> None:
        fill(live, vectors, average, subset)
        item_nll(live.model, text.batches, text.n_items)

    def on_disk(subset: Subset) -> None:
        fill(live, vectors, average, subset)
        with tempfile.TemporaryDirectory() as folder:
            live.model.save_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            item_nll(model, text.batches, text.n_items)

    return in_memory, on_disk


def fill(live: LiveModel, vectors: TaskVectors, average: Recipe, subset: Subset) -> None:
    """Merge a subset into the live model."""
    rows = [vectors.deltas[name] for name in subset.experts]
    merge_into(live.buffer, vectors.base, rows, average.combine, torch.float32)
