"""Config of the design: a list of parts, each chunked on its own, so that growing appends."""

from typing import Annotated, Literal

from pydantic import Field

from mergelaw.config.base import Section

ChunkSize = Annotated[int, Field(gt=0, description="Subsets that one job merges and scores.")]
Ks = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...] | None,
    Field(description="Numbers of experts to merge; all from 1 to the pool when absent."),
]


class ExhaustivePart(Section):
    """Every subset of the pool."""

    kind: Literal["exhaustive"] = Field(description="Every subset.")
    k: Ks = None
    chunk_size: ChunkSize = 512


class UniformPart(Section):
    """Subsets drawn uniformly without replacement, the same number at every k."""

    kind: Literal["uniform"] = Field(description="Uniform sample without replacement.")
    subsets_per_k: int = Field(gt=0, description="Subsets at every k (all, where there are fewer).")
    k: Ks = None
    chunk_size: ChunkSize = 512


class PermutationPart(Section):
    """Prefixes of permutations far apart in Hamming distance (the paper's Algorithm 1)."""

    kind: Literal["max_min_hamming"] = Field(description="The paper's Algorithm 1.")
    permutations: int = Field(
        15, ge=2, description="Permutations of the pool, the first two reversed."
    )
    candidates: int = Field(1000, gt=0, description="Random permutations tried for each new one.")
    k: Ks = None
    chunk_size: ChunkSize = 512


class BalancedPart(Section):
    """Few subsets at a few k, every expert and every pair equally often at each (docs/designs.md).

    The ends of the curve come first, k = 1 and the whole pool; a larger budget appends.
    """

    kind: Literal["balanced"] = Field(description="Balanced designs within a budget.")
    merges: int = Field(
        gt=0, description="The most merges of a size and a method; the base counts as none."
    )
    k: Ks = None
    chunk_size: ChunkSize = 512


DesignPart = Annotated[
    ExhaustivePart | UniformPart | PermutationPart | BalancedPart, Field(discriminator="kind")
]
