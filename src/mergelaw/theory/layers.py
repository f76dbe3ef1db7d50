"""Groups of layers that have weights of their own: embeddings, transformer layers, the rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Grouping = Literal["model", "layers"]

MODEL = "model"
EMBEDDINGS, REST = "embeddings", "rest"

MOST_LAYERS = 12
"""Groups of transformer layers, at most: adjacent layers of deeper models are joined."""

NUMBERED = re.compile(r"\.(\d+)\.")
"""A layer's number in the name of a parameter: `model.layers.3.mlp.up_proj.weight`."""

EMBEDDED = re.compile(r"embed|\bwte\b|\bwpe\b")
"""Names of input embeddings' modules, in the families of transformers."""


@dataclass(frozen=True)
class Groups:
    """Groups of a model's parameters.

    Attributes
    ----------
    names : tuple of str
    of_tensor : tuple of int
        Number of the group of each tensor, in the order of the tensors.
    """

    names: tuple[str, ...]
    of_tensor: tuple[int, ...]


def groups_of(tensors: Sequence[str], grouping: Grouping, most_layers: int = MOST_LAYERS) -> Groups:
    """Return the groups of a model's parameters, in the order of the forward pass.

    Parameters
    ----------
    tensors : sequence of str
        Names of the parameters.
    grouping : {"model", "layers"}
        One group, or: embeddings, each transformer layer, the rest (last norm, head).
    most_layers : int
        Groups of transformer layers at most; beyond it adjacent layers are joined, as evenly as
        they go.
    """
    if grouping == "model":
        return Groups((MODEL,), (0,) * len(tensors))
    layers = [_layer(name) for name in tensors]
    n_layers = max((number for number in layers if number is not None), default=-1) + 1
    n_groups = min(most_layers, n_layers)
    labels = [
        _outside(name)
        if number is None
        else _span(number * n_groups // n_layers, n_groups, n_layers)
        for name, number in zip(tensors, layers, strict=True)
    ]
    inner = [_span(index, n_groups, n_layers) for index in range(n_groups)]
    names = tuple(label for label in (EMBEDDINGS, *inner, REST) if label in labels)
    return Groups(names, tuple(names.index(label) for label in labels))


def _layer(name: str) -> int | None:
    found = NUMBERED.search(name)
    return int(found[1]) if found else None


def _outside(name: str) -> str:
    return EMBEDDINGS if EMBEDDED.search(name) else REST


def _span(index: int, n_groups: int, n_layers: int) -> str:
    """Name a group by its first and last layer."""
    first = -(-index * n_layers // n_groups)
    last = -(-(index + 1) * n_layers // n_groups) - 1
    return f"layer {first}" if first == last else f"layers {first} to {last}"
