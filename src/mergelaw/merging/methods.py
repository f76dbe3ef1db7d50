"""Merging methods as recipes: what is done to one task vector, and how several are combined.

    merged = base + combine(psi(v_1), ..., psi(v_k)),   v_i = expert_i - base

psi depends on the expert alone and never on the subset, so that a sweep applies it once. Both may
need facts of whole tensors (a threshold, an angle) before any entry is merged: they are planned
over a pool first, and then applied to entries at a place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mergelaw.config.methods import (
    BreadcrumbsParameters,
    BreadcrumbsTiesParameters,
    DareParameters,
    DareTiesParameters,
    DellaLinearParameters,
    DellaParameters,
    KarcherParameters,
    LayerwiseParameters,
    Method,
    ModelStockParameters,
    NuslerpParameters,
    Scaled,
    SceParameters,
    SlerpParameters,
    TiesParameters,
    Weighted,
)
from mergelaw.merging import spheres
from mergelaw.merging.combinations import (
    Join,
    averaged,
    by_angles,
    elected,
    layered,
    nothing,
    selected,
    weights_of,
)
from mergelaw.merging.pool import Place, Pool
from mergelaw.merging.sparsifiers import Psi, banded, dropped, pruned, trimmed, unchanged


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
    mean : Scaled, optional
        The combination's parameters, where it is a weighted mean.
    """

    sparsify: Callable[[Pool, str], Psi]
    combine: Callable[[Pool, Sequence[str]], Join]
    sparse: bool = False
    whole_rows: bool = False
    by_tensor: bool = False
    mean: Scaled | None = None

    def planned(self, pool: Pool, experts: Sequence[str]) -> Join:
        """Return the combination of a subset; without experts nothing is added to the base."""
        return self.combine(pool, experts) if experts else nothing


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
    return _mean(unchanged, Scaled(weight=p.weight))


def task_arithmetic(p: Scaled, seed: str) -> Recipe:
    """Scale times the weighted mean (Ilharco et al., arXiv 2212.04089).

    With equal weights it is c / k times the sum (Wang et al., arXiv 2509.24244, Table 1).
    """
    return _mean(unchanged, p)


def ties(p: TiesParameters, seed: str) -> Recipe:
    """Trim, elect sign, disjoint mean, times c (Yadav et al., arXiv 2306.01708)."""
    return Recipe(partial(trimmed, p), partial(elected, p), sparse=True)


def dare(p: DareParameters, seed: str) -> Recipe:
    """Drop and rescale, then c times the mean (Yu et al., arXiv 2311.03099)."""
    return _mean(partial(dropped, p, seed), p, sparse=True)


def dare_ties(p: DareTiesParameters, seed: str) -> Recipe:
    """Drop and rescale, then TIES' election and disjoint mean (arXiv 2311.03099, 2306.01708)."""
    return Recipe(partial(dropped, p, seed), partial(elected, p), sparse=True)


def breadcrumbs(p: BreadcrumbsParameters, seed: str) -> Recipe:
    """Remove outliers and small entries of each tensor, then c times the mean.

    Source: Davari and Belilovsky, "Model Breadcrumbs", arXiv 2312.06795.
    """
    return _mean(partial(banded, p), p, sparse=True)


def breadcrumbs_ties(p: BreadcrumbsTiesParameters, seed: str) -> Recipe:
    """Remove outliers and small entries, then TIES' election and disjoint mean."""
    return Recipe(partial(banded, p), partial(elected, p), sparse=True)


def della(p: DellaParameters, seed: str) -> Recipe:
    """MagPrune, then TIES' election and disjoint mean (Deep et al., arXiv 2406.11617)."""
    combine = partial(elected, p, whole_rows=True)
    return Recipe(partial(pruned, p, seed), combine, sparse=True, whole_rows=True)


def della_linear(p: DellaLinearParameters, seed: str) -> Recipe:
    """MagPrune, then c times the mean (Deep et al., arXiv 2406.11617)."""
    return _mean(partial(pruned, p, seed), p, sparse=True, whole_rows=True)


def model_stock(p: ModelStockParameters, seed: str) -> Recipe:
    """Between base and mean, by the angle of the task vectors (Jang et al., arXiv 2403.19522)."""
    return _by_angles(lambda gram, experts: spheres.model_stock(gram))


def slerp(p: SlerpParameters, seed: str) -> Recipe:
    """On the great circle from the base to one expert (Shoemake, SIGGRAPH 1985)."""
    return _by_angles(lambda gram, experts: spheres.slerp(gram, p.t))


def nuslerp(p: NuslerpParameters, seed: str) -> Recipe:
    """On the great circle between two experts or their task vectors (Shoemake, SIGGRAPH 1985)."""
    return _by_angles(
        lambda gram, experts: spheres.nuslerp(gram, weights_of(p, experts), p.space == "weights")
    )


def karcher(p: KarcherParameters, seed: str) -> Recipe:
    """Mean on the sphere (Karcher, 1977)."""
    return _by_angles(
        lambda gram, experts: spheres.karcher(
            gram, weights_of(p, experts), p.space == "weights", p.max_iterations, p.tolerance
        )
    )


def layerwise(p: LayerwiseParameters, seed: str) -> Recipe:
    """Weighted sum, with weights by expert and group of tensors.

    merged_t = base_t + sum_i w_(g(t), i) v_(i, t), where g(t) is the first group that names the
    tensor t. Source: Yang et al., "AdaMerging", arXiv 2310.02575, equation 4; there a group is a
    layer and the weights are learned.
    """
    return Recipe(unchanged, partial(layered, p), by_tensor=True)


def sce(p: SceParameters, seed: str) -> Recipe:
    """Select by variance, weigh by energy, erase minority signs; tensor by tensor.

    The `density` share of coordinates where the experts' task vectors vary most is selected; an
    expert's weight is its share of the selected entries' sum of squares; entries against the sign
    of the sum are erased, and the others averaged with these weights.
    Source: Wan et al., "FuseChat", arXiv 2408.07990, section 3.3.
    """
    return Recipe(unchanged, partial(selected, p), by_tensor=True)


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
        layerwise,
    )
}
"""The recipe of each method, by its name in the config."""


def _mean(psi: Callable[[Pool, str], Psi], p: Scaled, **flags: bool) -> Recipe:
    return Recipe(psi, partial(averaged, p), mean=p, **flags)


def _by_angles(
    coefficients: Callable[[spheres.Matrix, Sequence[str]], spheres.Coefficients],
) -> Recipe:
    return Recipe(unchanged, partial(by_angles, coefficients), by_tensor=True)
