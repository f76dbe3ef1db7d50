"""The experts stage: bases and experts as checkpoint folders, each with its cost.json."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergelaw.config import Study
from mergelaw.costs import cost_report
from mergelaw.data.encode import Encoder
from mergelaw.data.stage import read_pretraining
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError, ConfigError
from mergelaw.experts.pretrain import pretrain
from mergelaw.experts.sft import fine_tune, training_items
from mergelaw.files import atomic_directory
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.tables import ITEMS, read_table

disable_progress_bar()  # mergelaw shows its own


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
    tokenizer = load_tokenizer(paths.tokenizer)
    folder, settings = paths.trained(size, BASE), study.training.base
    n_tokens = settings.steps * settings.batch_rows * architecture.context
    with (
        atomic_directory(folder) as part,
        cost_report(part / "cost.json", stage="experts", size=size, n_tokens=n_tokens) as cost,
    ):
        model, cost["last_loss"] = pretrain(
            architecture,
            read_pretraining(paths),
            tokenizer,
            settings,
            seed=f"{study.seed}/base/{size}",
            label=f"base {size}",
        )
        _save(model, tokenizer, part)
    return folder


def train_expert(study: Study, paths: StudyPaths, size: str, expert: str) -> Path:
    """Fine-tune one expert of one size on its home domain.

    Raises
    ------
    ConfigError
        If the expert is given as a checkpoint, or has no home domain.
    CheckpointError
        If the base cannot be loaded.
    """
    domain = study.expert(expert).domain
    if domain is None or expert in study.size(size).experts:
        raise ConfigError(f"expert {expert!r} of size {size!r} is given; there is nothing to train")
    tokenizer = load_tokenizer(paths.tokenizer)
    settings, folder = study.training.expert, paths.trained(size, expert)
    encoder = Encoder(tokenizer, settings.max_length, system=study.tokenizer.system)
    items = training_items(read_table(paths.items(domain), ITEMS), encoder)
    with (
        atomic_directory(folder) as part,
        cost_report(part / "cost.json", stage="experts", size=size, expert=expert) as cost,
    ):
        model = load_model(checkpoint_folder(study, paths, size, BASE))
        cost["n_truncated"] = sum(item.n_truncated for item in items)
        cost["last_loss"] = fine_tune(
            model,
            items,
            settings,
            seed=f"{study.seed}/expert/{expert}",
            label=f"expert {size} {expert}",
        )
        _save(model, tokenizer, part)
    return folder


def load_model(folder: Path) -> Any:
    """Load a causal language model from a local folder, in float32; nothing is fetched.

    Raises
    ------
    CheckpointError
        If the folder holds no loadable checkpoint.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype="float32")
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: cannot be loaded as a causal language model ({error})"
        ) from error


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
