"""How a model is computed where it is differentiated: attention written out, layers made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

Attention = Literal["own", "eager", "math"]

ATTENTION: tuple[Attention, ...] = ("own", "eager", "math")
"""In the order they are tried: the model's, transformers' plain one, torch's plain one."""


@contextmanager
def attending(model: Any, attention: Attention) -> Iterator[None]:
    """Compute a model's attention otherwise until the block ends.

    Parameters
    ----------
    model : transformers causal language model
    attention : {"own", "eager", "math"}

    Raises
    ------
    ValueError
        If the model has no such attention.
    """
    own = model.config._attn_implementation
    if attention == "own":
        yield
        return
    try:
        model.set_attn_implementation("eager" if attention == "eager" else "sdpa")
        if attention == "eager":
            yield
        else:
            with sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        model.set_attn_implementation(own)


@contextmanager
def checkpointed(model: Any, layers: bool) -> Iterator[None]:
    """Make the activations of layers again in the pass backward, until the block ends.

    It is done from outside: transformers' own switch works in training mode alone, which would
    bring dropout.

    Parameters
    ----------
    layers : bool
        False: nothing is done.
    """
    found = [m for m in model.modules() if layers and isinstance(m, GradientCheckpointingLayer)]
    own = [vars(module).get("forward") for module in found]
    try:
        for module in found:
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
        yield
    finally:
        for module, forward in zip(found, own, strict=True):
            if forward is None:
                del module.forward
            else:
                module.forward = forward
