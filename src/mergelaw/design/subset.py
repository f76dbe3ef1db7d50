"""Subsets of the expert pool, and the chunks that jobs merge and score."""

from collections.abc import Iterable
from dataclasses import dataclass

BASE = "base"
"""Name of the empty subset: the base model itself, k = 0."""

MULTITASK = "multitask"
"""Name of the multitask baseline, where it stands among a size's experts."""


@dataclass(frozen=True)
class Subset:
    """Experts that are merged together, sorted by name."""

    experts: tuple[str, ...]

    @property
    def k(self) -> int:
        """Number of experts merged."""
        return len(self.experts)

    @property
    def name(self) -> str:
        """The experts' names joined by '+', or 'base'."""
        return "+".join(self.experts) or BASE


@dataclass(frozen=True)
class Chunk:
    """The subsets that one job merges and scores."""

    index: int
    subsets: tuple[Subset, ...]

    @property
    def experts(self) -> tuple[str, ...]:
        """Experts that occur in the chunk, sorted by name."""
        return tuple(sorted({name for subset in self.subsets for name in subset.experts}))


def subset_of(names: Iterable[str]) -> Subset:
    """Return the subset of these experts, in whatever order they come."""
    return Subset(tuple(sorted(names)))
