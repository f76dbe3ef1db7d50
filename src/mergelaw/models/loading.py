"""Causal language models from checkpoint folders: all weights found, nothing fetched or run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergelaw.costs.model import working_bytes
from mergelaw.costs.shapes import shape_of_config
from mergelaw.errors import CheckpointError, listing
from mergelaw.models.devices import DeviceMap, sees_gpus, visible_devices
from mergelaw.models.probe import check_scoring

disable_progress_bar()  # mergelaw shows its own

UNLOADABLE = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)
"""What transformers raises for a folder that is no checkpoint of a model that it knows."""

SHOWN = 5
"""Tensors that an error names."""


def load_model(folder: Path, dtype: torch.dtype, device_map: DeviceMap | None = None) -> Any:
    """Load a causal language model from a local folder, in evaluation mode, fit to be scored.

    A few tokens show whether its loss can be computed (`check_scoring`).

    Parameters
    ----------
    folder : Path
        The checkpoint.
    dtype : torch.dtype
        Type of the weights and of the forward pass.
    device_map : DeviceMap, optional
        Where the model is placed; the processor without it.

    Raises
    ------
    CheckpointError
        As `load_weights`; if parts of it fit on no device, or its type cannot be scored.
    """
    model = load_weights(folder, dtype, device_map=device_map)
    _check_placed(model, folder)
    check_scoring(model.eval(), folder)
    return model


def load_weights(folder: Path, dtype: torch.dtype, **settings: Any) -> Any:
    """Load a causal language model from a local folder; it is not tried.

    Only safetensors are read, no code of the folder's own is run, and every weight of the model
    must be in the folder, and nothing else.

    Parameters
    ----------
    folder : Path
        The checkpoint.
    dtype : torch.dtype
        Type of the weights.
    **settings
        For transformers' `from_pretrained`.

    Raises
    ------
    CheckpointError
        If the folder holds no such checkpoint; says what is missing, too much or misshapen.
    """
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: {_what_is_there(folder)}")
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            output_loading_info=True,
            **settings,
        )
    except UNLOADABLE as error:
        raise CheckpointError(
            f"{folder}: cannot be loaded as a causal language model ({error})"
        ) from error
    problems = list(_problems(found))
    if problems:
        raise CheckpointError(
            listing(f"{folder}: the weights are not those of its model", problems)
        )
    return model


def devices_for(folder: Path, dtype: str, batch_tokens: int) -> DeviceMap | None:
    """Return the placement of a checkpoint on what this process sees; reads no weights.

    Parameters
    ----------
    batch_tokens : int
        Padded tokens of the largest forward pass.

    Raises
    ------
    CheckpointError
        If there are GPUs and they are too small or cannot be used, or the folder holds no config
        of a model.
    """
    if not sees_gpus():
        return None
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except UNLOADABLE as error:
        raise CheckpointError(
            f"{folder}: cannot be loaded as a causal language model ({error})"
        ) from error
    n = n_params(model)[0]
    working = working_bytes(shape_of_config(n, config.to_dict()), batch_tokens, dtype)
    return visible_devices(n * getattr(torch, dtype).itemsize, working)


def n_params(model: Any) -> tuple[int, int]:
    """Return the number of parameters, tied weights once: in total, and without embeddings."""
    total = sum(p.numel() for p in model.parameters())
    embeddings = {
        id(m.weight): m.weight.numel()
        for m in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return total, total - sum(embeddings.values())


def _check_placed(model: Any, folder: Path) -> None:
    """Refuse a model of which parts were left on disk or in another memory than their device's."""
    placed = getattr(model, "hf_device_map", {})
    left = [name for name, device in placed.items() if device == "disk"]
    left += [name for name, weight in model.named_parameters() if weight.is_meta and not left]
    if left:
        shown = ", ".join(left[:SHOWN]) + (", ..." if len(left) > SHOWN else "")
        raise CheckpointError(
            f"{folder}: does not fit on the devices: {len(left)} of its parts were left out "
            f"({shown}); use more or larger devices, or bfloat16"
        )


def _what_is_there(folder: Path) -> str:
    if not folder.is_dir():
        return "no such checkpoint folder"
    if (folder / "adapter_config.json").exists():
        return "holds an adapter; merge it into its base first (mergelaw merge), then score that"
    return "has no config.json, so it is not known which model its weights belong to"


def _problems(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what transformers would fill in at random, or leave out, while it loads."""
    for kind, words in (("missing_keys", "lacks"), ("unexpected_keys", "has, beyond the model's,")):
        names = sorted(found[kind])
        if names:
            more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield f"{words} {len(names)} tensor{'s'[: len(names) != 1]}: " + (
                ", ".join(names[:SHOWN]) + more
            )
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        yield f"{name} has shape {list(stored)}, the model {list(wanted)}"
