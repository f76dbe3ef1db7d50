"""Base and task vectors of a pool, as flat float32 vectors with named segments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mergelaw.errors import CheckpointError, listing
from mergelaw.merging.store import TensorStore, mismatches


@dataclass(frozen=True)
class Segment:
    """One tensor's place in a flat vector."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def span(self) -> slice:
        """The tensor's entries in the flat vector."""
        return slice(self.start, self.start + torch.Size(self.shape).numel())


@dataclass(frozen=True)
class TaskVectors:
    """Base weights and, for every expert, expert minus base.

    Attributes
    ----------
    segments : tuple of Segment
        Tensors in order of their names.
    base : float32 tensor, shape (n_params,)
    deltas : mapping of str to float32 tensor, shape (n_params,)
        Task vectors by expert.
    """

    segments: tuple[Segment, ...]
    base: Tensor
    deltas: Mapping[str, Tensor]

    @classmethod
    def load(cls, base: Path, experts: Mapping[str, Path]) -> "TaskVectors":
        """Read a base and its experts.

        Raises
        ------
        CheckpointError
            If an expert's tensors do not match the base's (all problems are listed), or hold a
            number that is not finite.
        """
        base_store = TensorStore.open(base)
        stores = {name: TensorStore.open(path) for name, path in experts.items()}
        problems = [
            p for name, store in stores.items() for p in mismatches(base_store, store, name)
        ]
        if problems:
            raise CheckpointError(listing(f"experts do not match the base {base}", problems))
        segments = _segments(base_store)
        weights = _flat(base_store, segments)
        return cls(
            segments,
            weights,
            {name: _flat(store, segments).sub_(weights) for name, store in stores.items()},
        )

    def per_tensor(self, delta: Tensor, operator: Callable[[Tensor, str], Tensor]) -> Tensor:
        """Apply an operator of (entries, tensor name) to every segment of a flat vector."""
        return torch.cat([operator(delta[segment.span], segment.name) for segment in self.segments])


def _segments(store: TensorStore) -> tuple[Segment, ...]:
    start, segments = 0, []
    for name in sorted(store.shapes):
        segments.append(Segment(name, start, store.shapes[name]))
        start = segments[-1].span.stop
    return tuple(segments)


def _flat(store: TensorStore, segments: tuple[Segment, ...]) -> Tensor:
    flat = torch.empty(segments[-1].span.stop)
    for segment in segments:
        tensor = store.read(segment.name)
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{store.files[segment.name]}: {segment.name} has a NaN or infinite entry"
            )
        flat[segment.span] = tensor.flatten()
    return flat
