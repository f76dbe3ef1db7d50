"""Merges in memory as the sweep makes them, without a model."""

from dataclasses import replace

import torch

from mergelaw.merging.in_memory import ExactMerger


def sparsified(vectors, steps):
    """Return a copy of task vectors after a recipe's psi."""
    copy = replace(vectors, deltas={name: delta.clone() for name, delta in vectors.deltas.items()})
    copy.sparsify(steps)
    return copy


def merge_into(out, vectors, experts, steps, accumulate=torch.float32):
    """Write the merge of some experts of a pool in memory to `out`."""
    held = sparsified(vectors, steps)
    parts = held.segments if steps.by_tensor else (held.flat,)
    ExactMerger(held, parts, steps, accumulate).merge_into(out, experts)
