"""The surface of the loss over scale and k, fitted to measured merges at several scales."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import Array
from mergelaw.laws.scale_surface import PARAMETERS, measured_scales, split
from mergelaw.laws.schemas.scales import SCALE_FITS
from mergelaw.variants import scales_of


class SurfaceFit(NamedTuple):
    """A fitted surface.

    Attributes
    ----------
    values : dict of str to float
        By the names of `PARAMETERS`.
    stderrs : dict of str to float
        Standard errors from the residuals; empty where no degree of freedom is left.
    r2 : float
    notes : tuple of str
        Why its best scale is not identified; none where it is.
    """

    values: dict[str, float]
    stderrs: dict[str, float]
    r2: float
    notes: tuple[str, ...]

    @property
    def offset(self) -> float | None:
        """The offset of the law at the best scale, in experts; None where not identified."""
        return None if self.notes else self.values["spread"] / self.values["curvature"]


def scale_fits(scales: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the surface of every size, method and domain (macro too), schema `SCALE_FITS`.

    It is fitted to the means over subsets at the fitted scales, all k. The base is far from the
    merges, where the loss is no longer quadratic, and takes no part; nor do the checked scales.

    Parameters
    ----------
    scales : polars.DataFrame
        Losses with the columns of `mergelaw.tables.SCALE_LOSSES`.
    """
    points = measured_scales(scales, study)
    points = points.filter(pl.col("scale").is_in(scales_of(study).fitted))
    rows: list[dict[str, Any]] = []
    for (size, method, domain), part in split(points).items():
        fitted = fit_surface(*(part[name].to_numpy() for name in ("scale", "k", "loss")))
        place = {"size": size, "method": method, "domain": domain, "n_points": part.height}
        rows += [place | row for row in _rows(fitted)] if fitted else []
    return SCALE_FITS.frame(rows)


def fit_surface(scale: Array, k: Array, loss: Array) -> SurfaceFit | None:
    """Fit the surface by linear least squares, every point alike; None where it is not determined.

    The standard errors are the textbook's, from the residuals (Draper & Smith, Applied Regression
    Analysis, section 5.2). Points share their subsets and text, so that the residuals tell how far
    the surface is from the means, and not how far these are from those of other text.

    Parameters
    ----------
    scale, k, loss : arrays, shape (points,)
        Mean losses in nats per token.
    """
    columns = np.column_stack([np.ones(len(loss)), scale, scale**2 / 2, scale**2 / (2 * k)])
    if np.linalg.matrix_rank(columns) < len(PARAMETERS):
        return None
    inverse = np.linalg.pinv(columns)
    values = inverse @ loss
    residual = loss - columns @ values
    n_free = len(loss) - len(PARAMETERS)
    around = loss - loss.mean()
    errors: Array = np.array([])
    if n_free:
        errors = np.sqrt(residual @ residual / n_free * (inverse**2).sum(axis=1))
    named = dict(zip(PARAMETERS, values.tolist(), strict=True))
    stderrs = dict(zip(PARAMETERS, errors.tolist(), strict=False))
    r2 = 1 - float(residual @ residual / (around @ around)) if around.any() else 0.0
    return SurfaceFit(named, stderrs, r2, tuple(_notes(named, stderrs, np.unique(k))))


def _notes(values: dict[str, float], stderrs: dict[str, float], ks: Array) -> Iterator[str]:
    """Yield, in words, what stands against a best scale."""
    if values["curvature"] <= 0:
        yield "the curvature is not above 0: no best scale for many experts"
    bent = values["curvature"] + values["spread"] / ks
    if (bent <= 0).any():
        yield f"no lowest point over the scale at k = {', '.join(f'{k:g}' for k in ks[bent <= 0])}"
    if not stderrs:
        yield "as many parameters as points: no standard errors"
    for name, error in stderrs.items():
        if name != "level" and error >= abs(values[name]):
            yield f"the standard error of the {name} exceeds its value"


def _rows(fitted: SurfaceFit) -> list[dict[str, Any]]:
    return [
        {
            "parameter": name,
            "value": value,
            "stderr": fitted.stderrs.get(name),
            "offset": fitted.offset,
            "r2": fitted.r2,
            "identified": not fitted.notes,
            "note": "; ".join(fitted.notes) or None,
        }
        for name, value in fitted.values.items()
    ]
