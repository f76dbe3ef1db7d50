"""What one training costs: operations, seconds, and memory of its processes, plain or under ZeRO.

N parameters of which n are trained, D tokens, P processes; memory in bytes, times in seconds.
"""

import math
from dataclasses import dataclass

from mergelaw.config.launch import LaunchFile
from mergelaw.config.models import ExpertTraining, Lora
from mergelaw.costs.inputs import Machine
from mergelaw.costs.memory import FIXED_BYTES
from mergelaw.costs.model import (
    ACTIVATIONS,
    DTYPE_BYTES,
    LOGITS_ENTRIES,
    attention_flops,
    compute_seconds,
)
from mergelaw.costs.shapes import ModelShape

PLAIN = LaunchFile(num_processes=1)
"""One process, which shares nothing."""

MASTER_BYTES = 4
"""A float32 weight: the model's own in a plain process, beside the model under DeepSpeed."""

MOMENT_BYTES = 8
"""AdamW's two moments of a trained parameter, float32."""

GRADIENT_BYTES = 4
"""Gradients are summed in float32."""

OFFLOADED_GRADIENT_BYTES = 8
"""ASSUME DeepSpeed offloads the sum of gradients, and that of the step (both float32; 0.19)."""

SAVED_BYTES = 12
"""A trained parameter in the state that a killed training goes on from: weight and two moments."""

LIVE_PARAMETERS = 10**9
"""ASSUME ZeRO-3 keeps at most so many gathered weights (its `stage3_max_live_parameters`)."""

ADAM_BYTES = 28
"""ASSUME AdamW moves so many bytes a parameter: gradient, master and moments in, the last three out
(ZeRO-Offload, arXiv 2101.06840, has the same 16 + 12)."""

LOGITS_BYTES = 12
"""ASSUME an entry of a chunk of logits: itself, its log-softmax and its gradient, in float32."""


