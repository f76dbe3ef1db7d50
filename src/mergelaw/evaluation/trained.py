"""Trained models scored from disk: the multitask baseline, and experts along their training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.costs.model import training_flops
from mergelaw.design import BASE, MULTITASK, Subset
from mergelaw.errors import CheckpointError
from mergelaw.evaluation.cell import checkpoint_losses
from mergelaw.evaluation.checkpoint import open_checkpoint, score_model
from mergelaw.evaluation.memory import Room
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText
from mergelaw.models.loading import n_params
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.tables import (
    LOSSES,
    LOSSES_KEY,
    SNAPSHOTS,
    SNAPSHOTS_KEY,
    TRAINING_LOG,
    read_table,
    write_table,
)


def score_multitask(study: Study, paths: StudyPaths, size: str) -> Path:
    """Score the multitask baseline of a size on every domain; write one row per domain.

    Returns
    -------
    Path
        The table, as the sweep's: the method is `multitask`, the subset the experts whose items it
        was trained on.

    Raises
    ------
    CheckpointError
        If the checkpoint is missing or cannot be loaded, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer.
    """
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    subset = Subset(tuple(sorted(study.multitask_experts)))
    folder = paths.trained(size, MULTITASK)
    frame = checkpoint_losses(study, folder, text, subset, size=size, method=MULTITASK)
    origin = provenance(study, "experts", "multitask_losses", size=size)
    origin |= {"text": shards_digest(text.shards)}
    path = paths.multitask_losses(size)
    write_table(path, frame, LOSSES, LOSSES_KEY, origin)
    return path


class Snapshot(NamedTuple):
    """An expert as it was after some steps; step 0 is the base."""

    folder: Path
    step: int
    training_tokens: int


def score_snapshots(study: Study, paths: StudyPaths, size: str) -> Path:
    """Score the experts that were trained at a size along their training; write a row per step.

    Each is scored on its own domain alone: the base (step 0), what was kept of the training, and
    the expert itself.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.SNAPSHOTS`); empty where all experts are given.

    Raises
    ------
    CheckpointError
        If a checkpoint is missing or cannot be loaded, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer.
    TableError
        If the log of a training is missing or broken.
    """
    shards = read_shards(study, paths)
    texts = {shard.domain: EvalText.of([shard], study.evaluation.batch_tokens) for shard in shards}
    trained = _trained(study, size)
    kept = [(name, snapshot) for name in trained for snapshot in snapshots_of(paths, size, name)]
    rows = list(_base_rows(study, paths, size, trained, texts)) if trained else []
    for expert, snapshot in progress(kept, len(kept), f"snapshots {size}", "model"):
        text = texts[trained[expert]]
        model = open_checkpoint(snapshot.folder, text, study.dtype)
        rows.append({"size": size, "expert": expert} | _row(model, snapshot, text))
    frame = pl.DataFrame(rows, schema=dict(SNAPSHOTS)).sort("expert", "step")
    origin = provenance(study, "experts", "snapshot_losses", size=size)
    path = paths.snapshot_losses(size)
    write_table(path, frame, SNAPSHOTS, SNAPSHOTS_KEY, origin | {"text": shards_digest(shards)})
    return path


def snapshots_of(paths: StudyPaths, size: str, expert: str) -> list[Snapshot]:
    """Return what is kept of an expert's training, the expert itself last; not the base.

    Raises
    ------
    CheckpointError
        If a snapshot is of a step that the log of the training does not have.
    TableError
        If that log is missing or broken.
    """
    log = read_table(paths.training_log(size, expert), TRAINING_LOG).sort("step")
    tokens = dict(zip(log["step"], log["n_tokens"].cum_sum(), strict=True))
    folder, last = paths.trained(size, expert), int(log["step"][-1])
    steps = sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))
    unknown = [step for step in steps if step not in tokens]
    if unknown:
        raise CheckpointError(
            f"{folder}: has a snapshot of step {unknown[0]}, and its training.parquet ends at "
            f"step {last}: train the expert again"
        )
    kept = {step: paths.snapshot(size, expert, step) for step in steps} | {last: folder}
    return [Snapshot(place, step, tokens[step]) for step, place in kept.items()]


def _trained(study: Study, size: str) -> dict[str, str]:
    """Return the home domain of each expert that is trained at a size."""
    given = study.size(size).experts
    homes = {expert.name: expert.domain for expert in study.experts if expert.name not in given}
    return {name: domain for name, domain in homes.items() if domain is not None}


def _base_rows(
    study: Study, paths: StudyPaths, size: str, trained: dict[str, str], texts: dict[str, EvalText]
) -> Iterator[dict[str, Any]]:
    """Yield the base's row of every expert; it is loaded once, and scored once on a domain."""
    start = Snapshot(checkpoint_folder(study, paths, size, BASE), 0, 0)
    domains = list(dict.fromkeys(trained.values()))
    own = [shard for name in domains for shard in texts[name].shards]
    whole = EvalText.of(own, study.evaluation.batch_tokens)
    model = open_checkpoint(start.folder, whole, study.dtype)
    room = Room()
    found = {name: _row(model, start, texts[name], room) for name in domains}
    for expert, domain in trained.items():
        yield {"size": size, "expert": expert} | found[domain]


def _row(
    model: Any, snapshot: Snapshot, text: EvalText, room: Room | None = None
) -> dict[str, Any]:
    """Return the row of a model that is scored on one domain, without size and expert."""
    [score] = score_model(model, text, str(snapshot.folder), room)
    total, nonembedding = n_params(model)
    return {
        "n_params_total": total,
        "n_params_nonembedding": nonembedding,
        "step": snapshot.step,
        "training_tokens": snapshot.training_tokens,
        "training_flops": training_flops(total, snapshot.training_tokens),
    } | score.row()
