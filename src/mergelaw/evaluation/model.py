"""Causal language models from checkpoint folders: all weights found, nothing fetched or run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergelaw.errors import CheckpointError, listing

disable_progress_bar()  # mergelaw shows its own

UNLOADABLE = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)
"""What transformers raises for a folder that is no checkpoint of a model that it knows."""

SHOWN = 5
"""Tensors that an error names."""


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """Load a causal language model from a local folder, in evaluation mode.

    Only safetensors are read, no code of the folder's own is run, and every weight of the model
    must be in the folder, and nothing else.

    Parameters
    ----------
    folder : Path
        The checkpoint.
    dtype : torch.dtype
        Type of the weights and of the forward pass.

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
    return model.eval()


def n_params(model: Any) -> tuple[int, int]:
    """Return the number of parameters, tied weights once: in total, and without embeddings."""
    total = sum(p.numel() for p in model.parameters())
    embeddings = {
        id(m.weight): m.weight.numel()
        for m in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    return total, total - sum(embeddings.values())


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
