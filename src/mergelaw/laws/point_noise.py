"""How the points of a curve err together: evaluation items, and subsets that were not measured.

Neither error is independent from point to point. The items are the same for all k and sizes. The
subsets sampled at one k are the same at all sizes, so a lucky sample is lucky at all of them.
"""

from collections.abc import Mapping
from math import comb
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import Draws, by_cell, curve_draws
from mergelaw.laws.rows import subset_losses
from mergelaw.laws.uncertainty import item_draws


class Noise(NamedTuple):
    """One source of error of the points of a curve.

    Attributes
    ----------
    covariance : array, shape (points, points)
        In squared nats per token.
    freedom : float
        Degrees of freedom that it was estimated with.
    """

    covariance: Array
    freedom: float


class Sources(NamedTuple):
    """What the noise of a study's points is computed from.

    Attributes
    ----------
    draws
        Losses with other items, by point.
    freedom
        Items less one, by domain.
    subsets
        Losses of subsets by method and domain: columns size, k, subset, loss.
    n_experts
        M.
    """

    draws: Draws
    freedom: Mapping[str, int]
    subsets: Mapping[tuple[str, str], pl.DataFrame]
    n_experts: int


def sources(rows: pl.DataFrame, study: Study) -> Sources:
    """Return the sources of noise of a study, from `mergelaw.laws.rows.prepare`."""
    items = item_draws(rows, study)
    losses = subset_losses(rows)
    parts = losses.partition_by("method", "domain", as_dict=True, maintain_order=True)
    subsets = {(str(method), str(domain)): part for (method, domain), part in parts.items()}
    return Sources(by_cell(items), items.freedom, subsets, len(study.experts))


def noise_of(points: pl.DataFrame, given: Sources) -> list[Noise] | None:
    """Return the noise of the points of one curve, source by source.

    Parameters
    ----------
    points : polars.DataFrame
        Rows of the schema `CURVES` of one method and domain.

    Returns
    -------
    None where it is not known: a domain with one item, or subsets that were neither drawn at random
    nor a 2-design (or one of many, which shows no spread).
    """
    if points["subset_se"].null_count():
        return None
    cells = points.select("size", "method", "domain", "k").rows()
    draws = curve_draws(given.draws, cells)
    if draws is None:
        return None
    found = [item_noise(draws, given.freedom[cells[0][2]])]
    for k in points.filter(pl.col("subset_se") > 0)["k"].unique().sort():
        losses = given.subsets[cells[0][1], cells[0][2]].filter(pl.col("k") == k)
        at = np.flatnonzero((points["k"] == k).to_numpy())
        noise = _of_k(losses, points["size"].gather(at), at, points.height, given.n_experts)
        found.append(_with_errors(noise, points["subset_se"].to_numpy()))
    return found


def item_noise(draws: Array, freedom: float) -> Noise:
    """Return the noise from the choice of items.

    Parameters
    ----------
    draws : array, shape (resamples, points)
        Losses with other items (`mergelaw.laws.uncertainty`).
    freedom : float
        Items less one. The number of draws is finite as well, and adds to what is not known.
    """
    covariance = np.atleast_2d(np.cov(draws, rowvar=False))
    return Noise(covariance, 1 / (1 / freedom + 1 / (len(draws) - 1)))


def subset_noise(losses: Array, n_pool: int) -> Noise:
    """Return the noise of the mean losses of several sizes over sampled subsets of one k.

    ``cov(a, b) = S_ab (m / (n_a n_b) - 1/C)`` with S_ab the covariance (divisor m - 1) over the m
    subsets that both sizes have, n_a and n_b their numbers of subsets, C those of the pool. For
    a = b it is the squared standard error of a sample from a finite pool (Cochran, Sampling
    Techniques, sections 2.6 and 2.7). A size with all its subsets has none.

    Parameters
    ----------
    losses : array, shape (subsets, sizes)
        NaN where a size lacks a subset.
    n_pool : int
        C.
    """
    has = np.isfinite(losses)
    n = has.sum(axis=0)
    covariance = np.zeros((len(n), len(n)))
    for a in range(len(n)):
        for b in range(a + 1):
            both = has[:, a] & has[:, b]
            m = int(both.sum())
            if m > 1:
                spread = np.cov(losses[both, a], losses[both, b])[0, 1]
                covariance[a, b] = covariance[b, a] = spread * (m / (n[a] * n[b]) - 1 / n_pool)
    return Noise(covariance, float(n[n < n_pool].min(initial=n_pool) - 1))


def _with_errors(noise: Noise, errors: Array) -> Noise:
    """Return the noise of sampled subsets with these standard errors, its correlations the same.

    Those of a random sample it has already. Those of a 2-design are smaller: they are of the part
    of the losses that a second-order surface misses (`mergelaw.laws.balanced_errors`); ASSUME that
    part is as alike from size to size as the losses are.
    """
    had = np.sqrt(np.diag(noise.covariance))
    if np.allclose(had, np.where(had > 0, errors, 0), rtol=1e-9, atol=0):
        return noise
    by = np.divide(errors, had, out=np.zeros_like(had), where=had > 0)
    return noise._replace(covariance=noise.covariance * np.outer(by, by))


def _of_k(
    losses: pl.DataFrame, sizes: pl.Series, at: Array, n_points: int, n_experts: int
) -> Noise:
    """Return the noise of one k as that of all points: the others have none of it."""
    wide = losses.pivot("size", index="subset", values="loss").select(sizes.to_list())
    part = subset_noise(wide.cast(pl.Float64).to_numpy(), comb(n_experts, int(losses["k"][0])))
    covariance = np.zeros((n_points, n_points))
    covariance[np.ix_(at, at)] = part.covariance
    return part._replace(covariance=covariance)
