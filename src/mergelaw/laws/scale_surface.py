"""The loss as a surface over scale and k: its form, its best scale, and the points it is fitted to.

Averages and task arithmetic add c times the mean of k task vectors to the base. For a quadratic
loss with gradient g and curvature H at the base, and task vectors with mean mu and covariance
Sigma, the mean loss over subsets is quadratic in c and affine in 1/k (Wang et al., arXiv
2509.24244, theorem 3.1, with the scale kept).
"""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import TableError, listing
from mergelaw.laws.forms import Array, Values
from mergelaw.laws.rows import in_order, prepare, subset_losses
from mergelaw.laws.schemas import MACRO
from mergelaw.variants import scale_series

PARAMETERS = ("level", "slope", "curvature", "spread")

DECIMALS = 3
"""Of the best scales that are merged."""


def surface(
    scale: Values, k: Values, level: Values, slope: Values, curvature: Values, spread: Values
) -> Array:
    """Return the mean loss of k experts merged at a scale, in nats per token.

    ``L(c, k) = level + c slope + c^2/2 (curvature + spread / k)``, with slope = g' mu,
    curvature = mu' H mu and spread = Tr(H Sigma). At scale 0 it is the level, whatever k.
    """
    c = np.asarray(scale, float)
    return level + c * slope + c**2 / 2 * (curvature + spread / np.asarray(k, float))


def best_scale(k: Values, slope: Values, curvature: Values, spread: Values) -> Array:
    """Return the scale at which the surface is lowest, ``c*(k) = -slope/(curvature + spread/k)``.

    It is a minimum where ``curvature + spread / k`` is above 0. The surface there is the floor and
    tail law in k with offset ``spread / curvature``.
    """
    return -np.asarray(slope) / (curvature + spread / np.asarray(k, float))


def best_scales(fits: pl.DataFrame, ks: Iterable[int]) -> dict[tuple[str, int], float]:
    """Return the best scale of the macro loss by method and k, rounded.

    Methods whose surface is not identified are left out, and scales that are not above 0: the
    merge is then worse than the base, as far as the surface tells.

    Parameters
    ----------
    fits : polars.DataFrame
        One size of the table `SCALE_FITS`.
    ks : iterable of int
        Numbers of experts.
    """
    found: dict[tuple[str, int], float] = {}
    for (_, method, _), part in split(fits.filter(domain=MACRO)).items():
        if part["identified"].all():
            values = values_of(part)
            del values["level"]
            found |= {(method, k): round(float(best_scale(k, **values)), DECIMALS) for k in ks}
    return {place: scale for place, scale in found.items() if scale > 0}


def values_of(fit: pl.DataFrame) -> dict[str, float]:
    """Return the parameters of one surface by name from its rows of `SCALE_FITS`."""
    return dict(fit.select("parameter", "value").rows())


def mean_losses(rows: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the mean loss over subsets at each scale, the macro loss too.

    Parameters
    ----------
    rows : polars.DataFrame
        Columns of `mergelaw.tables.SCALE_LOSSES`.

    Returns
    -------
    polars.DataFrame
        Columns size, method, domain, k, scale, n_subsets, loss; k = 0 is the base at scale 0.

    Raises
    ------
    TableError
        If a table is incomplete or not the study's.
    """
    frames = [
        subset_losses(prepare(part.drop("scale"), study)).with_columns(scale=pl.lit(scale))
        for (scale,), part in rows.group_by("scale", maintain_order=True)
    ]
    place = ("size", "method", "domain", "k", "scale")
    means = (
        pl.concat(frames)
        .group_by(place, maintain_order=True)
        .agg(n_subsets=pl.len().cast(pl.Int64), loss=pl.col("loss").mean())
    )
    return in_order(means, study, "scale")


def measured_scales(rows: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return `mean_losses` of results/{study}/sweep/{size}/scales.parquet, checked to be complete.

    Raises
    ------
    TableError
        If a size lacks merges that the config asks for, or has others: the subsets must be the
        same at every scale.
    """
    expected = {
        (series.method.label, merge.name, series.scale if merge.k else 0.0)
        for series in scale_series(study)
        for merge in series.merges
    }
    problems = []
    for size in study.size_names:
        found = set(rows.filter(size=size).select("method", "subset", "scale").rows())
        n_missing, n_strange = len(expected - found), len(found - expected)
        if n_missing or n_strange:
            problems.append(
                f"size {size!r}: lacks {n_missing} merges of the config, has {n_strange} others: "
                "make it again with `mergelaw sweep scales`"
            )
    if problems:
        raise TableError(listing("losses at several scales", problems))
    return mean_losses(rows, study)


def split(points: pl.DataFrame) -> Mapping[tuple[str, str, str], pl.DataFrame]:
    """Return the points of each (size, method, domain), in the order of the table."""
    parts = points.partition_by("size", "method", "domain", as_dict=True, maintain_order=True)
    return {(size, method, domain): part for (size, method, domain), part in parts.items()}