@dataclass(frozen=True)
class TrainingJob:
    """One training, as the config has it.

    Attributes
    ----------
    shape : ModelShape
        The model.
    settings : ExpertTraining
        How it is trained; a base's, too.
    launch : LaunchFile
        Its processes.
    n_steps : int
        Optimizer steps.
    n_tokens : float
        Tokens of a step, on average.
    squared_lengths : float
        Sum over a step's items of their squared length.
    """

    shape: ModelShape
    settings: ExpertTraining
    launch: LaunchFile
    n_steps: int
    n_tokens: float
    squared_lengths: float

    @property
    def trained(self) -> int:
        """Parameters that have gradients: all, or the adapters'."""
        lora = self.settings.lora
        return self.shape.n_params if lora is None else adapter_params(self.shape, lora)

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight in the forward pass, and of the saved expert's."""
        return DTYPE_BYTES[self.settings.precision]

    @property
    def model_bytes(self) -> int:
        """Bytes of the saved expert, adapters merged into it."""
        return self.weight_bytes * self.shape.n_params

    @property
    def saved_bytes(self) -> int:
        """Bytes of the state that a killed training goes on from."""
        return SAVED_BYTES * self.trained

    @property
    def rows(self) -> int:
        """Rows of a process in a step, at most: an item each, or packed ones, which are fewer."""
        return math.ceil(self.settings.batch_rows / self.launch.num_processes)

    @property
    def micro_rows(self) -> int:
        """Rows of one forward pass of a process, at most."""
        return min(self.rows, self.settings.micro_batch_rows or self.rows)

    @property
    def flops(self) -> float:
        """Operations: 6 N D, and those of attention, which are three forward passes.

        A backward pass is two forward passes (Kaplan et al. 2020, arXiv 2001.08361), of which
        frozen weights need one: the other makes their gradient. Recomputed activations are one
        forward pass more (Chen et al. 2016, arXiv 1604.06174): 8 N D in place of 6 N D.
        """
        again = int(self.settings.gradient_checkpointing)
        weights = 2 * self.shape.n_params * self.n_tokens * (3 - (self.settings.lora is not None))
        weights += 2 * self.shape.n_params * self.n_tokens * again
        attention = attention_flops(self.shape, self.squared_lengths) * (3 + again)
        return self.n_steps * (weights + attention)

    @property
    def activation_bytes(self) -> float:
        """Activations of one forward pass of a process, which the backward pass needs.

        ASSUME `ACTIVATIONS` vectors a layer and token are kept; with gradient checkpointing one,
        the layer's input, and those of one layer while it is recomputed. Packed rows have a mask
        of their attention, as truth values and as numbers.
        """
        shape, tokens = self.shape, self.micro_rows * self.settings.max_length
        vectors = ACTIVATIONS * shape.layers
        if self.settings.gradient_checkpointing:
            vectors = shape.layers + ACTIVATIONS
        kept = self.weight_bytes * vectors * tokens * shape.width
        logits = LOGITS_BYTES * min(tokens * shape.vocabulary, LOGITS_ENTRIES)
        masked = self.settings.pack and self.settings.attention == "sdpa"
        mask = (1 + self.weight_bytes) * tokens * self.settings.max_length if masked else 0
        return kept + logits + mask

    @property
    def process_bytes(self) -> int:
        """Memory of one process on its device: what it holds, and its activations."""
        held = self._plain_bytes if self.launch.is_plain else self._shared_bytes
        return math.ceil(held + self.activation_bytes)

    @property
    def _plain_bytes(self) -> int:
        """Bytes of the model in float32, its copy in bfloat16, gradients and moments."""
        copy = self.model_bytes if self.settings.precision == "bfloat16" else 0
        each = GRADIENT_BYTES + MOMENT_BYTES
        return MASTER_BYTES * self.shape.n_params + copy + each * self.trained

    @property
    def _shared_bytes(self) -> float:
        """Share of one process in what ZeRO-3 does not offload, and what it has gathered at once.

        Masters, moments, gradients and weights are shared out (Rajbhandari et al. 2020, ZeRO, arXiv
        1910.02054); DeepSpeed's own estimator has the same 2 + 4 + 12 bytes.
        """
        launch = self.launch
        weights = 0.0 if launch.offload_param else float(self.model_bytes)
        each = MASTER_BYTES + MOMENT_BYTES + GRADIENT_BYTES
        states = 0.0 if launch.offload_optimizer else each * self.trained
        return (weights + states) / launch.num_processes + self._gathered_bytes

    @property
    def _gathered_bytes(self) -> int:
        """Weights that ZeRO-3 has gathered at once, and the gradient of the largest layer."""
        shape = self.shape
        layer = math.ceil(shape.n_params_nonembedding / shape.layers)
        largest = max(layer, shape.width * shape.vocabulary)
        live = min(shape.n_params, max(LIVE_PARAMETERS, largest))
        return self.weight_bytes * (live + largest)

    @property
    def offloaded_bytes(self) -> int:
        """What ZeRO keeps in the host's memory, of all processes (ZeRO-Offload, see above)."""
        launch = self.launch
        each = MASTER_BYTES + MOMENT_BYTES + OFFLOADED_GRADIENT_BYTES
        states = each * self.trained if launch.offload_optimizer else 0
        return states + (self.model_bytes if launch.offload_param else 0)

    def host_bytes(self, *, on_gpus: bool) -> int:
        """Return the host's memory of all processes, the one that starts the others included.

        Beside what is offloaded: on GPUs the model once, on its way there and back; without GPUs
        everything that a process has.
        """
        n_processes = self.launch.num_processes
        plain = self.launch.is_plain
        passing = MASTER_BYTES * self.shape.n_params if plain else self.model_bytes
        held = passing if on_gpus else n_processes * self.process_bytes
        started = n_processes if plain else n_processes + 1
        return started * FIXED_BYTES + held + self.offloaded_bytes

    def work_seconds(self, machine: Machine) -> float:
        """Return the seconds of all steps: forward and backward passes, and AdamW's.

        ASSUME what processes tell each other is within the utilisation. GPUs without a row wait for
        those that have one more; cores of a processor do not.
        """
        device, settings = machine.device, self.settings
        at_once = self.launch.num_processes if device.is_gpu else 1
        own = math.ceil(self._step_rows / self.launch.num_processes)
        share = own / self._step_rows if device.is_gpu else 1.0
        peak = device.peak_flops[settings.precision]
        computing = compute_seconds(self.flops * share, peak, machine.utilisation)
        n_micro = math.ceil(own / self.micro_rows)
        passes = (3 + settings.gradient_checkpointing) * n_micro * self.n_steps
        launching = passes * self.shape.layers * device.layer_seconds
        forward = max(computing, launching) if device.is_gpu else computing + launching
        return forward + self.n_steps * self._adam_seconds(machine, at_once)

    @property
    def _step_rows(self) -> int:
        """Rows of a step, over all processes: items, or those that they are packed to."""
        if not self.settings.pack:
            return self.settings.batch_rows
        n_processes = self.launch.num_processes
        rows = n_processes * math.ceil(self.n_tokens / (n_processes * self.settings.max_length))
        return min(rows, self.settings.batch_rows)

    def _adam_seconds(self, machine: Machine, at_once: int) -> float:
        """Return the seconds of one step of AdamW, where its states are.

        Offloaded, the cores of all devices make it, and gradients and weights cross PCIe.
        """
        moved = ADAM_BYTES * self.trained
        if not self.launch.offload_optimizer:
            return moved / (at_once * machine.device.memory_bandwidth)
        link = machine.device.link_bandwidth
        crossing = 2 * self.weight_bytes * self.trained / (at_once * link) if link else 0.0
        return moved / (at_once * machine.merge_bandwidth) + crossing


def adapter_params(shape: ModelShape, lora: Lora) -> int:
    """Return the parameters of adapters on all linear layers of a model but its head, at most.

    An adapter of rank r on a layer with a inputs and b outputs has r (a + b) (Hu et al. 2021, LoRA,
    arXiv 2106.09685). Each of a transformer layer's seven has the model's width d on one side: of m
    entries in all they have r (7 d + m / d).
    """
    d = shape.width
    return math.ceil(lora.rank * (7 * shape.layers * d + shape.n_params_nonembedding / d))
