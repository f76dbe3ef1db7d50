"""A study's materialised cell, scored from disk: rows as the sweep's, and the same sums."""

from pathlib import Path

import polars as pl

from mergelaw.cells import Cell
from mergelaw.config import Study
from mergelaw.design import Subset
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
    frame = checkpoint_losses(
        study, folder, text, cell.subset, size=cell.size, method=cell.method, seed=cell.mask_seed
    )
    targets = {"size": cell.size, "method": cell.method, "subset": cell.name}
    origin = provenance(study, "merge", "cell_losses", **targets)
    origin |= {"text": shards_digest(text.shards)}
    path = paths.merged_losses(cell.size, cell.method, cell.name)
    write_table(path, frame, LOSSES, LOSSES_KEY, origin)
    return path


def checkpoint_losses(
    study: Study,
    folder: Path,
    text: EvalText,
    subset: Subset,
    *,
    size: str,
    method: str,
    seed: int = 0,
) -> pl.DataFrame:
    """Score a checkpoint that stands for a subset, as the sweep scores it in memory.

    Parameters
    ----------
    folder : Path
        The checkpoint.
    text : EvalText
        What it is scored on.
    subset : Subset
        The experts that it is made from.
    size, method : str
        What its rows are called.
    seed : int
        The mask seed it was merged with.

    Returns
    -------
    polars.DataFrame
        One row per domain, with the columns of `mergelaw.tables.LOSSES`.
    """
    model = open_checkpoint(folder, text, study.dtype)
    total, nonembedding = n_params(model)
    facts = {
        "size": size,
        "n_params_total": total,
        "n_params_nonembedding": nonembedding,
        "method": method,
        "subset": subset.name,
        "k": subset.k,
        "order": subset.name,
        "mask_seed": seed,
        "accumulate": study.accumulate,
    }
    rows = [facts | score.row() for score in score_model(model, text, str(folder))]
    return pl.DataFrame(rows, schema=dict(LOSSES))
