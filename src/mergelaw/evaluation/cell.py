"""A study's materialised cell, scored from disk: rows as the sweep's, and the same sums."""

from pathlib import Path

import polars as pl

from mergelaw.cells import Cell
from mergelaw.config import Study
from mergelaw.evaluation.checkpoint import open_checkpoint, score_model
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText
from mergelaw.models.loading import n_params
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table


def score_cell(study: Study, paths: StudyPaths, cell: Cell) -> Path:
    """Score the checkpoint of a cell on every domain; write one row per domain.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.LOSSES`).

    Raises
    ------
    CheckpointError
        If the checkpoint is missing or cannot be loaded, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer.
    """
    folder = paths.merged(cell.size, cell.method, cell.name)
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    model = open_checkpoint(folder, text, study.dtype)
    total, nonembedding = n_params(model)
    facts = {
        "size": cell.size,
        "n_params_total": total,
        "n_params_nonembedding": nonembedding,
        "method": cell.method,
        "subset": cell.subset.name,
        "k": cell.subset.k,
        "order": cell.subset.name,
        "mask_seed": cell.mask_seed,
        "accumulate": study.accumulate,
    }
    rows = [facts | score.row() for score in score_model(model, text, str(folder))]
    frame = pl.DataFrame(rows, schema=dict(LOSSES))
    targets = {"size": cell.size, "method": cell.method, "subset": cell.name}
    origin = provenance(study, "merge", "cell_losses", **targets)
    origin |= {"text": shards_digest(text.shards)}
    path = paths.merged_losses(cell.size, cell.method, cell.name)
    write_table(path, frame, LOSSES, LOSSES_KEY, origin)
    return path
