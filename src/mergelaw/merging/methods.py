"""Merging methods as recipes: what is done to one task vector, and how several are combined.

    merged = base + combine(psi(v_1), ..., psi(v_k)),   v_i = expert_i - base

psi depends on the expert alone and never on the subset, so that a sweep applies it once. Both may
need facts of whole tensors (a threshold, an angle) before any entry is merged: they are planned
over a pool first, and then applied to entries at a place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mergelaw.config.methods import (
    Banded,
    BreadcrumbsParameters,
    BreadcrumbsTiesParameters,
    DareParameters,
    DareTiesParameters,
    DellaLinearParameters,
    DellaParameters,
    Dropped,
    Elected,
    KarcherParameters,
    Method,
    ModelStockParameters,
    NuslerpParameters,
    Pruned,
    Scaled,
    SceParameters,
    SlerpParameters,
    TiesParameters,
    Weighted,
    of_expert,
)
from mergelaw.merging import passes, spheres
from mergelaw.merging.operators import (
    agreeing_mean,
    disjoint_mean,
    drop,
    elected_sign,
    linear,
    mean,
    prune,
)
from mergelaw.merging.pool import NotFiniteError, Place, Pool, not_finite
from mergelaw.merging.selection import EVERYTHING, Cut, Group, Magnitudes, largest

Psi = Callable[[Tensor, Place], Tensor]
"""psi of a task vector's entries at a place, shape (n,)."""
Join = Callable[[Tensor, Iterable[Tensor], Place], Tensor]
"""What is added to the base at a place, from the base and the rows psi(v), each of shape (n,).

Rows are drawn one by one, once."""


@dataclass(frozen=True)
class Recipe:
    """A method with its parameters.

    Attributes
    ----------
    sparsify : callable
        Plans psi for one expert of a pool.
    combine : callable
        Plans the combination of a subset, over the pool of psi(v).
    sparse : bool
        Whether psi sets entries to 0.
    whole_rows : bool
        Whether psi must see whole rows of a tensor.
    by_tensor : bool
        Whether the combination differs from tensor to tensor.
    """

    sparsify: Callable[[Pool, str], Psi]
    combine: Callable[[Pool, Sequence[str]], Join]
    sparse: bool = False
    whole_rows: bool = False
    by_tensor: bool = False

    def planned(self, pool: Pool, experts: Sequence[str]) -> Join:
        """Return the combination of a subset; without experts nothing is added to the base."""
        return self.combine(pool, experts) if experts else _nothing


def recipe(method: Method, seed: str) -> Recipe:
    """Return the recipe of a method entry.

    Parameters
    ----------
    method : Method
        The config's entry.
    seed : str
        Names all random numbers of the study and mask seed; experts and tensors are added to it.
    """
    return RECIPES[method.method](method.parameters, seed)


def merged_delta(
    base: Tensor, rows: Iterable[Tensor], join: Join, place: Place, accumulate: torch.dtype
) -> Tensor:
    """Return what is added to the base, in float32, shape (n,).

    Parameters
    ----------
    base : float32 tensor, shape (n,)
    rows : iterable of float32 tensors, shape (n,)
        psi(v) of each expert, in the order of summation.
    join : callable
        A recipe's planned combination.
    place : Place
        Where the entries lie.
    accumulate : torch.dtype
        Type of the rows and of their running sum.
    """
    return join(base, (row.to(accumulate) for row in rows), place).float()


def average(p: Weighted, seed: str) -> Recipe:
    """Weighted mean of the task vectors (Wortsman et al., arXiv 2203.05482)."""
    return Recipe(_unchanged, partial(_mean, Scaled(weight=p.weight)))


def task_arithmetic(p: Scaled, seed: str) -> Recipe:
    """Scale times the weighted mean (Ilharco et al., arXiv 2212.04089).

    With equal weights it is c / k times the sum (Wang et al., arXiv 2509.24244, Table 1).
    """
    return Recipe(_unchanged, partial(_mean, p))


def ties(p: TiesParameters, seed: str) -> Recipe:
    """Trim, elect sign, disjoint mean, times c (Yadav et al., arXiv 2306.01708)."""
    return Recipe(partial(_trimmed, p), partial(_elected, p), sparse=True)


def dare(p: DareParameters, seed: str) -> Recipe:
    """Drop and rescale, then c times the mean (Yu et al., arXiv 2311.03099)."""
    return Recipe(partial(_dropped, p, seed), partial(_mean, p), sparse=True)


def dare_ties(p: DareTiesParameters, seed: str) -> Recipe:
    """Drop and rescale, then TIES' election and disjoint mean (arXiv 2311.03099, 2306.01708)."""
    return Recipe(partial(_dropped, p, seed), partial(_elected, p), sparse=True)


