"""Shape of a model as far as costs need it: from a config's architecture, a checkpoint, or N."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mergelaw.config.models import Architecture

ASPECT = 128
"""ASSUME width = 128 x layers for a model of which only the number of parameters is known."""

VOCABULARY = 152_064
"""ASSUME the vocabulary of Qwen2.5 where none is known: one of the larger ones."""


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's work and memory.

    Attributes
    ----------
    n_params : int
        All parameters, tied weights once.
    n_params_nonembedding : int
        Those that every token passes: without embeddings and head. All of them where the shape is
        assumed, so that the head needs no count of its own.
    layers, width, vocabulary : int
        Transformer layers, width of the residual stream, entries of the vocabulary.
    assumed : bool
        Whether layers, width and vocabulary are guesses from `n_params`.
    """

    n_params: int
    n_params_nonembedding: int
    layers: int
    width: int
    vocabulary: int
    assumed: bool = False

    @property
    def head_params(self) -> int:
        """Parameters of the head; 0 where `n_params_nonembedding` has them."""
        return 0 if self.assumed else self.width * self.vocabulary


def shape_of_architecture(architecture: Architecture, vocabulary: int) -> ModelShape:
    """Return the shape of a model that the study trains; its embeddings are tied."""
    width, inner = architecture.hidden_size, architecture.n_params_nonembedding
    return ModelShape(inner + vocabulary * width, inner, architecture.layers, width, vocabulary)


def shape_of_config(n_params: int, config: Mapping[str, Any]) -> ModelShape:
    """Return the shape that a checkpoint's config.json tells, assumed where it does not.

    Parameters
    ----------
    n_params : int
        All parameters.
    config : mapping
        config.json: `num_hidden_layers`, `hidden_size`, `vocab_size`, `tie_word_embeddings`; of a
        model with several parts, that of the text.
    """
    text = config.get("text_config", config)
    found = [text.get(key) for key in ("num_hidden_layers", "hidden_size", "vocab_size")]
    if not all(isinstance(value, int) and value > 0 for value in found):
        return assumed_shape(n_params)
    layers, width, vocabulary = found
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    inner = n_params - (1 if tied else 2) * width * vocabulary
    return ModelShape(n_params, max(inner, 0), layers, width, vocabulary)


def assumed_shape(n_params: int) -> ModelShape:
    """Return the shape of a model of which only the number of parameters is known.

    A layer has about 12 width^2 parameters, so N = 12 width^3 / 128 at the assumed aspect.
    """
    width = max(1, round((n_params * ASPECT / 12) ** (1 / 3)))
    layers = max(1, round(width / ASPECT))
    return ModelShape(n_params, n_params, layers, width, VOCABULARY, assumed=True)
