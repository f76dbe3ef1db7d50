"""Whether a model's loss can be differentiated twice, found out on one short item."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from mergelaw.evaluation.loss import Batch
from mergelaw.laws.forms import Array
from mergelaw.theory.attention import ATTENTION, Attention
from mergelaw.theory.backward import Backward

STEP = 2**-7
"""Share of a task vector that the check moves."""

ALLOWED = 0.01
"""Relative difference from a difference of gradients that is put down to rounding and step.
Measured on a tiny model: 0.00003 to 0.0007; with an activation whose own backward pass is lost,
0.02 and 0.06."""

REFUSALS = (RuntimeError, NotImplementedError, ValueError, ImportError, AttributeError, KeyError)
"""How torch and transformers say that an attention is not there, or has no second derivative."""


def twice_differentiable(
    backward: Backward, batches: Sequence[Batch], show: Callable[[float], None]
) -> Attention | None:
    """Return the first attention with which products of curvature are right; None without one.

    In float32 a product is held against a difference of gradients: an operation whose own backward
    pass is not differentiated raises no error, and loses a part of the curvature.

    Parameters
    ----------
    backward : Backward
    batches : sequence of Batch
        A little text.
    show : callable
        Puts the merge into the model, moved by a share of the first task vector.
    """
    try:
        difference = _difference(backward, batches, show)
    except (RuntimeError, NotImplementedError):
        return None
    show(0.0)
    exact = next(backward.model.parameters()).dtype == torch.float32
    for attention in ATTENTION:
        try:
            _, _, curvature = backward.curvature(batches, attention)
        except REFUSALS:
            continue
        if not exact or _alike(curvature[0], difference):
            return attention
    return None


def _difference(
    backward: Backward, batches: Sequence[Batch], show: Callable[[float], None]
) -> Array:
    """Return the first row of the curvature, by gradients."""
    found = []
    for step in (STEP, -STEP):
        show(step)
        found.append(backward.gradient(batches)[1])
    row: Array = (found[0] - found[1]) / (2 * STEP)
    return row


def _alike(row: Array, difference: Array) -> bool:
    if not np.isfinite(row).all() or not np.isfinite(difference).all():
        return True  # no matter of attention: told where it is measured
    return bool(np.linalg.norm(row - difference) <= ALLOWED * np.linalg.norm(difference))
