"""Which subsets of the expert pool are merged, and how they are cut into chunks."""

from mergelaw.design.balanced import Level, balanced, levels, two_design
from mergelaw.design.budget import merges_for
from mergelaw.design.chunking import chunks, levels_of, sampling, subsets
from mergelaw.design.draws import cyclic, exhaustive, permutations, prefixes, uniform
from mergelaw.design.families import affine_plane, smallest
from mergelaw.design.subset import BASE, MULTITASK, Chunk, Subset

__all__ = [
    "BASE",
    "MULTITASK",
    "Chunk",
    "Level",
    "Subset",
    "affine_plane",
    "balanced",
    "chunks",
    "cyclic",
    "exhaustive",
    "levels",
    "levels_of",
    "merges_for",
    "permutations",
    "prefixes",
    "sampling",
    "smallest",
    "subsets",
    "two_design",
    "uniform",
]
