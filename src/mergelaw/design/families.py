"""Known 2-designs: families of subsets of k of m points that hold every pair equally often.

Points are numbered 0 to m - 1. A loss quadratic in the mean of the task vectors has, on the
subsets of such a family, exactly the mean that it has on all subsets of k: that mean depends on
how often pairs occur, and on nothing else. The constructions, and what exists: Colbourn & Dinitz,
Handbook of Combinatorial Designs, 2nd ed. 2007, parts II and VII.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from mergelaw.design.base_blocks import BASE_BLOCKS
from mergelaw.design.fields import field, prime_power
from mergelaw.design.orbits import develop

Block = frozenset[int]
Blocks = tuple[Block, ...]

MOST_BLOCKS = 1000
"""No family with more blocks is built."""


class Known(NamedTuple):
    """A 2-design: the name of its family, and its blocks."""

    family: str
    blocks: Blocks


@lru_cache(maxsize=512)
def smallest(m: int, k: int) -> Known | None:
    """Return the 2-design with the fewest blocks that is known here; None: too many, or none.

    A family and the complements of its blocks are both 2-designs. Of families with as many blocks
    the first is taken. All subsets of k, a 2-design always, come last.
    """
    found = [known for build in FAMILIES for known in build(m, k)]
    found += [_complement(m, known) for build in FAMILIES for known in build(m, m - k)]
    if math.comb(m, k) <= MOST_BLOCKS:
        everything = tuple(map(frozenset, itertools.combinations(range(m), k)))
        found.append(Known("all subsets", everything))
    return min(found, key=lambda known: len(known.blocks), default=None)


def _complement(m: int, known: Known) -> Known:
    everything = frozenset(range(m))
    blocks = tuple(everything - block for block in known.blocks)
    return Known(f"complements of: {known.family}", blocks)


def hyperplanes(m: int, k: int) -> Iterator[Known]:
    """Yield the hyperplanes of affine and projective spaces of n = 2, 3, ... dimensions.

    Affine: q^n points, k = q^(n - 1), q (q^n - 1)/(q - 1) blocks. Projective: (q^(n+1) - 1)/(q - 1)
    points and as many blocks, k = (q^n - 1)/(q - 1). (Handbook, II.1 and VII.2; the lines of a
    plane for n = 2.)
    """
    for q in range(2, k + 1):
        for n in range(2, 8):
            if (m, k) == (q**n, q ** (n - 1)) and prime_power(q):
                yield Known(f"affine space, n = {n}, q = {q}", affine_hyperplanes(q, n))
            points, on_each = (q ** (n + 1) - 1) // (q - 1), (q**n - 1) // (q - 1)
            if (m, k) == (points, on_each) and prime_power(q):
                yield Known(f"projective space, n = {n}, q = {q}", projective_hyperplanes(q, n))


def affine_hyperplanes(q: int, n: int) -> Blocks:
    """Return {x : a.x = c} for every direction a, and for it every c in turn."""
    points = list(itertools.product(range(q), repeat=n))
    values = [[_dot(q, normal, point) for point in points] for normal in _directions(q, n)]
    return tuple(
        frozenset(i for i, value in enumerate(row) if value == c)
        for row in values
        for c in range(q)
    )


def projective_hyperplanes(q: int, n: int) -> Blocks:
    """Return {x : a.x = 0} among the points of the projective space, for every a."""
    points = _directions(q, n + 1)
    return tuple(
        frozenset(i for i, point in enumerate(points) if _dot(q, normal, point) == 0)
        for normal in points
    )


def _directions(q: int, n: int) -> list[tuple[int, ...]]:
    """Return the vectors of n elements whose first non-zero one is 1: one of each line."""
    every = itertools.product(range(q), repeat=n)
    return [v for v in every if next((x for x in v if x), 0) == 1]


def _dot(q: int, a: tuple[int, ...], b: tuple[int, ...]) -> int:
    numbers = field(q)
    total = 0
    for x, y in zip(a, b, strict=True):
        total = numbers.plus[total][numbers.times[x][y]]
    return total


def affine_plane(q: int) -> list[list[set[int]]]:
    """Return the lines of the plane over the integers modulo a prime q, direction by direction.

    Points are numbered q x + y. Each of the q + 1 directions has q parallel lines of q points, and
    any two points share exactly one line.
    """
    cells = range(q)
    sloped = [[{q * x + (a * x + c) % q for x in cells} for c in cells] for a in cells]
    return [*sloped, [{q * x + y for y in cells} for x in cells]]


def crossing_lines(m: int, k: int) -> Iterator[Known]:
    """Yield two lines that cross, less the point where they do: m = q^2, k = 2 (q - 1), q odd.

    For a fixed matching of the q + 1 directions: q^2 (q + 1)/2 blocks, every pair 2q - 3 times. (Of
    the points, a pair on a line is counted q - 2 times by its own direction, q - 1 times by the
    others.)
    """
    q = math.isqrt(m)
    if q * q != m or k != 2 * (q - 1) or q % 2 == 0 or not prime_power(q):
        return
    lines = affine_hyperplanes(q, 2)
    classes = [lines[start : start + q] for start in range(0, len(lines), q)]
    pairs = zip(classes[::2], classes[1::2], strict=True)
    blocks = (a ^ b for first, second in pairs for a in first for b in second)
    yield Known(f"crossing lines of the affine plane, q = {q}", tuple(blocks))


def triples(m: int, k: int) -> Iterator[Known]:
    """Yield Bose's Steiner triple system for m = 6t + 3, Skolem's for m = 6t + 1.

    m (m - 1)/6 blocks, every pair once (Bose 1939, Annals of Eugenics 9:353; Skolem 1958, Math.
    Scand. 6:273; as in the Handbook, II.2).
    """
    if k == 3 and m > 3 and m % 6 in (1, 3):
        build = _bose if m % 6 == 3 else _skolem
        yield Known("Steiner triple system", tuple(map(frozenset, build(m // 6))))


def _bose(t: int) -> list[set[int]]:
    """Points (x, i), x modulo n = 2t + 1 and i modulo 3, numbered x + n i."""
    n = 2 * t + 1
    half = t + 1  # of 1, modulo n
    columns = [{x, x + n, x + 2 * n} for x in range(n)]
    mixed = [
        {x + n * i, y + n * i, (x + y) * half % n + n * ((i + 1) % 3)}
        for i in range(3)
        for x, y in itertools.combinations(range(n), 2)
    ]
    return columns + mixed


def _skolem(t: int) -> list[set[int]]:
    """Points (x, i), x modulo n = 2t and i modulo 3, numbered x + n i, and one more."""
    n = 2 * t
    last = 3 * n

    def product(x: int, y: int) -> int:
        total = (x + y) % n
        return total // 2 if total % 2 == 0 else (total + n - 1) // 2

    columns = [{x, x + n, x + 2 * n} for x in range(t)]
    with_last = [{last, t + x + n * i, x + n * ((i + 1) % 3)} for x in range(t) for i in range(3)]
    mixed = [
        {x + n * i, y + n * i, product(x, y) + n * ((i + 1) % 3)}
        for i in range(3)
        for x, y in itertools.combinations(range(n), 2)
    ]
    return columns + with_last + mixed


def cyclotomic(m: int, k: int) -> Iterator[Known]:
    """Yield the e-th powers of the field of m elements and their cosets, shifted by every element.

    m = e k + 1: the e cosets are a difference family, m e blocks; for odd k half of them are
    one (Wilson 1972, J. Number Theory 4:17; e = 2 and odd k: the quadratic residues of Paley 1933).
    """
    if k < 2 or (m - 1) % k or not prime_power(m):
        return
    numbers = field(m)
    e, powers = (m - 1) // k, numbers.powers()
    n_cosets = e // 2 if k % 2 and m % 2 else e
    if e < 2 or n_cosets * m > MOST_BLOCKS:
        return
    cosets = [powers[i::e] for i in range(n_cosets)]
    plus = numbers.plus
    blocks = (frozenset(plus[s][x] for x in coset) for coset in cosets for s in range(m))
    yield Known(f"powers in the field of {m}", tuple(blocks))


def paley(m: int) -> Blocks | None:
    """Return the symmetric 2-(m, (m-1)/2, (m-3)/4) design of quadratic residues, m = 3 mod 4."""
    if m % 4 != 3:
        return None
    return next((known.blocks for known in cyclotomic(m, (m - 1) // 2)), None)


def hadamard(m: int, k: int) -> Iterator[Known]:
    """Yield the 3-design of m = 4t points and 2t: Paley's with one point more, and complements.

    2 (m - 1) blocks (Handbook, V.1: Hadamard designs).
    """
    residues = paley(m - 1) if m == 2 * k else None
    if residues:
        grown = [block | {m - 1} for block in residues]
        blocks = [b for one in grown for b in (one, frozenset(range(m)) - one)]
        yield Known("Hadamard 3-design", tuple(blocks))


def biplane(m: int, k: int) -> Iterator[Known]:
    """Yield the 2-(16, 6, 2) design: row and column of a cell of a 4 x 4 table, without it."""
    if (m, k) == (16, 6):
        yield Known("biplane of order 4", _biplane())


def _biplane() -> Blocks:
    cells = list(itertools.product(range(4), repeat=2))
    return tuple(frozenset(4 * i + j for i, j in cells if (i == x) != (j == y)) for x, y in cells)


def residuals(m: int, k: int) -> Iterator[Known]:
    """Yield what is left of a symmetric design without one block and its points.

    From 2-(v, h, l): m = v - h points, k = h - l, v - 1 blocks (Handbook, II.6.2).
    """
    for v, name, blocks in _symmetric(m, k):
        left = sorted(set(range(v)) - blocks[0])
        number = {point: i for i, point in enumerate(left)}
        rest = (frozenset(number[p] for p in block - blocks[0]) for block in blocks[1:])
        yield Known(f"residual of: {name}", tuple(rest))


def _symmetric(m: int, k: int) -> Iterator[tuple[int, str, Blocks]]:
    """Yield symmetric designs whose residual has m points and blocks of k, and their points."""
    if (m, k) == (10, 4):
        yield 16, "biplane of order 4", _biplane()
    residues = paley(2 * m - 1) if m == 2 * k else None
    if residues:
        yield 2 * m - 1, "quadratic residues", residues


def from_base_blocks(m: int, k: int) -> Iterator[Known]:
    """Yield difference families found by search (Handbook, II.18 and VI.16)."""
    if (m, k) in BASE_BLOCKS:
        modulus, blocks = BASE_BLOCKS[m, k]
        name = "cyclic difference family" if modulus == m else "1-rotational difference family"
        yield Known(name, tuple(develop(blocks, modulus)))


FAMILIES: tuple[Callable[[int, int], Iterator[Known]], ...] = (
    hyperplanes,
    crossing_lines,
    triples,
    cyclotomic,
    hadamard,
    biplane,
    residuals,
    from_base_blocks,
)
"""Each yields the 2-designs that it has for m points and blocks of k."""
