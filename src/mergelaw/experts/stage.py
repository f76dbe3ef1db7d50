"""The experts stage: bases, experts and the multitask baseline as folders, each with its cost.json.

A folder holds the checkpoint, its tokenizer, `training.parquet` with a row per step, and the model
as it was along its training in `step-{n}`, where the config asks for that.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mergelaw.checkpoints.digests import entries_digest
from mergelaw.checkpoints.store import TensorStore, read_json
from mergelaw.config import Study
from mergelaw.config.models import Architecture, ExpertTraining
from mergelaw.costs import cost_report
from mergelaw.costs.shapes import shape_of_config
from mergelaw.costs.training import PLAIN, TrainingJob
from mergelaw.data.encode import Encoded, Encoder
from mergelaw.data.stage import read_pretraining
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.design import BASE, MULTITASK
from mergelaw.errors import ConfigError
from mergelaw.experts.launch import execute
from mergelaw.experts.log import read_log
from mergelaw.experts.pretrain import stream_rows
from mergelaw.experts.run import TEXT, TrainingRun
from mergelaw.experts.state import last_state
from mergelaw.experts.text import Domain, joined, order_of, training_items, write_text
from mergelaw.files import atomic_directory
from mergelaw.models.devices import sees_gpus
from mergelaw.owner import Owner
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.provenance import ROUNDING_ONLY, STAGE_VERSION, provenance
from mergelaw.signals import EndedBySignal
from mergelaw.tables import ITEMS, TRAINING_LOG, TRAINING_LOG_KEY, read_table, write_table


class Material(NamedTuple):
    """What a training is made from; it may be gigabytes, and is dropped once it is written.

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

    @property
    def squared_lengths(self) -> float:
        """Sum over the places of the squared length of their item."""
        squares = np.array([len(item.input_ids) ** 2 for item in self.items], dtype=np.float64)
        return float(squares[self.order].sum())

    def digest(self) -> str:
        """Return 16 hexadecimal digits of the SHA-256 of tokens, masks and order."""
        content = hashlib.sha256(self.order.tobytes())
        for item in self.items:
            content.update(item.input_ids.tobytes())
            content.update(np.packbits(item.scored).tobytes())
        return content.hexdigest()[:16]


class Prepared(NamedTuple):
    """What is known of a training's items once they are written.

    Attributes
    ----------
    digest : str
        Of tokens, masks and order.
    n_steps : int
        Optimizer steps.
    squared_lengths : float
        Sum over all places of the squared length of their item.
    facts : dict
        For cost.json.
    """

    digest: str
    n_steps: int
    squared_lengths: float
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
    n_rows, context = settings.steps * settings.batch_rows, architecture.context

    def material() -> Material:
        rows = stream_rows(read_pretraining(paths)[: n_rows * context], context)
        return Material(rows, [f"row {number}" for number in range(n_rows)], np.arange(n_rows), {})

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

    def material() -> Material:
        domain, order = _domain(study, paths, size, expert)
        return Material(domain.items, domain.places, order, _facts([domain]))

    return _train(study, paths, size, expert, study.expert_training(size), material)


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

    def material() -> Material:
        parts = [_domain(study, paths, size, expert) for expert in study.multitask_experts]
        domains = [domain for domain, _ in parts]
        order = joined([(len(d.items), o) for d, o in parts], f"{study.seed}/expert/{MULTITASK}")
        items = [item for domain in domains for item in domain.items]
        places = [place for domain in domains for place in domain.places]
        return Material(items, places, order, _facts(domains))

    settings = study.expert_training(size).model_copy(update={"snapshots": ()})
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
        "n_items_left_out": sum(domain.n_left_out for domain in counted),
    }