def breadcrumbs(p: BreadcrumbsParameters, seed: str) -> Recipe:
    """Remove outliers and small entries of each tensor, then c times the mean.

    Source: Davari and Belilovsky, "Model Breadcrumbs", arXiv 2312.06795.
    """
    return Recipe(partial(_banded, p), partial(_mean, p), sparse=True)


def breadcrumbs_ties(p: BreadcrumbsTiesParameters, seed: str) -> Recipe:
    """Remove outliers and small entries, then TIES' election and disjoint mean."""
    return Recipe(partial(_banded, p), partial(_elected, p), sparse=True)


def della(p: DellaParameters, seed: str) -> Recipe:
    """MagPrune, then TIES' election and disjoint mean (Deep et al., arXiv 2406.11617)."""
    combine = partial(_elected, p, whole_rows=True)
    return Recipe(partial(_pruned, p, seed), combine, sparse=True, whole_rows=True)


def della_linear(p: DellaLinearParameters, seed: str) -> Recipe:
    """MagPrune, then c times the mean (Deep et al., arXiv 2406.11617)."""
    return Recipe(partial(_pruned, p, seed), partial(_mean, p), sparse=True, whole_rows=True)


def model_stock(p: ModelStockParameters, seed: str) -> Recipe:
    """Between base and mean, by the angle of the task vectors (Jang et al., arXiv 2403.19522)."""
    return _by_angles(lambda gram, experts: spheres.model_stock(gram))


def slerp(p: SlerpParameters, seed: str) -> Recipe:
    """On the great circle from the base to one expert (Shoemake, SIGGRAPH 1985)."""
    return _by_angles(lambda gram, experts: spheres.slerp(gram, p.t))


def nuslerp(p: NuslerpParameters, seed: str) -> Recipe:
    """On the great circle between two experts or their task vectors (Shoemake, SIGGRAPH 1985)."""
    return _by_angles(
        lambda gram, experts: spheres.nuslerp(gram, _weights(p, experts), p.space == "weights")
    )


def karcher(p: KarcherParameters, seed: str) -> Recipe:
    """Mean on the sphere (Karcher, 1977)."""
    return _by_angles(
        lambda gram, experts: spheres.karcher(
            gram, _weights(p, experts), p.space == "weights", p.max_iterations, p.tolerance
        )
    )


def sce(p: SceParameters, seed: str) -> Recipe:
    """Select by variance, weigh by energy, erase minority signs; tensor by tensor.

    The `density` share of coordinates where the experts' task vectors vary most is selected; an
    expert's weight is its share of the selected entries' sum of squares; entries against the sign
    of the sum are erased, and the others averaged with these weights.
    Source: Wan et al., "FuseChat", arXiv 2408.07990, section 3.3.
    """
    return Recipe(_unchanged, partial(_selected, p), by_tensor=True)


RECIPES: Mapping[str, Callable[[Any, str], Recipe]] = {
    function.__name__: function
    for function in (
        average,
        task_arithmetic,
        ties,
        dare,
        dare_ties,
        breadcrumbs,
        breadcrumbs_ties,
        della,
        della_linear,
        model_stock,
        sce,
        slerp,
        nuslerp,
        karcher,
    )
}
"""The recipe of each method, by its name in the config."""


# What is done to one task vector.


def _unchanged(pool: Pool, expert: str) -> Psi:
    return lambda delta, place: delta


def _trimmed(p: TiesParameters, pool: Pool, expert: str) -> Psi:
    """Keep the largest entries of the model, or of each tensor."""
    groups = [pool.segments] if p.scope == "model" else [(part,) for part in pool.segments]
    density = of_expert(p.density, expert)
    sizes = [sum(part.n for part in group) for group in groups]
    counts = [_count(density, n) for n in sizes]
    if p.keep == "threshold":  # as the authors' code: all from the next magnitude up
        counts = [int(density * n) + 1 for n in sizes]
    cuts = _cuts(pool, expert, groups, counts, ties=p.keep == "exact")
    return lambda delta, place: cuts[place.tensor].keep(delta, place)


def _banded(p: Banded, pool: Pool, expert: str) -> Psi:
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

    cuts = _largest(pool, [expert], magnitudes, groups, counts, ties)
    return {part.name: cut for group, cut in zip(groups, cuts, strict=True) for part in group}


def _largest(
    pool: Pool,
    experts: Sequence[str],
    magnitudes: Magnitudes,
    groups: Sequence[Group],
    counts: Sequence[int],
    ties: bool = True,
) -> list[Cut]:
    """Return the cuts of groups; say whose entry is not finite, if one is."""
    try:
        return largest(magnitudes, groups, counts, pool.n_workers, ties)
    except NotFiniteError as error:
        raise not_finite(pool, experts, error.tensor) or error from None


