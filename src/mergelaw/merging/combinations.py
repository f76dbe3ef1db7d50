"""How methods combine the task vectors of a subset: planned over a pool, applied at places."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mergelaw.config.methods import (
    Elected,
    LayerGroup,
    LayerwiseParameters,
    Scaled,
    SceParameters,
    Weighted,
    of_expert,
)
from mergelaw.errors import ConfigError, listing
from mergelaw.merging import passes, spheres
from mergelaw.merging.operators import agreeing_mean, disjoint_mean, elected_sign, linear, mean
from mergelaw.merging.pool import Place, Pool
from mergelaw.merging.selection import EVERYTHING, Cut

Join = Callable[[Tensor, Iterable[Tensor], Place], Tensor]
"""What is added to the base at a place, from the base and the rows psi(v), each of shape (n,).

Rows are drawn one by one, once."""


def nothing(base: Tensor, rows: Iterable[Tensor], place: Place) -> Tensor:
    """Return 0: what is added to the base without experts, shape (n,)."""
    return torch.zeros_like(base)


def weights_of(p: Weighted | LayerGroup, experts: Sequence[str]) -> list[float]:
    """Return the experts' weights, in their order."""
    return [of_expert(p.weight, expert) for expert in experts]


def averaged(p: Scaled, pool: Pool, experts: Sequence[str]) -> Join:
    """Weigh, sum and scale."""
    weights = weights_of(p, experts)
    return lambda base, rows, place: mean(rows, weights, p.scale, p.normalize)


def layered(p: LayerwiseParameters, pool: Pool, experts: Sequence[str]) -> Join:
    """Weigh and sum, with the weights of the first group that names a tensor.

    Raises
    ------
    ConfigError
        If a group's name fits no tensor: a misspelt layer would keep other weights.
    """
    tensors = [part.name for part in pool.segments]
    problems = [
        f"parameters.groups[{number}].tensors = {pattern!r}: fits no tensor; one is {tensors[0]}"
        for number, group in enumerate(p.groups)
        for pattern in group.tensors
        if not any(fnmatchcase(tensor, pattern) for tensor in tensors)
    ]
    if problems:
        raise ConfigError(listing("method layerwise", problems))
    weights = {tensor: weights_of(_group_of(p, tensor), experts) for tensor in tensors}
    return lambda base, rows, place: mean(rows, weights[place.tensor], 1.0, normalize=False)


def _group_of(p: LayerwiseParameters, tensor: str) -> LayerGroup | LayerwiseParameters:
    """Return what holds a tensor's weights: the first group that names it, else the parameters."""
    named = (g for g in p.groups if any(fnmatchcase(tensor, pattern) for pattern in g.tensors))
    return next(named, p)


def elected(p: Elected, pool: Pool, experts: Sequence[str], whole_rows: bool = False) -> Join:
    """Elect signs and average what agrees (TIES)."""
    weights, zero_sign = weights_of(p, experts), _zero_sign(p, pool, experts, whole_rows)
    return lambda base, rows, place: disjoint_mean(rows, weights, p.scale, p.normalize, zero_sign)


def _zero_sign(p: Elected, pool: Pool, experts: Sequence[str], whole_rows: bool) -> Literal[1, -1]:
    """Return the sign elected where a sum is 0; `majority` counts the signs of the whole model."""
    if p.zero_sign == "positive":
        return 1
    weights = weights_of(p, experts)
    return -1 if passes.sign_balance(pool, experts, weights, whole_rows) < 0 else 1


def by_angles(
    coefficients: Callable[[spheres.Matrix, Sequence[str]], spheres.Coefficients],
    pool: Pool,
    experts: Sequence[str],
) -> Join:
    """Combine with coefficients that follow from a tensor's dot products."""
    # Rounded to float32: what is left of the order of summation in the dot products.
    with np.errstate(invalid="ignore"):  # an entry that is not finite is told when merged
        factors = {
            tensor: np.asarray(coefficients(gram, experts), dtype=np.float32).tolist()
            for tensor, gram in passes.grams(pool, experts).items()
        }
    return lambda base, rows, place: linear(base, rows, factors[place.tensor])


def selected(p: SceParameters, pool: Pool, experts: Sequence[str]) -> Join:
    """Select by variance, weigh by energy, erase minority signs (SCE)."""
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
    cuts = passes.cuts(pool, experts, variances, [(part,) for part in pool.segments], counts)
    return {part.name: cut for part, cut in zip(pool.segments, cuts, strict=True)}


def _variance(rows: Sequence[Tensor]) -> Tensor:
    """Return the variance over experts at each coordinate, shape (n,)."""
    centre = mean(rows, [1.0] * len(rows), 1.0, normalize=True)
    return mean([(row - centre).square_() for row in rows], [1.0] * len(rows), 1.0, normalize=True)
