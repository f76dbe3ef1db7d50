"""Where a model is placed: the processor, one GPU, or several that share its layers."""

from collections.abc import Sequence

import torch

from mergelaw.errors import CheckpointError

ROOM = 0.85
"""Share of a GPU's free memory that weights may take; the rest is for activations and logits."""

DeviceMap = str | dict[str, int | str]
"""What transformers takes as `device_map`."""


def visible_devices(n_bytes: int) -> DeviceMap | None:
    """Return the placement of a model with so many bytes of weights on what this process sees.

    Raises
    ------
    CheckpointError
        If there are GPUs and they are too small.
    """
    if not torch.cuda.is_available():
        return None
    free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    return placement(n_bytes, free)


def placement(n_bytes: int, free: Sequence[int]) -> DeviceMap | None:
    """Return a placement: None for the processor, one GPU where the model fits it, else "auto".

    Parameters
    ----------
    n_bytes : int
        Of the model's weights.
    free : sequence of int
        Free bytes of each GPU.

    Raises
    ------
    CheckpointError
        If all GPUs together are too small: parts of it elsewhere would be scored at a crawl.
    """
    if not free:
        return None
    largest = max(range(len(free)), key=lambda index: free[index])
    if n_bytes <= ROOM * free[largest]:
        return {"": largest}
    if n_bytes <= ROOM * sum(free):
        return "auto"
    raise CheckpointError(
        f"the model's weights take {n_bytes / 1e9:,.1f} GB, {len(free)} GPU{'s'[: len(free) != 1]} "
        f"with {sum(free) / 1e9:,.1f} GB free hold {ROOM:.0%} of that: give the job more GPUs, or "
        "none (CUDA_VISIBLE_DEVICES=) to score on the processor"
    )


def device_names(model: torch.nn.Module) -> str:
    """Return the names of the devices that hold a model, as a cost.json tells them."""
    devices = dict.fromkeys(parameter.device for parameter in model.parameters())
    names = [
        torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        for device in devices
    ]
    return ", ".join(names)