def _train(
    study: Study,
    paths: StudyPaths,
    size: str,
    expert: str,
    settings: ExpertTraining,
    material: Callable[[], Material],
) -> Path:
    """Do a training, alone at its place, and put its folder there; go on with what was begun."""
    folder, progress = paths.trained(size, expert), paths.training_progress(size, expert)
    sees_gpus()  # granted GPUs that torch does not see are told before, not after days
    with Owner(folder.with_name(f"{expert}.owner")) as owner:
        for left in folder.parent.glob(f".{expert}.????????.part"):  # by attempts that were killed
            shutil.rmtree(left, ignore_errors=True)
        with (
            atomic_directory(folder) as part,
            cost_report(part / "cost.json", stage="experts", size=size, expert=expert) as cost,
        ):
            progress.mkdir(parents=True, exist_ok=True)
            prepared = _prepare(progress / TEXT, settings, material())
            cost |= prepared.facts
            run = _run(study, paths, size, expert, settings, prepared, part)
            cost |= _execute(run, None if expert == BASE else study.size(size).launch)
            owner.check()
            cost |= _finish(study, paths, run, part)
            cost["flops"] = _flops(run, prepared, part, cost)
        shutil.rmtree(progress, ignore_errors=True)
    return folder


def _prepare(path: Path, settings: ExpertTraining, material: Material) -> Prepared:
    """Write the items of a training, and return what is to be known of them."""
    write_text(path, material.items, material.places, material.order)
    n = len(material.order) // settings.batch_rows
    return Prepared(material.digest(), n, material.squared_lengths, material.facts)


def _execute(run: TrainingRun, launch: str | None) -> dict[str, Any]:
    """Do the steps; where a signal ends them, tell what is kept."""
    try:
        return execute(run, launch)
    except EndedBySignal as ended:
        ended.add_note(_kept(Path(run.progress), run.n_steps))
        raise


def _run(
    study: Study,
    paths: StudyPaths,
    size: str,
    expert: str,
    settings: ExpertTraining,
    prepared: Prepared,
    part: Path,
) -> TrainingRun:
    """Return the training as its processes are told of it."""
    start = None if expert == BASE else checkpoint_folder(study, paths, size, BASE)
    architecture = study.size(size).architecture if expert == BASE else None
    return TrainingRun(
        size=size,
        expert=expert,
        start=None if start is None else str(start),
        architecture=architecture,
        tokenizer=str(paths.tokenizer),
        seed=f"{study.seed}/base/{size}" if expert == BASE else f"{study.seed}/expert/{expert}",
        n_steps=prepared.n_steps,
        settings=settings,
        progress=str(paths.training_progress(size, expert)),
        out=str(part),
        identity=_identity(settings, architecture, start, prepared),
    )


def _identity(
    settings: ExpertTraining,
    architecture: Architecture | None,
    start: Path | None,
    prepared: Prepared,
) -> dict[str, str]:
    """Return what decides a training's result, by names that an error can tell."""
    told = {
        "training": settings.model_dump(mode="json", exclude=ROUNDING_ONLY),
        "architecture": architecture.model_dump(mode="json") if architecture else {},
    }
    identity = {
        f"{section}.{key}": json.dumps(value)
        for section, values in told.items()
        for key, value in values.items()
    }
    identity |= {"training items": prepared.digest, "version": str(STAGE_VERSION["experts"])}
    if start is not None:
        identity["base checkpoint"] = entries_digest(TensorStore.open(start).entries.values())
    return identity


def _flops(run: TrainingRun, prepared: Prepared, part: Path, cost: Mapping[str, Any]) -> float:
    """Return the operations of the whole training, as `mergelaw estimate` counts them."""
    shape = shape_of_config(cost["n_params"], read_json(part / "config.json"))
    own = TrainingJob(shape, run.settings, PLAIN, 1, cost["n_tokens"], prepared.squared_lengths)
    return own.flops


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
        # Not moved: an attempt that fails after this must leave them to the next.
        shutil.copytree(progress / f"step-{step}", part / f"step-{step}", copy_function=_linked)
    return {
        "last_loss": log["loss"][-1],
        "n_tokens": int(log["n_tokens"].sum()),
        "n_scored": int(log["n_scored"].sum()),
    }


def _linked(source: str, target: str) -> None:
    """Link a file, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _kept(progress: Path, n_steps: int) -> str:
    step = last_state(progress)
    if step is None:
        return "nothing of this training is kept: run again, it begins anew"
    return f"{step} of {n_steps} steps are kept in {progress}: the same job, run again, goes on"
