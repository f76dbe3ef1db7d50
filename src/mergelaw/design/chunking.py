"""A study's subsets, and how they are cut into chunks.

A pure function of the config, so that the DAG is static. Each part of a design is chunked on its
own: appending a part adds chunks and touches none; more draws within a part fill its last chunk.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

from mergelaw.config import Study
from mergelaw.config.design import (
    BalancedPart,
    DesignPart,
    ExhaustivePart,
    PermutationPart,
    UniformPart,
)
from mergelaw.design.balanced import Level, balanced, levels
from mergelaw.design.draws import exhaustive, permutations, prefixes, uniform
from mergelaw.design.subset import Chunk, Subset

Sampling = Literal["random", "balanced"]


def chunks(study: Study, size: str) -> tuple[Chunk, ...]:
    """Return the chunks of one size; the first subset of the first chunk is the base.

    Parameters
    ----------
    study : Study
        The study; its seed decides every random draw.
    size : str
        Name of the size.

    Returns
    -------
    tuple of Chunk
        In order of `index`; no subset occurs twice.
    """
    entry = study.size(size)
    parts = entry.design or study.design
    return _chunks(parts, entry.chunk_size, study.expert_names, study.seed)


def subsets(study: Study, size: str) -> Iterator[Subset]:
    """Yield all subsets of one size, the base first."""
    for chunk in chunks(study, size):
        yield from chunk.subsets


def sampling(study: Study, size: str, k: int) -> Sampling | None:
    """Tell how the subsets of k experts stand for all, where one part of the design has them.

    - "random": they are all, or drawn uniformly without replacement: their mean has the textbook
      standard error of a sample from a finite pool. Near-balanced subsets are told alike, though
      balance makes their error smaller: it is a bound.
    - "balanced": a 2-design, its experts relabelled at random; the mean errs by what a second-order
      model misses (`mergelaw.laws.balanced_errors`).
    - None: chosen in another way, or by several parts.
    """
    parts = [p for p in study.size(size).design or study.design if p.k is None or k in p.k]
    if len(parts) != 1:
        return None
    if isinstance(parts[0], BalancedPart):
        found = [level for level in levels_of(study, parts[0]) if level.k == k]
        return "balanced" if found and found[0].is_exact else "random"
    return "random" if isinstance(parts[0], ExhaustivePart | UniformPart) else None


def levels_of(study: Study, part: BalancedPart) -> tuple[Level, ...]:
    """Return what a balanced part of a study's design has at each k."""
    return levels(study.expert_names, part.merges, part.k, study.seed)


@lru_cache(maxsize=64)
def _chunks(
    parts: tuple[DesignPart, ...], chunk_size: int | None, pool: tuple[str, ...], seed: int
) -> tuple[Chunk, ...]:
    seen: set[Subset] = set()
    result: list[Chunk] = []
    for position, part in enumerate(parts):
        drawn = [Subset(())] if position == 0 else []
        drawn += [subset for subset in _draw(part, pool, seed) if subset not in seen]
        fresh = list(dict.fromkeys(drawn))
        seen.update(fresh)
        length = chunk_size or part.chunk_size
        for start in range(0, len(fresh), length):
            result.append(Chunk(len(result), tuple(fresh[start : start + length])))
    return tuple(result)


def _draw(part: DesignPart, pool: Sequence[str], seed: int) -> Iterator[Subset]:
    ks = part.k or tuple(range(1, len(pool) + 1))
    match part:
        case ExhaustivePart():
            return exhaustive(pool, ks if part.k else None)
        case UniformPart():
            return uniform(pool, ks, part.subsets_per_k, seed)
        case PermutationPart():
            return prefixes(permutations(pool, part.permutations, part.candidates, seed), ks)
        case BalancedPart():
            return balanced(pool, part.merges, part.k, seed)
