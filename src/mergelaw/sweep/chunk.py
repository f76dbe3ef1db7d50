"""One job of the sweep: subsets of one size and method, merged and scored on all domains."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.costs import cost_report
from mergelaw.design import BASE, Subset, chunks
from mergelaw.evaluation.checkpoint import score_model
from mergelaw.evaluation.model import n_params
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.merging.checkpoint import ACCUMULATE
from mergelaw.merging.methods import recipe
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.sweep.live import LiveModel
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table


def run_chunk(study: Study, paths: StudyPaths, size: str, method: str, index: int) -> Path:
    """Merge and score the subsets of one chunk; write one row per subset and domain.

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
    """
    entry, chunk = study.method(method), chunks(study, size)[index]
    with cost_report(
        paths.chunk_cost(size, method, index),
        stage="sweep",
        size=size,
        method=method,
        chunk=index,
        n_merges=len(chunk.subsets),
    ):
        base = checkpoint_folder(study, paths, size, BASE)
        experts = {name: checkpoint_folder(study, paths, size, name) for name in chunk.experts}
        vectors = TaskVectors.load(base, experts, study.lineage.check)
        live = LiveModel(base, vectors, getattr(torch, study.dtype))
        text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
        check_vocabulary(text, [base, *experts.values()], live.model)
        rows = [
            {"size": size, "method": method, **row}
            for mask_seed in study.mask_seeds_of(entry)
            for row in _score(study, entry, mask_seed, vectors, chunk.subsets, live, text)
        ]
        origin = provenance(study, "sweep", "chunk", size=size, method=method, chunk=index)
        frame = pl.DataFrame(rows, schema=dict(LOSSES))
        write_table(paths.chunk(size, method, index), frame, LOSSES, LOSSES_KEY, origin)
    return paths.chunk(size, method, index)


def _score(
    study: Study,
    method: Method,
    mask_seed: int,
    vectors: TaskVectors,
    chunk: Sequence[Subset],
    live: LiveModel,
    text: EvalText,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one mask seed."""
    steps = recipe(method, f"{study.seed}/{mask_seed}")
    updates = vectors.sparsified(steps)
    total, nonembedding = n_params(live.model)
    label = f"sweep {method.label}"
    for subset in progress(chunk, len(chunk), label, "merge"):
        updates.merge_into(live.buffer, subset.experts, steps, ACCUMULATE[study.accumulate])
        owner = f"the {method.label} merge of {subset.name}"
        for score in score_model(live.model, text, owner):
            yield {
                "n_params_total": total,
                "n_params_nonembedding": nonembedding,
                "subset": subset.name,
                "k": subset.k,
                "order": subset.name,
                "mask_seed": mask_seed,
                "accumulate": study.accumulate,
                **score.row(),
            }
