"""The cost model that sweep, training and planning share: FLOPs, seconds, bytes; plain functions.

Lengths in tokens, times in seconds, memory in bytes, rates per second.
"""

import math

from mergelaw.costs.devices import Device
from mergelaw.costs.shapes import ModelShape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
"""Bytes of an entry by the study's `dtype`."""

LOGITS_ENTRIES = 2**26
"""Logits held at once, at most: `mergelaw.evaluation` never has more, on any device."""

ACTIVATIONS = 20
"""ASSUME a layer's forward pass holds this many vectors of the model's width for each token."""

SPARSE_BYTES = 128
"""What trimming one entry of a task vector costs, in bytes moved (measured for TIES: 64M entries in
0.55 s on two cores that move 15 GB/s)."""

MASK_BYTES = 24
"""The same for dropping entries by chance (measured for DARE: 64M entries in 0.10 s there)."""

CONTEXT_BYTES = 500_000_000
"""ASSUME what a GPU's own libraries take of its memory."""

USABLE = 0.9
"""Share of a memory, the host's or a GPU's, that a job plans with."""


def forward_flops(
    shape: ModelShape, n_tokens: int, n_scored: int, squared_lengths: float = 0.0
) -> float:
    """Return the FLOPs of scoring a text once.

    2 n_params_nonembedding for each token, 4 layers width T for each token of an item of T tokens
    (scores and weighted values of attention, in full squares: a causal kernel does half), and
    2 width vocabulary for each scored token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).

    Parameters
    ----------
    shape : ModelShape
        The model.
    n_tokens, n_scored : int
        Tokens of the text, and those whose loss counts.
    squared_lengths : float
        Sum of T^2 over items.
    """
    inner = 2 * shape.n_params_nonembedding * n_tokens
    return inner + attention_flops(shape, squared_lengths) + 2 * shape.head_params * n_scored


def attention_flops(shape: ModelShape, squared_lengths: float) -> float:
    """Return the FLOPs of attention in one forward pass, in full squares."""
    return 4 * shape.layers * shape.width * squared_lengths


def training_flops(n_params: int, n_tokens: int) -> float:
    """Return the FLOPs of training: 6 N D, forward and backward (Kaplan et al. 2020)."""
    return 6.0 * n_params * n_tokens


def compute_seconds(flops: float, peak_flops: float, utilisation: float) -> float:
    """Return FLOPs / (peak x utilisation)."""
    return flops / (peak_flops * utilisation)


def forward_seconds(
    shape: ModelShape,
    flops: float,
    n_passes: int,
    device: Device,
    dtype: str,
    utilisation: float,
) -> float:
    """Return the seconds of forward passes: the longest of computing, reading weights, launching.

    A GPU does the three at once; on a CPU launching adds to the longer of the others.
    """
    computing = compute_seconds(flops, device.peak_flops[dtype], utilisation)
    reading = n_passes * shape.n_params * DTYPE_BYTES[dtype] / device.memory_bandwidth
    launching = n_passes * shape.layers * device.layer_seconds
    longer = max(computing, reading)
    return max(longer, launching) if device.is_gpu else longer + launching


def merge_bytes(k: int, n_params: int, read_bytes_per_param: float, dtype_bytes: int) -> int:
    """Return the bytes that a merge of k experts moves: k + 1 models are read, one is written.

    Parameters
    ----------
    k : int
        Experts merged; at 0 the base alone is read.
    n_params : int
        Entries of one model.
    read_bytes_per_param : float
        Bytes of an entry as base and experts are held, or stored where they are read from disk.
    dtype_bytes : int
        Bytes of a merged entry.
    """
    return round(n_params * ((k + 1) * read_bytes_per_param + dtype_bytes))


def sparsify_seconds(
    n_params: int, n_experts: int, bandwidth: float, per_entry: int = SPARSE_BYTES
) -> float:
    """Return the seconds of trimming or masking task vectors: `per_entry` bytes an entry."""
    return per_entry * n_params * n_experts / bandwidth


def working_bytes(shape: ModelShape, batch_tokens: int, dtype: str) -> int:
    """Return the memory of a forward pass beside the weights: activations, one chunk of logits.

    Logits and their exponentials are float32: two matrices of at most `LOGITS_ENTRIES`.
    """
    activations = ACTIVATIONS * batch_tokens * shape.width * DTYPE_BYTES[dtype]
    return activations + 2 * 4 * min(batch_tokens * shape.vocabulary, LOGITS_ENTRIES)


def devices_needed(split_bytes: int, other_bytes: int, device: Device) -> int | None:
    """Return how many devices hold a job, `split_bytes` spread evenly; None if no number does.

    Parameters
    ----------
    split_bytes : int
        What is split over the devices: the weights; in training, optimizer states too.
    other_bytes : int
        What each of them needs besides.
    device : Device
        One device; a CPU is always one.
    """
    if device.memory_bytes is None:
        return 1
    room = room_for_weights(device.memory_bytes - CONTEXT_BYTES, other_bytes)
    return math.ceil(split_bytes / room) if room > 0 else None


def room_for_weights(free_bytes: float, other_bytes: int) -> float:
    """Return the bytes of a GPU that weights may take: `USABLE` of what is free, less the rest.

    The same for a GPU that is planned with and for one that a job finds; below 0 where
    `other_bytes` alone are too many.
    """
    return USABLE * free_bytes - other_bytes
