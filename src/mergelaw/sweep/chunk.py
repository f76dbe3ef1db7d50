"""One job of the sweep: subsets of one size and method, merged and scored on all domains."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tokenizers import Tokenizer

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.costs import cost_report
from mergelaw.data.tokenizer import vocabulary_digest
from mergelaw.design import BASE, Subset, chunks
from mergelaw.errors import CheckpointError, DataError, listing
from mergelaw.evaluation.loss import item_nll
from mergelaw.evaluation.prepared import read_shards
from mergelaw.merging.methods import merge_into, recipe
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.sweep.live import EvalText, LiveModel
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table

ACCUMULATE = {"float32": torch.float32, "sequential_bfloat16": torch.bfloat16}


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
        vectors = TaskVectors.load(base, experts)
        live = LiveModel(base, vectors, getattr(torch, study.dtype))
        text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
        n_embeddings = live.model.get_input_embeddings().num_embeddings
        _check_vocabulary(text, [base, *experts.values()], n_embeddings)
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
    updates = {expert: steps.sparsify(vectors, expert) for expert in vectors.deltas}
    total, nonembedding = live.n_params()
    label = f"sweep {method.label}"
    for subset in progress(chunk, len(chunk), label, "merge"):
        rows = [updates[expert] for expert in subset.experts]
        merge_into(live.buffer, vectors.base, rows, steps.combine, ACCUMULATE[study.accumulate])
        nll = item_nll(live.model, text.batches, text.n_items)
        for shard, sums in text.by_domain(nll):
            if not np.isfinite(sums).all():
                raise CheckpointError(
                    f"the {method.label} merge of {subset.name} has a loss that is not finite "
                    f"on domain {shard.domain!r}; check those experts"
                )
            yield {
                "n_params_total": total,
                "n_params_nonembedding": nonembedding,
                "subset": subset.name,
                "k": subset.k,
                "order": subset.name,
                "mask_seed": mask_seed,
                "accumulate": study.accumulate,
                "domain": shard.domain,
                "nll_sum": float(sums.sum()),
                "n_tokens": int(shard.n_tokens.sum()),
                "item_nll_sum": sums.tolist(),
                "item_n_tokens": shard.n_tokens.tolist(),
            }


def _check_vocabulary(text: EvalText, folders: Sequence[Path], n_embeddings: int) -> None:
    """Refuse text that was prepared with another tokenizer than the checkpoints'."""
    known = {shard.vocabulary for shard in text.shards}
    files = [folder / "tokenizer.json" for folder in folders]
    other = [
        file
        for file in files
        if file.exists() and {vocabulary_digest(Tokenizer.from_file(str(file)))} != known
    ]
    largest = max(int(batch.input_ids.max()) for batch in text.batches)
    if other or largest >= n_embeddings:
        problems = [f"{file}: has another vocabulary" for file in other]
        if largest >= n_embeddings:
            problems.append(f"the text has token {largest}, the base {n_embeddings} embeddings")
        raise DataError(
            listing("the evaluation text was prepared with the study's tokenizer", problems)
        )
