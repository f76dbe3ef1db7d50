"""One job of the sweep: subsets of one size and method, merged and scored on all domains."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.costs import cost_report
from mergelaw.design import BASE, Chunk, chunks
from mergelaw.evaluation.checkpoint import Score
from mergelaw.evaluation.model import n_params
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.merging.methods import recipe
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.progress import progress
from mergelaw.provenance import digest, provenance, versions
from mergelaw.sweep.engine import Engine, arithmetic
from mergelaw.sweep.finished import Finished
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table


def run_chunk(study: Study, paths: StudyPaths, size: str, method: str, index: int) -> Path:
    """Merge and score the subsets of one chunk; write one row per subset and domain.

    A job that was killed goes on from the subsets that it had scored.

    Parameters
    ----------
    size, method : str
        Name of the size, label of the method.
    index : int
        Index of the chunk in the design.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.LOSSES`).

    Raises
    ------
    CheckpointError
        If experts do not match the base, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer, or does not fit the model.
    """
    chunk, targets = chunks(study, size)[index], {"size": size, "method": method, "chunk": index}
    experts = {name: checkpoint_ref(study, paths, size, name) for name in chunk.experts}
    base = checkpoint_ref(study, paths, size, BASE)
    origin = provenance(study, "sweep", "chunk", **targets)
    facts = {"stage": "sweep", **targets, "slice": origin["slice"]}
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    with (
        cost_report(paths.chunk_cost(size, method, index), **facts) as cost,
        Engine.open(study, base, experts) as engine,
    ):
        check_vocabulary(text, engine.folders, engine.model)
        identity = digest([origin["slice"], *_inputs(engine, text)])
        with Finished(paths.chunk_progress(size, method, index), identity) as finished:
            cost["n_resumed"] = len(finished.sums)
            _score(study, study.method(method), chunk, engine, text, finished)
            cost["n_merges"] = len(finished.sums) - cost["n_resumed"]
            rows = _rows(study, size, method, chunk, engine, text, finished)
            frame = pl.DataFrame(list(rows), schema=dict(LOSSES))
            origin |= {"text": shards_digest(text.shards)}
            origin |= arithmetic(study, recipe(study.method(method), ""))
            write_table(paths.chunk(size, method, index), frame, LOSSES, LOSSES_KEY, origin)
            finished.remove()
            cost |= engine.costs() | {"n_tokens": n_tokens(text)}
    return paths.chunk(size, method, index)


def _inputs(engine: Engine, text: EvalText) -> Iterator[object]:
    """Yield what decides a chunk's sums beside the config, to the last bit on one machine."""
    yield from (engine.identity, versions())
    yield shards_digest(text.shards)
    yield [list(batch.input_ids.shape) for batch in text.batches]


def _score(
    study: Study, method: Method, chunk: Chunk, engine: Engine, text: EvalText, finished: Finished
) -> None:
    """Merge and score the subsets that are not finished."""
    for mask_seed in study.mask_seeds_of(method):
        done = [s for s in chunk.subsets if (mask_seed, s.name) in finished.sums]
        todo = [s for s in chunk.subsets if (mask_seed, s.name) not in finished.sums]
        if done:
            print(f"{method.label}: goes on after {len(done)} of {len(chunk.subsets)} merges")
        if todo:
            engine.use(recipe(method, f"{study.seed}/{mask_seed}"), done)
        for subset in progress(engine.merged(todo), len(todo), f"sweep {method.label}", "merge"):
            owner = f"the {method.label} merge of {subset.name}"
            scores = engine.score(text, owner)
            finished.add((mask_seed, subset.name), [score.item_nll_sum for score in scores])


def _rows(
    study: Study,
    size: str,
    method: str,
    chunk: Chunk,
    engine: Engine,
    text: EvalText,
    finished: Finished,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all subsets, in the order in which they were scored."""
    total, nonembedding = n_params(engine.model)
    k_of = {subset.name: subset.k for subset in chunk.subsets}
    for (mask_seed, name), sums in finished.sums.items():
        for shard, items in zip(text.shards, sums, strict=True):
            yield {
                "size": size,
                "n_params_total": total,
                "n_params_nonembedding": nonembedding,
                "method": method,
                "subset": name,
                "k": k_of[name],
                "order": name,
                "mask_seed": mask_seed,
                "accumulate": study.accumulate,
                **Score.of(shard, items).row(),
            }


def n_tokens(text: EvalText) -> int:
    """Return the tokens that a model reads to be scored on a text."""
    return sum(len(item.input_ids) for shard in text.shards for item in shard.items)
