"""The processes of a training, plain or by DeepSpeed: model, gradients, states, weights."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from mergelaw.config.models import ExpertTraining

MIXED = {"float32": "no", "bfloat16": "bf16"}
"""`precision` as accelerate calls it."""

PATIENCE = timedelta(hours=6)
"""How long processes wait for each other."""


def open_processes(settings: ExpertTraining) -> Accelerator:
    """Return this process's place among those of its training; alone where none was launched.

    Parameters
    ----------
    settings : ExpertTraining
        Its precision, and its largest gradient norm.
    """
    AcceleratorState._reset_state()  # of another training that this process did before
    # DeepSpeed has to be told what processes talk by. All wait while one writes a checkpoint.
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    by = InitProcessGroupKwargs(backend=backend, timeout=PATIENCE)
    launched = "LOCAL_RANK" in os.environ
    accelerator = Accelerator(
        mixed_precision=MIXED[settings.precision], kwargs_handlers=[by] if launched else []
    )
    if accelerator.state.deepspeed_plugin is not None:
        own: dict[str, Any] = accelerator.state.deepspeed_plugin.deepspeed_config
        accelerator.gradient_accumulation_steps = 1  # the loop counts itself, and scales the loss
        own["gradient_accumulation_steps"] = 1
        own["train_micro_batch_size_per_gpu"] = 1
        own["gradient_clipping"] = settings.clip_norm
        own["data_types"] = {"grad_accum_dtype": "fp32"}
        own["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    return accelerator


class Trained:
    """A model in the hands of its processes.

    Parameters
    ----------
    accelerator : Accelerator
        From `open_processes`.
    model : torch.nn.Module
        What is trained; where DeepSpeed shares it out, each process has a part of it already.
    settings : ExpertTraining
        AdamW's settings.
    """

    def __init__(
        self, accelerator: Accelerator, model: nn.Module, settings: ExpertTraining
    ) -> None:
        self._accelerator, self._clip_norm = accelerator, settings.clip_norm
        optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad],
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._own = model
        self.model, self._optimizer = accelerator.prepare(model.train(), optimizer)

    @property
    def is_shared_out(self) -> bool:
        """Whether DeepSpeed has the model."""
        return self._accelerator.state.deepspeed_plugin is not None

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add a micro-batch's gradient; after the last one of a step DeepSpeed makes the step."""
        self._accelerator.sync_gradients = last
        self._accelerator.backward(loss)

    def step(self) -> float:
        """Make the optimizer's step, and return the gradient's norm before it was clipped."""
        norm = self._accelerator.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(norm)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def sum(self, *numbers: float) -> list[float]:
        """Return sums over processes, in float64."""
        if self._accelerator.num_processes == 1:
            return list(numbers)
        own = torch.tensor(numbers, dtype=torch.float64, device=self._accelerator.device)
        summed: list[float] = self._accelerator.reduce(own, "sum").tolist()
        return summed

    def state(self) -> dict[str, Any]:
        """Return what this process holds of weights and optimizer."""
        if self.is_shared_out:
            held = self.model.optimizer.state_dict()
            return {key: held[key] for key in ("optimizer_state_dict", "fp32_flat_groups")}
        weights = {name: p for name, p in self._own.named_parameters() if p.requires_grad}
        return {"weights": weights, "optimizer": self._optimizer.state_dict()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Set what `state` returned in a process of the same place."""
        if self.is_shared_out:
            zero = self.model.optimizer
            zero.checkpoint_event_prologue()
            zero.load_state_dict({self._accelerator.process_index: zero.state_dict() | state})
            zero.checkpoint_event_epilogue()
            return
        with torch.no_grad():
            for name, parameter in self._own.named_parameters():
                if name in state["weights"]:
                    parameter.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])

    def weights(self) -> dict[str, Tensor] | None:
        """Return all weights by name, in the type that they are trained in; on the first alone."""
        if self.is_shared_out:
            found: dict[str, Tensor] = self._accelerator.get_state_dict(self.model)
        else:
            found = self._own.state_dict()
        return found if self._accelerator.is_main_process else None
