"""The experts stage: bases, experts and the multitask baseline as folders, each with its cost.json.

A folder holds the checkpoint, its tokenizer, `training.parquet` with a row per step, and the model
as it was along its training in `step-{n}`, where the config asks for that.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mergelaw.checkpoints.digests import entries_digest
from mergelaw.checkpoints.store import TensorStore
from mergelaw.config import Study
from mergelaw.config.models import ExpertTraining
from mergelaw.costs import cost_report
from mergelaw.costs.model import training_flops
from mergelaw.data.encode import Encoded, Encoder
from mergelaw.data.stage import read_pretraining
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.design import BASE, MULTITASK
from mergelaw.errors import ConfigError
from mergelaw.experts.launch import execute
from mergelaw.experts.log import read_log
from mergelaw.experts.pretrain import stream_rows
from mergelaw.experts.run import TrainingRun
from mergelaw.experts.state import last_state
from mergelaw.experts.text import Domain, joined, order_of, training_items, write_text
from mergelaw.files import atomic_directory
from mergelaw.models.devices import sees_gpus
from mergelaw.owner import Owner
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.provenance import digest, provenance
from mergelaw.signals import EndedBySignal
from mergelaw.tables import ITEMS, TRAINING_LOG, TRAINING_LOG_KEY, read_table, write_table


class Material(NamedTuple):
    """What a training is made from.

    Attributes
    ----------
    items : list of Encoded
        All items.
    places : list of str
        Where each was read.
    order : int64 array
        Which item stands at each place of the training.
    facts : dict
        For cost.json.
    """

    items: list[Encoded]
    places: list[str]
    order: NDArray[np.int64]
    facts: dict[str, Any]


def train_base(study: Study, paths: StudyPaths, size: str) -> Path:
    """Pre-train the base of one size.

    Raises
    ------
    ConfigError
        If the size's base is given as a checkpoint.
    """
    architecture = study.size(size).architecture
    if architecture is None:
        raise ConfigError(f"size {size!r} has a given base; there is nothing to pre-train")
    own = study.training.base.model_dump() | {"max_length": architecture.context}
    settings = ExpertTraining.model_validate(own)
    n_rows = settings.steps * settings.batch_rows
    tokens = read_pretraining(paths)[: n_rows * architecture.context]
    rows = stream_rows(tokens, architecture.context)
    places = [f"row {number}" for number in range(n_rows)]
    material = Material(rows, places, np.arange(n_rows), {})
    return _train(study, paths, size, BASE, settings, material)


def train_expert(study: Study, paths: StudyPaths, size: str, expert: str) -> Path:
    """Fine-tune one expert of one size on its home domain.

    Raises
    ------
    ConfigError
        If the expert is given as a checkpoint, or has no home domain.
    DataError
        If its items cannot be trained on as the config says.
    CheckpointError
        If the base cannot be loaded.
    TrainingError
        If the training cannot go on.
    """
    if study.expert(expert).domain is None or expert in study.size(size).experts:
        raise ConfigError(f"expert {expert!r} of size {size!r} is given; there is nothing to train")
    settings = study.expert_training(size)
    domain, order = _domain(study, paths, size, expert)
    material = Material(domain.items, domain.places, order, _facts([domain]))
    return _train(study, paths, size, expert, settings, material)


def train_multitask(study: Study, paths: StudyPaths, size: str) -> Path:
    """Fine-tune one model on the items of all experts, each as often as its expert sees it.

    Raises
    ------
    ConfigError
        If the study has no multitask baseline.
    CheckpointError, DataError, TrainingError
        As `train_expert`.
    """
    if study.multitask is None:
        raise ConfigError("multitask: is missing; without it no multitask baseline is trained")
    parts = [_domain(study, paths, size, expert) for expert in study.multitask_experts]
    domains = [domain for domain, _ in parts]
    order = joined([(len(d.items), o) for d, o in parts], f"{study.seed}/expert/{MULTITASK}")
    items = [item for domain in domains for item in domain.items]
    places = [place for domain in domains for place in domain.places]
    settings = study.expert_training(size).model_copy(update={"snapshots": ()})
    material = Material(items, places, order, _facts(domains))
    return _train(study, paths, size, MULTITASK, settings, material)


def _domain(
    study: Study, paths: StudyPaths, size: str, expert: str
) -> tuple[Domain, NDArray[np.int64]]:
    """Return an expert's items and the order in which it sees them."""
    settings, home = study.expert_training(size), str(study.expert(expert).domain)
    encoder = Encoder(
        load_tokenizer(paths.tokenizer), settings.max_length, system=study.tokenizer.system
    )
    table = read_table(paths.items(home), ITEMS)
    domain = training_items(table, encoder, truncate=settings.truncate, label=home)
    n_places = settings.n_steps(len(domain.items)) * settings.batch_rows
    return domain, order_of(len(domain.items), n_places, f"{study.seed}/expert/{expert}")


