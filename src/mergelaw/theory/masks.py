"""Random masks: what they add to the curvature, estimated by random probes."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from mergelaw.config.methods import Method
from mergelaw.errors import ConfigError
from mergelaw.laws.forms import Array
from mergelaw.merging.methods import Recipe, recipe
from mergelaw.merging.pool import BLOCK, blocks, whole
from mergelaw.sweep.engine import Engine

PROBES = "theory/probe"
"""Names the masks of probes: none of them is a mask of the study's merges."""


def why_no_masks(method: Method) -> str | None:
    """Say why a mean over masks is not estimated for a method; None where it is."""
    if not method.draws_masks:
        return f"{method.label} draws no masks"
    if recipe(method, "").mean is None or method.parameters.rescale != "inverse":
        return (
            f"{method.label}: the mean over masks is not the merge of the task vectors (rescale "
            "other than inverse, or a combination that is no mean)"
        )
    return None


def mask_probes(
    engine: Engine,
    method: Method,
    seed: int,
    scale: float,
    n_probes: int,
    losses: Callable[[], Array],
) -> Array:
    """Return what each probe tells of n' H n, the mean over masks and experts, n = psi(v) - v.

    H is taken at the mean of masks, ``w = base + c mean(v)``. A probe draws one mask of every
    expert, ``x = sum_i n_i / M``. The n_i are independent with mean 0, so that cross terms vanish
    in the mean:

        E x'Hx = sum_i E n_i'H n_i / M^2,   mean_i E n_i'H n_i = M E x'Hx

    and x'Hx is the second difference ``L(w + x) - 2 L(w) + L(w - x)``: a whole step, as masks make
    it; what the fourth order adds is counted in.

    Parameters
    ----------
    engine : Engine
        Merges the raw task vectors of its pool; its recipe in use is not touched.
    method : Method
        Draws masks.
    seed : int
        The study's; the masks are named by it, and by `PROBES`.
    scale : float
        c of the merge.
    n_probes : int
        Masks drawn.
    losses : callable
        Summed loss of each item of what the model holds.

    Returns
    -------
    array, shape (probes, items)
        Sums over tokens, in nats; their mean over probes is unbiased. All items share a probe, so
        that an error over probes is that of sums over them: see `MaskSpread`.

    Raises
    ------
    ConfigError
        If the method has no such mean.
    """
    reason = why_no_masks(method)
    if reason is not None:
        raise ConfigError(reason)
    experts = sorted(engine.checked.experts)
    masks = [recipe(method, f"{seed}/{PROBES}/{probe}") for probe in range(n_probes)]
    _show(engine, experts, scale, None, 0.0)
    at, found = losses(), []
    for steps in masks:
        both = []
        for sign in (1.0, -1.0):
            _show(engine, experts, scale, steps, sign)
            both.append(losses())
        found.append(len(experts) * (both[0] - 2 * at + both[1]))
    return np.stack(found)


def _show(
    engine: Engine, experts: Sequence[str], scale: float, steps: Recipe | None, sign: float
) -> None:
    """Show the model the merge of the unmasked task vectors, moved by a probe."""
    pool, n = engine.raw, len(experts)
    psi = {e: steps.sparsify(pool, e) for e in experts} if steps else {}
    rows = steps is not None and steps.whole_rows
    for part in pool.segments:
        for block in blocks(whole(part), rows, BLOCK * torch.get_num_threads()):
            base, deltas = pool.read(block, experts)
            total = torch.zeros_like(base)
            for expert, delta in zip(experts, deltas, strict=True):
                total.add_(delta, alpha=scale / n)
                if steps is not None:
                    total.add_(psi[expert](delta, block) - delta, alpha=sign / n)
            engine.live.weights[block.flat] = total.add_(base)
    engine.live.show()
