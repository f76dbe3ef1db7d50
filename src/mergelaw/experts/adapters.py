"""Low-rank adapters: put into a model by PEFT, and added to its weights where it is saved.

W' = W + (alpha / rank) B A (Hu et al., "LoRA", arXiv 2106.09685, section 4.1).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mergelaw.config.models import Lora
from mergelaw.errors import TrainingError

BASE_LAYER, DOWN, UP = ".base_layer.weight", ".lora_A.default.weight", ".lora_B.default.weight"
"""How PEFT calls the weight of an adapted layer, and the factors A and B of its update."""


def add_adapters(model: Any, lora: Lora) -> None:
    """Put adapters into a model's linear layers; nothing else of it is trained after that.

    Raises
    ------
    TrainingError
        If PEFT is not installed, or the model has no such layers.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError(
            "training.expert.lora needs the package peft: pip install 'mergelaw[train]'"
        ) from error
    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # PEFT takes any number, and divides it by the rank
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
    )
    try:
        inject_adapter_in_model(settings, model)
    except ValueError as error:
        raise TrainingError(
            f"training.expert.lora.targets = {list(lora.targets)}: {error}"
        ) from error


def is_adapter(name: str) -> bool:
    """Say whether a parameter is an adapter's."""
    return ".lora_" in name


def merged(weights: Mapping[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """Return weights with all adapters added to them in float32, under the model's own names."""
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        layer = name.removesuffix(BASE_LAYER)
        if layer != name:
            update = weights[layer + UP].float() @ weights[layer + DOWN].float()
            whole = tensor.float() + lora.alpha / lora.rank * update
            result[f"{layer}.weight"] = whole.to(tensor.dtype)
        elif not is_adapter(name):
            result[name.replace(".base_layer.", ".")] = tensor
    return result
