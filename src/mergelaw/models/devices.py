"""Where a model is placed: the processor, one GPU, or several that share its layers."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache

import torch

from mergelaw.costs.model import USABLE, room_for_weights
from mergelaw.errors import CheckpointError

DeviceMap = str | dict[str, int | str]
"""What transformers takes as `device_map`."""

NO_GPUS = {"", "-1", "NoDevFiles"}
"""Values of CUDA_VISIBLE_DEVICES that grant none; the last is Slurm's."""


def visible_devices(n_bytes: int, working_bytes: int) -> DeviceMap | None:
    """Return the placement of a model on what this process sees; see `placement`.

    Raises
    ------
    CheckpointError
        If there are GPUs and they are too small, or cannot be used.
    """
    if not sees_gpus():
        return None
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return placement(n_bytes, working_bytes, free)


def sees_gpus(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether torch sees GPUs; a torch without GPU code says so where some were granted.

    Raises
    ------
    CheckpointError
        If some were granted to this process, and torch, built for GPUs, sees none: it would score
        on the processor for days.
    """
    if torch.cuda.is_available():
        return True
    granted = environ.get("CUDA_VISIBLE_DEVICES", "")
    if granted in NO_GPUS:
        return False
    if torch.version.cuda or torch.version.hip:
        raise CheckpointError(
            f"CUDA_VISIBLE_DEVICES={granted} grants GPUs, and torch {torch.__version__} sees none: "
            "the node's driver is missing, or older than this torch needs (nvidia-smi tells it); "
            "install a torch that fits it, or score on the processor (CUDA_VISIBLE_DEVICES=)"
        )
    _note_unused(granted)
    return False


@cache
def _note_unused(granted: str) -> None:
    """Say on stderr, once, that granted GPUs are of no use."""
    print(
        f"note: CUDA_VISIBLE_DEVICES={granted} grants GPUs, but torch {torch.__version__} is built "
        "for the processor alone: it scores there; install a torch with GPU code to use them",
        file=sys.stderr,
        flush=True,
    )


def placement(n_bytes: int, working_bytes: int, free: Sequence[int]) -> DeviceMap | None:
    """Return a placement: None for the processor, one GPU where the model fits it, else "auto".

    A GPU's room is that of `mergelaw.costs.model.room_for_weights`, by which `estimate` counts how
    many GPUs a job asks for.

    Parameters
    ----------
    n_bytes : int
        Of the model's weights.
    working_bytes : int
        What a forward pass takes beside them, on each GPU; `mergelaw.costs.model.working_bytes`.
    free : sequence of int
        Free bytes of each GPU.

    Raises
    ------
    CheckpointError
        If all GPUs together are too small: parts of it elsewhere would be scored at a crawl.
    """
    if not free:
        return None
    rooms = [room_for_weights(bytes_, working_bytes) for bytes_ in free]
    largest = max(range(len(free)), key=lambda index: free[index])
    if n_bytes <= rooms[largest]:
        return {"": largest}
    if n_bytes <= sum(room for room in rooms if room > 0):
        return "auto"
    raise CheckpointError(
        f"the model's weights take {n_bytes / 1e9:,.1f} GB, and a batch {working_bytes / 1e9:,.1f} "
        f"GB on each GPU; {len(free)} GPU{'s'[: len(free) != 1]} with {sum(free) / 1e9:,.1f} GB "
        f"free hold {USABLE:.0%} of that: give the job more GPUs, lower evaluation.batch_tokens, "
        "or give none (CUDA_VISIBLE_DEVICES=) to score on the processor"
    )


def device_names(model: torch.nn.Module) -> str:
    """Return the names of the devices that hold a model, as a cost.json tells them."""
    devices = dict.fromkeys(parameter.device for parameter in model.parameters())
    names = [
        torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        for device in devices
    ]
    return ", ".join(names)
