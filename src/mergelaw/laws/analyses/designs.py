"""How well a design's few subsets stand for all: designs drawn from an exhaustive table."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.design import PermutationPart
from mergelaw.design import Subset, cyclic, exhaustive, permutations, prefixes, two_design
from mergelaw.errors import NotMadeError
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import DESIGNS
from mergelaw.laws.uncertainty import generator

N_DRAWS = 200
RUN_DRAWS = 10
"""Draws made of one run of Algorithm 1, which is slow, by relabelling its experts."""

ROUNDING = 1e-12
"""A relative sd below it is rounding: the design's mean is exact."""

Cell = tuple[str, str, int]
"""Size, method and k."""

Draws = list[Array]
"""Row numbers, among all subsets of k, of each draw's subsets."""


class Drawn(NamedTuple):
    """A design at one k, drawn again and again."""

    design: str
    k: int
    draws: Draws


def designs(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return how far the mean macro loss of a design is from the mean of all subsets.

    Every design is drawn `N_DRAWS` times with the experts relabelled at random, which makes each
    one unbiased: what is left in `bias` is the chance of the draws, `relative_sd / sqrt(N_DRAWS)`.

    - "uniform": as many subsets as Algorithm 1 has, without replacement;
    - "max_min_hamming": prefixes of 15 permutations, the paper's Algorithm 1, repeats counted once;
    - "cyclic": the M shifts of one random permutation, every expert equally often;
    - "two_design": every pair of experts equally often, where `mergelaw.design.two_design` has
      one. A loss quadratic in the mean of the task vectors then has no sampling error at all:
      its mean over subsets of k depends on how often pairs occur, and on nothing else.

    `variance_ratio` is the variance of a uniform sample of as many subsets, S^2 (1/n - 1/C) with
    C = C(M, k) (Cochran 1977, Sampling Techniques, theorem 2.2), over the design's; null where
    the design has all subsets, or an exact mean.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.

    Returns
    -------
    polars.DataFrame
        Schema `DESIGNS`, for every k < M of which a size has all subsets.

    Raises
    ------
    NotMadeError
        If no size has all subsets of a k below M.
    """
    pool = study.expert_names
    parts = _whole(losses, len(pool))
    if not parts:
        raise NotMadeError("no size has all subsets of k experts at any k below the pool's size")
    drawn = _drawn(pool, sorted({k for _, _, k in parts}), study.seed)
    rows: list[dict[str, object]] = []
    for (size, method, k), loss_of in parts.items():
        loss = np.array([loss_of[subset.name] for subset in exhaustive(pool, (k,))])
        names = {"size": size, "method": method, "k": k}
        rows += [
            names | {"design": one.design} | accuracy(loss, one.draws)
            for one in drawn
            if one.k == k
        ]
    return DESIGNS.frame(rows)


def accuracy(loss: Array, draws: Draws) -> dict[str, float | int | None]:
    """Return how well the means of draws stand for the mean of all, in units of that mean.

    Parameters
    ----------
    loss : array, shape (subsets,)
        Of all subsets of k.
    draws : list of int arrays
        Row numbers of each draw's subsets.
    """
    exact = loss.mean()
    means = np.array([loss[rows].mean() for rows in draws]) / exact
    sd = float(means.std(ddof=1))
    counts = np.array([len(rows) for rows in draws])
    fraction = np.mean(1 / counts) - 1 / len(loss)
    is_exact = sd < ROUNDING or len(loss) == counts.min()
    ratio = None if is_exact else float(loss.var(ddof=1) / exact**2 * fraction / sd**2)
    return {
        "n_subsets": round(counts.mean()),
        "n_draws": len(draws),
        "bias": float(means.mean() - 1),
        "relative_sd": sd,
        "relative_rmse": float(np.sqrt(np.mean((means - 1) ** 2))),
        "variance_ratio": ratio,
    }


def _whole(losses: pl.DataFrame, n_experts: int) -> dict[Cell, dict[str, float]]:
    """Return the macro loss of every subset, of each size, method and k < M that has them all."""
    macro = losses.filter((pl.col("domain") == MACRO) & pl.col("k").is_between(1, n_experts - 1))
    parts = macro.partition_by("size", "method", "k", as_dict=True, maintain_order=True)
    return {
        (size, method, k): dict(zip(part["subset"], part["loss"], strict=True))
        for (size, method, k), part in parts.items()
        if part.height == math.comb(n_experts, k)
    }


def _drawn(pool: Sequence[str], ks: Iterable[int], seed: int) -> list[Drawn]:
    """Return every design at every k, drawn `N_DRAWS` times; the same draws for all losses."""
    runs = _algorithm_1(pool, seed)
    drawn = []
    for k in ks:
        rows = {subset: i for i, subset in enumerate(exhaustive(pool, (k,)))}
        paper = [_rows(rows, prefixes(orders, (k,))) for orders in runs]
        n_uniform = round(np.mean([len(draw) for draw in paper]))
        uniform = generator(seed, "designs", "uniform", str(k))
        drawn += [
            Drawn("uniform", k, [_sample(uniform, len(rows), n_uniform) for _ in range(N_DRAWS)]),
            Drawn("max_min_hamming", k, paper),
        ]
        for name, construct in (("cyclic", cyclic), ("two_design", two_design)):
            draw = generator(seed, "designs", name, str(k))
            found = [construct(order, k) for order in _relabelled(pool, N_DRAWS, draw)]
            if found[0] is not None:
                drawn.append(Drawn(name, k, [_rows(rows, subsets or ()) for subsets in found]))
    return drawn


def _algorithm_1(pool: Sequence[str], seed: int) -> list[list[tuple[str, ...]]]:
    """Return the permutations of every draw: each run with its experts relabelled at random."""
    part = PermutationPart(kind="max_min_hamming")
    draw = generator(seed, "designs", "max_min_hamming")
    result = []
    for _ in range(N_DRAWS // RUN_DRAWS):
        run = permutations(pool, part.permutations, part.candidates, int(draw.integers(2**31)))
        for labels in _relabelled(pool, RUN_DRAWS, draw):
            new = dict(zip(pool, labels, strict=True))
            result.append([tuple(new[name] for name in order) for order in run])
    return result


def _relabelled(
    pool: Sequence[str], count: int, draw: np.random.Generator
) -> list[tuple[str, ...]]:
    return [tuple(pool[i] for i in draw.permutation(len(pool))) for _ in range(count)]


def _sample(draw: np.random.Generator, n_all: int, count: int) -> Array:
    """Draw rows without replacement; sorted, as equal sets must have means that are equal bits."""
    return np.sort(draw.choice(n_all, count, replace=False))


def _rows(rows: dict[Subset, int], subsets: Iterable[Subset]) -> Array:
    return np.array(sorted({rows[subset] for subset in subsets}))
