"""A sweep's time over that of the forward passes alone, and its merges against memory bandwidth.

Both in turn in one process, over the same tokens: the sweep's engine merges, scores and keeps the
sums; the forward passes alone are the backbone's, and the head's at the scored positions, with no
loss taken and no weight changed.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluation_text import load
from benchmarks.evaluation_way import as_items
from benchmarks.processes import say
from mergelaw.config import Study, read_study
from mergelaw.config.methods import Method
from mergelaw.costs.memory import HOLDINGS, Holding
from mergelaw.design import BASE, Subset, subsets
from mergelaw.evaluation.loss import Batch
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import EvalShard
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.methods import recipe
from mergelaw.models.loading import n_params
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.sweep.engine import Engine
from mergelaw.sweep.finished import Finished

EVERY = 7
"""Of the ladder's 512 subsets, in the design's order: every k in about its share."""
LADDER_ROUNDS = 5
POOL_KS = (1, 5, 9)
HEAD_ENTRIES = 2**24
"""Logits that the forward passes alone hold at once: as many as scoring does on a processor."""
COPY_ENTRIES = 2**28
COPIES = 5
ENGINE_SECONDS = ("merge_seconds", "score_seconds")


@dataclass(frozen=True)
class Workload:
    """What is swept.

    Attributes
    ----------
    study : Study
        Methods, types, seed.
    base : Path
    experts : mapping of str to Path
    text : EvalText
    subsets : sequence of Subset
        Merged in this order.
    rounds : int
        So many times, forward passes, a sweep and forward passes are timed.
    n_passes : int
        Forward passes of the text before the sweep, and after it.
    """

    study: Study
    base: Path
    experts: Mapping[str, Path]
    text: EvalText
    subsets: Sequence[Subset]
    rounds: int
    n_passes: int


def main() -> None:
    """Measure one pool and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="Of the ladder; the pool takes its methods.")
    parser.add_argument("--pool", type=Path, help="Checkpoints; else the ladder's smallest size.")
    parser.add_argument("--requests", type=Path, help="What the pool is scored on.")
    parser.add_argument("--holding", choices=HOLDINGS, help="Else chosen by the free memory.")
    arguments = parser.parse_args()
    study = read_study(arguments.config)
    if arguments.pool is None:
        torch.set_num_threads(1)  # as the ladder's jobs
        print(json.dumps(figures(ladder(study))))
    else:
        work = pool(study, arguments.pool, arguments.requests)
        print(json.dumps(figures(work, arguments.holding)))


def ladder(study: Study) -> Workload:
    """Return the smallest size of a study whose text and experts lie below the working folder."""
    paths, size = StudyPaths.of(study), study.size_names[0]
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    experts = {name: checkpoint_folder(study, paths, size, name) for name in study.expert_names}
    base = checkpoint_folder(study, paths, size, BASE)
    chosen = list(subsets(study, size))[1::EVERY]
    return Workload(study, base, experts, text, chosen, LADDER_ROUNDS, len(chosen) // 2)


def pool(study: Study, folder: Path, requests: Path) -> Workload:
    """Return the benchmark's checkpoints, merged in bfloat16 by the study's methods."""
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("expert"))
    items = tuple(as_items(load(requests)))
    places = tuple(f"{requests.name}[{index}]" for index in range(len(items)))
    shard = EvalShard("all", items, places, n_skipped=0, keys={})
    text = EvalText.of([shard], sum(len(item.input_ids) for item in items))
    chosen = [Subset(tuple(names[:k])) for k in POOL_KS]
    experts = {name: folder / name for name in names}
    study = study.model_copy(update={"dtype": "bfloat16"})
    return Workload(study, folder / BASE, experts, text, chosen, 1, 1)