def _facts(domains: Iterable[Domain]) -> dict[str, Any]:
    counted = list(domains)
    return {
        "n_items": sum(len(domain.items) for domain in counted),
        "n_truncated": sum(domain.n_truncated for domain in counted),
        "n_items_truncated": sum(domain.n_items_truncated for domain in counted),
    }


def _train(
    study: Study,
    paths: StudyPaths,
    size: str,
    expert: str,
    settings: ExpertTraining,
    material: Material,
) -> Path:
    """Do a training, alone at its place, and put its folder there; go on with what was begun."""
    folder, progress = paths.trained(size, expert), paths.training_progress(size, expert)
    sees_gpus()  # granted GPUs that torch does not see are told before, not after days
    with (
        Owner(folder.with_name(f"{expert}.owner")) as owner,
        atomic_directory(folder) as part,
        cost_report(
            part / "cost.json", stage="experts", size=size, expert=expert, **material.facts
        ) as cost,
    ):
        progress.mkdir(parents=True, exist_ok=True)
        run = _run(study, paths, size, expert, settings, material, part)
        write_text(run.text, material.items, material.places, material.order)
        try:
            cost |= execute(run, None if expert == BASE else study.size(size).launch)
        except EndedBySignal as ended:
            ended.add_note(_kept(progress, run.n_steps))
            raise
        owner.check()
        cost |= _finish(study, paths, run, part)
        cost["flops"] = training_flops(cost["n_params"], cost["n_tokens"])
    shutil.rmtree(progress, ignore_errors=True)
    return folder


def _run(
    study: Study,
    paths: StudyPaths,
    size: str,
    expert: str,
    settings: ExpertTraining,
    material: Material,
    part: Path,
) -> TrainingRun:
    """Return the training as its processes are told of it."""
    start = None if expert == BASE else checkpoint_folder(study, paths, size, BASE)
    identity = {
        "training settings": digest([settings.model_dump(mode="json", exclude=NOT_IDENTITY)]),
        "training items": _items_digest(material),
    }
    if start is not None:
        identity["the base checkpoint"] = entries_digest(TensorStore.open(start).entries.values())
    return TrainingRun(
        size=size,
        expert=expert,
        start=None if start is None else str(start),
        architecture=study.size(size).architecture if expert == BASE else None,
        tokenizer=str(paths.tokenizer),
        seed=f"{study.seed}/base/{size}" if expert == BASE else f"{study.seed}/expert/{expert}",
        n_steps=len(material.order) // settings.batch_rows,
        settings=settings,
        progress=str(paths.training_progress(size, expert)),
        out=str(part),
        identity=identity,
    )


NOT_IDENTITY = {"save_minutes", "micro_batch_rows", "gradient_checkpointing", "attention"}
"""Settings that may change between two attempts at a training."""


def _items_digest(material: Material) -> str:
    content = hashlib.sha256(material.order.tobytes())
    for item in material.items:
        content.update(item.input_ids.tobytes())
        content.update(np.packbits(item.scored).tobytes())
    return content.hexdigest()[:16]


def _finish(study: Study, paths: StudyPaths, run: TrainingRun, part: Path) -> dict[str, Any]:
    """Put tokenizer, log and snapshots beside the weights; return what the log tells."""
    progress = Path(run.progress)
    load_tokenizer(paths.tokenizer).save_pretrained(part)
    log = read_log(progress / "log.jsonl", run.size, run.expert)
    targets = {"size": run.size}
    if run.expert not in (BASE, MULTITASK):
        targets["expert"] = run.expert
    job = run.expert if run.expert in (BASE, MULTITASK) else "expert"
    origin = provenance(study, "experts", job, **targets)
    write_table(part / "training.parquet", log, TRAINING_LOG, TRAINING_LOG_KEY, origin)
    for step in run.snapshot_steps:
        shutil.move(progress / f"step-{step}", part / f"step-{step}")
    return {
        "last_loss": log["loss"][-1],
        "n_tokens": int(log["n_tokens"].sum()),
        "n_scored": int(log["n_scored"].sum()),
    }


def _kept(progress: Path, n_steps: int) -> str:
    step = last_state(progress)
    if step is None:
        return "nothing of this training is kept: run again, it begins anew"
    return f"{step} of {n_steps} steps are kept in {progress}: the same job, run again, goes on"
