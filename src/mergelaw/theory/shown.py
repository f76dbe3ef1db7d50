"""The merge that a model holds: put there by the experts' weights, once for all who ask."""

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.sweep.engine import Engine
from mergelaw.theory.directions import Directions


class Shown:
    """Puts merges into the engine's model, unless they are there.

    Parameters
    ----------
    engine : Engine
        Its recipe in use gives psi(v).
    directions : Directions
        psi(v) of the experts.
    """

    def __init__(self, engine: Engine, directions: Directions) -> None:
        self.engine, self.directions = engine, directions
        self._key: bytes | None = None

    def show(self, weights: Array) -> None:
        """Put the merge into the model, unless it is there."""
        key = key_of(weights)
        if key == self._key:
            return
        self._key = None
        if weights.shape != (self.directions.n,):
            raise ValueError(f"{self.directions.n} weights are needed, not {weights.shape}")
        groups = self.directions.groups
        rows = np.asarray(weights, dtype=float).reshape(len(groups.names), -1).tolist()
        parts = zip(self.directions.pool.segments, groups.of_tensor, strict=True)
        by_tensor = {part.name: rows[group] for part, group in parts}
        self.engine.combine(self.directions.experts, rows[0] if len(rows) == 1 else by_tensor)
        self._key = key

    def forget(self) -> None:
        """Take note that the model does not hold what was shown last."""
        self._key = None

    def named(self, weights: Array) -> str:
        """Return what an error calls a merge."""
        names = self.directions.experts * len(self.directions.groups.names)
        pairs = zip(names, weights, strict=True)
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in pairs)
        return f"the merge with weights {shown}"


def key_of(weights: Array) -> bytes:
    """Return the key under which what is known of a merge is kept."""
    return np.asarray(weights, dtype=float).tobytes()