def _count(density: float, n: int) -> int:
    """Return how many of n entries a density keeps: rounded down, but one at least."""
    return min(n, max(1, int(density * n)))


def _dropped(p: Dropped, seed: str, pool: Pool, expert: str) -> Psi:
    """Drop at random, tensor by tensor."""
    rate, inverse = of_expert(p.drop_rate, expert), p.rescale == "inverse"

    def psi(delta: Tensor, place: Place) -> Tensor:
        key = f"{seed}/{expert}/{place.tensor}"
        return drop(delta, rate, key, place.start, inverse)

    return _rescaled(psi, pool, expert) if p.rescale == "l1" else psi


def _pruned(p: Pruned, seed: str, pool: Pool, expert: str) -> Psi:
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


# How several are combined.


def _nothing(base: Tensor, rows: Iterable[Tensor], place: Place) -> Tensor:
    return torch.zeros_like(base)


def _weights(p: Weighted, experts: Sequence[str]) -> list[float]:
    return [of_expert(p.weight, expert) for expert in experts]


def _mean(p: Scaled, pool: Pool, experts: Sequence[str]) -> Join:
    weights = _weights(p, experts)
    return lambda base, rows, place: mean(rows, weights, p.scale, p.normalize)


def _elected(p: Elected, pool: Pool, experts: Sequence[str], whole_rows: bool = False) -> Join:
    weights, zero_sign = _weights(p, experts), _zero_sign(p, pool, experts, whole_rows)
    return lambda base, rows, place: disjoint_mean(rows, weights, p.scale, p.normalize, zero_sign)


def _zero_sign(p: Elected, pool: Pool, experts: Sequence[str], whole_rows: bool) -> Literal[1, -1]:
    """Return the sign elected where a sum is 0; `majority` counts the signs of the whole model."""
    if p.zero_sign == "positive":
        return 1
    weights = _weights(p, experts)
    return -1 if passes.sign_balance(pool, experts, weights, whole_rows) < 0 else 1


def _by_angles(coefficients: Callable[[spheres.Matrix, Sequence[str]], Any]) -> Recipe:
    """Return the recipe of a combination that follows from a tensor's dot products."""

    def combine(pool: Pool, experts: Sequence[str]) -> Join:
        # Rounded to float32: what is left of the order of summation in the dot products.
        with np.errstate(invalid="ignore"):  # an entry that is not finite is told when merged
            factors = {
                tensor: np.asarray(coefficients(gram, experts), dtype=np.float32).tolist()
                for tensor, gram in passes.grams(pool, experts).items()
            }
        return lambda base, rows, place: linear(base, rows, factors[place.tensor])

    return Recipe(_unchanged, combine, by_tensor=True)


def _selected(p: SceParameters, pool: Pool, experts: Sequence[str]) -> Join:
    cuts = dict.fromkeys((part.name for part in pool.segments), EVERYTHING)
    if p.density < 1:
        cuts = _variance_cuts(p, pool, experts)

    def select(rows: Iterable[Tensor], place: Place) -> list[Tensor]:
        rows = list(rows)
        if cuts[place.tensor] == EVERYTHING:
            return rows
        kept = cuts[place.tensor].keep(_variance(rows), place).gt_(0)
        return [row * kept for row in rows]

    energies = passes.energies(pool, experts, select)

    def join(base: Tensor, rows: Iterable[Tensor], place: Place) -> Tensor:
        rows, shares = select(rows, place), energies[place.tensor]
        weighted = [row * share for row, share in zip(rows, shares, strict=True)]
        return agreeing_mean(weighted, shares, elected_sign(rows), normalize=True)

    return join


def _variance_cuts(p: SceParameters, pool: Pool, experts: Sequence[str]) -> dict[str, Cut]:
    """Return the cut of every tensor by variance; coordinates without variance do not count."""

    def variances(place: Place) -> Tensor:
        _, deltas = pool.read(place, experts)
        return _variance(list(deltas))

    varying = passes.nonzeros(pool, variances)
    counts = [int(p.density * varying.get(part.name, 0)) for part in pool.segments]
    cuts = _largest(pool, experts, variances, [(part,) for part in pool.segments], counts)
    return {part.name: cut for part, cut in zip(pool.segments, cuts, strict=True)}


def _variance(rows: Sequence[Tensor]) -> Tensor:
    """Return the variance over experts at each coordinate, shape (n,)."""
    centre = mean(rows, [1.0] * len(rows), 1.0, normalize=True)
    return mean([(row - centre).square_() for row in rows], [1.0] * len(rows), 1.0, normalize=True)