def figures(work: Workload, holding: Holding | None = None) -> dict[str, Any]:
    """Return each method's figures, and what they are of."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine.open(work.study, work.base, work.experts, holding) as engine,
    ):
        bandwidth = copy_bandwidth()
        passes(engine.model, work.text.batches)  # warm
        path = Path(folder) / "progress"
        methods = {m.label: method_figures(engine, work, m, path) for m in work.study.methods}
        for row in methods.values():
            row["merge_over_bandwidth"] = round(
                row["merge_seconds"] / (row["merge_bytes"] / bandwidth), 2
            )
        total, nonembedding = n_params(engine.model)
        return {
            "n_params_total": total,
            "n_params_nonembedding": nonembedding,
            "dtype": work.study.dtype,
            "holding": engine.holding,
            "threads": torch.get_num_threads(),
            "n_scored": sum(len(batch.targets) for batch in work.text.batches),
            "mean_k": round(statistics.mean(subset.k for subset in work.subsets), 2),
            "n_subsets": len(work.subsets),
            "copy_gb_per_second": round(bandwidth / 1e9, 1),
            "methods": methods,
        }


def method_figures(engine: Engine, work: Workload, method: Method, path: Path) -> dict[str, float]:
    """Return the medians of one method's rounds."""
    prepare = timed(lambda: engine.use(recipe(method, f"{work.study.seed}/0")))
    before = engine.costs()
    rounds = [one_round(engine, work, path) for _ in range(work.rounds)]
    after, merges = engine.costs(), work.rounds * len(work.subsets)
    merge, score = ((after[key] - before[key]) / merges for key in ENGINE_SECONDS)
    sweeps, forwards = zip(*rounds, strict=True)
    say(f"{method.label}: {sweeps[0]:.4g} s a subset, {forwards[0]:.4g} s of them forward passes")
    return {
        "prepare_seconds": round(prepare, 4),
        "merge_seconds": round(merge, 6),
        "merge_bytes": merge_bytes(engine, work.subsets),
        "sweep_seconds": round(statistics.median(sweeps), 5),
        "forward_seconds": round(statistics.median(forwards), 5),
        "ratio": round(statistics.median(a / b for a, b in rounds), 3),
        "ratio_to_scoring": round(statistics.mean(sweeps) / score, 3),
    }


def one_round(engine: Engine, work: Workload, path: Path) -> tuple[float, float]:
    """Return the seconds of a subset in the sweep, and of a forward pass beside it."""

    def forward() -> float:
        calls = range(work.n_passes)
        return timed(lambda: [passes(engine.model, work.text.batches) for _ in calls])

    before = forward()
    swept = timed(lambda: sweep(engine, work, path)) / len(work.subsets)
    return swept, (before + forward()) / (2 * work.n_passes)


def sweep(engine: Engine, work: Workload, path: Path) -> None:
    """Merge, score and keep the sums of all subsets, as a job of the sweep does."""
    with Finished(path, "bench") as finished:
        for subset in engine.merged(work.subsets):
            scores = engine.score(work.text, subset.name)
            finished.add((0, subset.name), [score.item_nll_sum for score in scores])
        finished.remove()


@torch.inference_mode()
def passes(model: Any, batches: Sequence[Batch]) -> None:
    """Run the backbone over all tokens and the head over the scored positions."""
    head = model.get_output_embeddings()
    for batch in batches:
        states = model.base_model(input_ids=batch.input_ids.to(model.device), use_cache=False)
        rows = states.last_hidden_state.flatten(0, 1)[batch.positions.to(model.device)]
        for part in rows.split(max(1, HEAD_ENTRIES // model.config.vocab_size)):
            head(part)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def merge_bytes(engine: Engine, chosen: Sequence[Subset]) -> int:
    """Return the bytes that a merge reads and writes at least: base and experts as held, once."""
    n, out = engine.live.weights.numel(), engine.live.weights.itemsize
    held = {"float32": 4, "stored": out, "streamed": out}[engine.holding]
    return round(statistics.mean(n * (held * (1 + subset.k) + out) for subset in chosen))


def copy_bandwidth() -> float:
    """Return the bytes per second, read and written, of copying memory with all threads."""
    source, out = torch.zeros(COPY_ENTRIES), torch.zeros(COPY_ENTRIES)
    seconds = [timed(lambda: out.copy_(source)) for _ in range(COPIES)]
    return 2 * source.nbytes / statistics.median(seconds)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
