"""Builders for tests of training: items, texts and runs of tiny models."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mergelaw.config.models import ExpertTraining
from mergelaw.data.encode import Encoded
from mergelaw.experts import loop, objective, processes
from mergelaw.experts.run import TrainingRun
from mergelaw.experts.text import order_of, write_text
from tests.helpers import tiny_model


def encoded(*lengths: int) -> list[Encoded]:
    """Return items of these lengths, whose tokens name them and whose second half is scored."""
    return [
        Encoded(np.full(n, 10 + i, dtype=np.int32), np.arange(n) >= max(1, n // 2), 0)
        for i, n in enumerate(lengths)
    ]


def drawn(*lengths: int, seed: int = 0) -> list[Encoded]:
    """Return items of random tokens of these lengths, of which the later half is scored."""
    generator = np.random.default_rng(seed)
    return [
        Encoded(generator.integers(3, 300, n).astype(np.int32), np.arange(n) >= max(1, n // 2), 0)
        for n in lengths
    ]


def settings_of(**changes: Any) -> ExpertTraining:
    """Return settings of a short training at a fixed rate."""
    given = {"steps": 6, "batch_rows": 4, "learning_rate": 0.01, "learning_rate_width": None}
    return ExpertTraining.model_validate(given | {"max_length": 64} | changes)


def run_of(
    folder: Path, items: list[Encoded], settings: ExpertTraining, **changes: Any
) -> TrainingRun:
    """Write a training's text and return the run; its model is the test's own."""
    progress = folder / "code.progress"
    progress.mkdir(parents=True, exist_ok=True)
    run = TrainingRun(
        size="small",
        expert="code",
        start=None,
        architecture=None,
        tokenizer="",
        seed="0/expert/code",
        n_steps=settings.steps,
        settings=settings,
        progress=str(progress),
        out=str(folder),
        identity={"training items": "1"},
    ).model_copy(update=changes)
    order = order_of(len(items), settings.steps * settings.batch_rows, "0/expert/code")
    places = [f"items[{i}]" for i in range(len(items))]
    write_text(run.text, items, places, order)
    return run


def small_model() -> Any:
    """Return a random model whose loss is near that of uniform words."""
    return tiny_model("Qwen2", initializer_range=0.05)


def train(run: TrainingRun, model: Any, come: Any = lambda: None, first: int | None = None) -> Any:
    """Train a model as a worker does; return it."""
    accelerator = processes.open_processes(run.settings)
    own = loop.Loop(run, accelerator, objective.Trainee(model), model.config.hidden_size, come)
    own.train(own.resume() if first is None else first, lambda step: None)
    own.close()
    return model


def same_weights(one: Any, other: Any) -> bool:
    """Say whether two models have the same bits."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
