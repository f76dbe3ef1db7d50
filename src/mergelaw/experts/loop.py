"""The training loop on accelerate that pre-training and fine-tuning share."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from mergelaw.config.models import BaseTraining
from mergelaw.errors import TrainingError
from mergelaw.progress import progress

FINAL_RATE_SHARE = 0.1
"""Share of the peak learning rate at which the cosine ends."""


@dataclass(frozen=True)
class TrainingBatch:
    """One step's rows.

    Attributes
    ----------
    input_ids : int64 tensor, shape (rows, length)
    labels : int64 tensor, shape (rows, length)
        The tokens that are targets; -100 elsewhere.
    """

    input_ids: Tensor
    labels: Tensor


def learning_rate(settings: BaseTraining, hidden_size: int) -> float:
    """Return the peak learning rate: it scales with learning_rate_width / hidden_size."""
    width = settings.learning_rate_width
    return settings.learning_rate * (width / hidden_size if width else 1.0)


def train(
    model: Any, batches: Iterable[TrainingBatch], settings: BaseTraining, label: str
) -> float:
    """Train a model in place and return the last step's loss.

    Parameters
    ----------
    model : transformers causal language model
    batches : iterable of TrainingBatch
        At least `settings.steps` batches.
    settings : BaseTraining
        AdamW, warm-up, cosine.
    label : str
        Names the run in progress lines and errors.

    Returns
    -------
    float
        Loss of the last step, nats/token.

    Raises
    ------
    TrainingError
        If a loss is not finite; names the step.
    """
    accelerator = Accelerator()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=learning_rate(settings, model.config.hidden_size),
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    schedule = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer,
        round(settings.warmup_share * settings.steps),
        settings.steps,
        min_lr_rate=FINAL_RATE_SHARE,
    )
    model, optimizer, schedule = accelerator.prepare(model.train(), optimizer, schedule)
    loss = float("nan")
    for step, batch in enumerate(_steps(batches, settings.steps, label)):
        output = model(
            input_ids=batch.input_ids.to(accelerator.device),
            labels=batch.labels.to(accelerator.device),
            use_cache=False,
        )
        loss = output.loss.item()
        if not torch.isfinite(output.loss):
            raise TrainingError(
                f"{label}: the loss of step {step} is {loss}; lower training's learning_rate"
            )
        accelerator.backward(output.loss)
        accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    accelerator.unwrap_model(model).eval()
    return loss


def _steps(batches: Iterable[TrainingBatch], steps: int, label: str) -> Iterator[TrainingBatch]:
    """Yield exactly `steps` batches."""
    done = 0
    for batch in progress(itertools.islice(batches, steps), steps, label, "step"):
        yield batch
        done += 1
    if done < steps:
        raise TrainingError(f"{label}: the data end after {done} of {steps} steps")
