"""Which subsets of the expert pool are merged, and how they are cut into chunks.

A pure function of the config, so that the DAG is static. Each part of a design is chunked on its
own: appending a part adds chunks and touches none; more draws within a part fill its last chunk.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mergelaw.config import Study
from mergelaw.config.design import DesignPart, ExhaustivePart, PermutationPart, UniformPart

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


def is_random_sample(study: Study, size: str, k: int) -> bool:
    """Tell whether the subsets of k experts are all, or drawn uniformly without replacement.

    Only then has their mean the textbook standard error of a sample from a finite pool.
    """
    parts = [p for p in study.size(size).design or study.design if p.k is None or k in p.k]
    return len(parts) == 1 and isinstance(parts[0], ExhaustivePart | UniformPart)


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


def exhaustive(pool: Sequence[str], ks: Sequence[int] | None = None) -> Iterator[Subset]:
    """Yield every subset of the pool.

    Without `ks` the order is binary counting, so that a new expert at the pool's end appends. With
    `ks` the subsets of the first k come first, so that a new k at the list's end appends.
    """
    if ks is None:
        for bits in range(1, 2 ** len(pool)):
            yield _subset(name for i, name in enumerate(pool) if bits >> i & 1)
    else:
        for k in ks:
            members = itertools.combinations(range(len(pool)), k)
            for chosen in sorted(members, key=lambda indices: indices[::-1]):
                yield _subset(pool[i] for i in chosen)


def uniform(pool: Sequence[str], ks: Sequence[int], per_k: int, seed: int) -> Iterator[Subset]:
    """Yield `per_k` subsets at each k, drawn without replacement; a larger `per_k` appends."""
    draws = [_distinct(pool, k, min(per_k, math.comb(len(pool), k)), seed) for k in ks]
    for round_ in itertools.zip_longest(*draws):
        yield from (subset for subset in round_ if subset is not None)


def _distinct(pool: Sequence[str], k: int, count: int, seed: int) -> list[Subset]:
    """Draw distinct k-subsets one after the other, so that a longer draw extends a shorter one."""
    generator = random.Random(f"{seed}/uniform/{k}")
    drawn: dict[Subset, None] = {}
    while len(drawn) < count:
        drawn[_subset(generator.sample(list(pool), k))] = None
    return list(drawn)


def permutations(
    pool: Sequence[str], count: int, candidates: int, seed: int
) -> list[tuple[str, ...]]:
    """Draw permutations far apart: the paper's Algorithm 1.

    The first is random and the second its reverse; each further one is the candidate whose smallest
    Hamming distance to those chosen is largest (Wang et al., arXiv 2509.24244, Algorithm 1).
    """
    generator = random.Random(f"{seed}/permutations")
    first = tuple(generator.sample(list(pool), len(pool)))
    chosen = [first, first[::-1]]
    while len(chosen) < count:
        tried = [tuple(generator.sample(list(pool), len(pool))) for _ in range(candidates)]
        chosen.append(max(tried, key=lambda p: min(_hamming(p, q) for q in chosen)))
    return chosen[:count]


def prefixes(orders: Sequence[tuple[str, ...]], ks: Sequence[int]) -> Iterator[Subset]:
    """Yield the first k of each permutation, permutation by permutation."""
    for order in orders:
        yield from (_subset(order[:k]) for k in ks)


def cyclic(order: Sequence[str], k: int) -> list[Subset]:
    """Return every run of k neighbours on the circle of an order: each expert in k of M subsets.

    One subset alone where k is all of them. Pairs are not balanced: neighbours meet often.
    """
    m = len(order)
    starts = range(m if k < m else 1)
    return [_subset(order[(start + step) % m] for step in range(k)) for start in starts]


def two_design(order: Sequence[str], k: int) -> list[Subset] | None:
    """Return subsets of k that hold every pair of experts equally often; None: none is known here.

    For a pool of M = q^2 experts, q prime, placed on the affine plane of order q row by row
    (Colbourn & Dinitz, Handbook of Combinatorial Designs, 2nd ed. 2007, II.1 and VII.2):

    - k = q: the q(q + 1) lines, every pair once;
    - k = 2(q - 1), q odd: two lines that cross, less the point where they do, for a fixed matching
      of the q + 1 directions: q^2 (q + 1)/2 subsets, every pair 2q - 3 times. (Of the points, a
      pair on a line is counted q - 2 times by its own direction, q - 1 times by the others.)
    - k = M - q and k = M - 2(q - 1): their complements.
    """
    m, q = len(order), math.isqrt(len(order))
    if q * q != m or not _is_prime(q):
        return None
    classes = affine_plane(q)
    found = {q: [line for parallel in classes for line in parallel]}
    if q > 2:
        found[2 * (q - 1)] = [
            one ^ other
            for first, second in zip(classes[::2], classes[1::2], strict=True)
            for one in first
            for other in second
        ]
    found |= {m - size: [set(range(m)) - s for s in sets] for size, sets in found.items()}
    return [_subset(order[i] for i in points) for points in found[k]] if k in found else None


def affine_plane(q: int) -> list[list[set[int]]]:
    """Return the lines of the plane over the integers modulo a prime q, direction by direction.

    Points are numbered q x + y. Each of the q + 1 directions has q parallel lines of q points, and
    any two points share exactly one line.
    """
    cells = range(q)
    sloped = [[{q * x + (a * x + c) % q for x in cells} for c in cells] for a in cells]
    return [*sloped, [{q * x + y for y in cells} for x in cells]]


def _is_prime(q: int) -> bool:
    return q > 1 and all(q % d for d in range(2, math.isqrt(q) + 1))


def _hamming(a: Sequence[str], b: Sequence[str]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def _subset(names: Iterator[str] | Sequence[str]) -> Subset:
    return Subset(tuple(sorted(names)))
