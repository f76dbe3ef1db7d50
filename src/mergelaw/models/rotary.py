"""Rotary positions whose frequencies follow the longest text of a batch: where that begins."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Stretch(NamedTuple):
    """A way in which a model changes its rotary frequencies for longer batches.

    Attributes
    ----------
    kind : str
        The config's `rope_type`: `longrope` takes other frequencies, `dynamic` stretches them.
    limit : int
        Longest batch, in tokens, that has the frequencies of all shorter ones.
    """

    kind: str
    limit: int

    @property
    def grows(self) -> bool:
        """Whether each length beyond the limit has frequencies of its own."""
        return "dynamic" in self.kind


def stretch_of(model: Any) -> Stretch | None:
    """Return the stretch of a model that begins first, or None if lengths do not matter.

    Parameters
    ----------
    model : transformers causal language model
        Known by its config: `rope_parameters`, of the whole model or of each type of layer, or
        `rope_scaling`, as configs before transformers 5 call it.
    """
    return min(_stretches(model.config.get_text_config()), key=lambda s: s.limit, default=None)


def _stretches(config: Any) -> Iterator[Stretch]:
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    context: Any = getattr(config, "max_position_embeddings", None)
    short: Any = getattr(config, "original_max_position_embeddings", None) or context
    for rope in (given, *given.values()):
        kind = (rope.get("rope_type") or rope.get("type")) if isinstance(rope, Mapping) else None
        if kind == "longrope":
            yield Stretch(kind, rope.get("original_max_position_embeddings") or short)
        elif isinstance(kind, str) and "dynamic" in kind:
            yield Stretch(kind, context)
