"""What methods do to one task vector: planned over a pool for an expert, applied at places."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mergelaw.config.methods import Banded, Dropped, Pruned, TiesParameters, of_expert
from mergelaw.merging import passes
from mergelaw.merging.operators import drop, prune
from mergelaw.merging.pool import Place, Pool
from mergelaw.merging.selection import Cut, Group

Psi = Callable[[Tensor, Place], Tensor]
"""psi of a task vector's entries at a place, shape (n,)."""


def unchanged(pool: Pool, expert: str) -> Psi:
    """Leave the task vector as it is."""
    return lambda delta, place: delta


def trimmed(p: TiesParameters, pool: Pool, expert: str) -> Psi:
    """Keep the largest entries of the model, or of each tensor."""
    groups = [pool.segments] if p.scope == "model" else [(part,) for part in pool.segments]
    density = of_expert(p.density, expert)
    sizes = [sum(part.n for part in group) for group in groups]
    counts = [_count(density, n) for n in sizes]
    if p.keep == "threshold":  # as the authors' code: all from the next magnitude up
        counts = [int(density * n) + 1 for n in sizes]
    cuts = _cuts(pool, expert, groups, counts, ties=p.keep == "exact")
    return lambda delta, place: cuts[place.tensor].keep(delta, place)


def banded(p: Banded, pool: Pool, expert: str) -> Psi:
    """Keep the entries of each tensor that follow its largest."""
    groups = [(part,) for part in pool.segments]
    kept = [_count(of_expert(p.density, expert), part.n) for part in pool.segments]
    outliers = [
        min(int(of_expert(p.gamma, expert) * part.n), part.n - count)
        for part, count in zip(pool.segments, kept, strict=True)
    ]
    upper = _cuts(pool, expert, groups, outliers)
    both = [a + b for a, b in zip(outliers, kept, strict=True)]
    lower = _cuts(pool, expert, groups, both)
    return lambda delta, place: (
        lower[place.tensor].keep(delta, place) - upper[place.tensor].keep(delta, place)
    )


def _cuts(
    pool: Pool,
    expert: str,
    groups: Sequence[Group],
    counts: Sequence[int],
    ties: bool = True,
) -> dict[str, Cut]:
    """Return the cut of every tensor."""

    def magnitudes(place: Place) -> Tensor:
        _, [delta] = pool.read(place, [expert])
        return delta.abs()

    cuts = passes.cuts(pool, [expert], magnitudes, groups, counts, ties)
    return {part.name: cut for group, cut in zip(groups, cuts, strict=True) for part in group}


def _count(density: float, n: int) -> int:
    """Return how many of n entries a density keeps: rounded down, but one at least."""
    return min(n, max(1, int(density * n)))


def dropped(p: Dropped, seed: str, pool: Pool, expert: str) -> Psi:
    """Drop at random, tensor by tensor."""
    rate, inverse = of_expert(p.drop_rate, expert), p.rescale == "inverse"

    def psi(delta: Tensor, place: Place) -> Tensor:
        key = f"{seed}/{expert}/{place.tensor}"
        return drop(delta, rate, key, place.start, inverse)

    return _rescaled(psi, pool, expert) if p.rescale == "l1" else psi


def pruned(p: Pruned, seed: str, pool: Pool, expert: str) -> Psi:
    """Drop at random by rank in the row."""
    density, epsilon = of_expert(p.density, expert), of_expert(p.epsilon, expert)
    inverse = p.rescale == "inverse"

    def psi(delta: Tensor, place: Place) -> Tensor:
        key = f"{seed}/{expert}/{place.tensor}"
        return prune(delta, place.segment.row, density, epsilon, key, place.start, inverse)

    return _rescaled(psi, pool, expert, whole_rows=True) if p.rescale == "l1" else psi


def _rescaled(psi: Psi, pool: Pool, expert: str, whole_rows: bool = False) -> Psi:
    """Bring what psi keeps of each tensor to the tensor's former L1 norm."""
    factors = passes.l1_factors(pool, expert, psi, whole_rows)
    return lambda delta, place: psi(delta, place) * factors[place.tensor]
