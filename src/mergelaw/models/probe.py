"""A model is tried on a few tokens before it is scored: what is computed must be its own loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mergelaw.errors import CheckpointError
from mergelaw.models.head import Head, backbone

LENGTH = 12
"""Tokens of the trial's two rows."""

SHARED = 6
"""Tokens at the start of both rows."""

LARGEST = 40.0
"""Size of the trial's logits, so that no cap goes unseen for being far above them."""

ROUNDINGS = 4
"""Relative difference that is put down to rounding, in units of the type's precision."""

FLOAT32 = 1e-5
"""The same at least: sums in another order."""

SEEN = {torch.float32: 1e-3}
LOW = 2**-4
"""Relative change of hidden states by later tokens that is put down to rounding, by type: a layer
of experts rounds otherwise when other tokens go to them."""


@torch.inference_mode()
def check_scoring(model: Any, owner: object) -> None:
    """Refuse a model whose own forward pass is not what the loss is computed from.

    Two rows that begin alike go through the model. Its logits must be those that `Head` makes of
    its backbone's hidden states, and the beginnings must have the same hidden states, whatever
    follows: then padding at the right is invisible.

    Parameters
    ----------
    model : transformers causal language model
        In evaluation mode, its weights in place.
    owner : object
        What an error calls it.

    Raises
    ------
    CheckpointError
        If logits or hidden states differ by more than rounding; names the model's type.
    """
    kind = model.config.get_text_config().model_type
    refusal = f"{owner}: models of type {kind!r} cannot be scored: "
    if model.get_output_embeddings() is None or backbone(model) is model:
        raise CheckpointError(f"{refusal}they have no backbone with a linear head on it")
    head = Head.of(model)
    try:
        seen, logits = _trial(model, head)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise CheckpointError(f"{refusal}a forward pass of tokens alone fails ({error})") from error
    if len(seen) != 1:
        raise CheckpointError(f"{refusal}their forward pass goes through their backbone otherwise")
    if seen[0].isfinite().all():  # otherwise the loss is not finite, and told so
        _check_logits(head.logits(seen[0] * _enlargement(head, seen[0])), logits, refusal)
        _check_past(seen[0], refusal)


def _trial(model: Any, head: Head) -> tuple[list[Tensor], Tensor]:
    """Return the backbone's hidden states, and the model's logits of them enlarged."""
    embeddings = model.get_input_embeddings().weight
    ids = torch.arange(2 * LENGTH, device=embeddings.device).reshape(2, LENGTH)
    ids[1, :SHARED] = ids[0, :SHARED]
    seen: list[Tensor] = []
    hook: Callable[..., Any] = _enlarge(head, seen)
    handle = backbone(model).register_forward_hook(hook)
    try:
        logits: Tensor = model(input_ids=(3 + ids) % len(embeddings), use_cache=False).logits
    finally:
        handle.remove()
    return seen, logits


def _enlarge(head: Head, seen: list[Tensor]) -> Callable[..., Any]:
    """Return a hook that keeps the hidden states and hands on larger ones."""

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        seen.append(output.last_hidden_state.to(head.device))
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden * _enlargement(head, seen[-1])
        return output

    return hook


def _enlargement(head: Head, hidden: Tensor) -> float:
    largest = float(head.embeddings(hidden).abs().amax())
    return LARGEST / largest if largest > 0 else 1.0


def _check_logits(ours: Tensor, own: Tensor, refusal: str) -> None:
    allowed = max(FLOAT32, ROUNDINGS * torch.finfo(own.dtype).eps) * float(own.abs().amax())
    if ours.shape != own.shape or float((ours - own.to(ours)).abs().amax()) > allowed:
        raise CheckpointError(
            f"{refusal}their logits are not those of their head, with the scales and caps that "
            "mergelaw knows (mergelaw.models.head)"
        )


def _check_past(hidden: Tensor, refusal: str) -> None:
    first, second = hidden[:, :SHARED].float()
    allowed = SEEN.get(hidden.dtype, LOW) * float(first.abs().amax())
    if float((first - second).abs().amax()) > allowed:
        raise CheckpointError(
            f"{refusal}a token sees what comes after it, so that padding and answers would leak"
        )
