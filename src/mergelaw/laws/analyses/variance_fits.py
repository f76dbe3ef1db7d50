"""Which form the variance over subsets follows: finite pool, 1/k, or the paper's over N and k."""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.variance_forms import FORMS, Fitted, fit_form, fit_joint
from mergelaw.laws.criteria import aicc
from mergelaw.laws.estimates import split_by
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.schemas.subsets import VARIANCE_FITS

MIN_K = 3
"""Fewest k with a variance: any form of two parameters goes through two."""


def variance_fits(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return every form fitted to the variance over subsets, with the schema `VARIANCE_FITS`.

    The forms are `variance_forms.FORMS`, one size at a time, and "joint" (the paper, appendices
    H.2 and I.1). Unweighted, as in the paper, at the k < M with at least two subsets: k = M has one
    subset and a variance of 0 whatever the form says. The variances are those of
    `mergelaw.laws.analyses.variance`. AICc compares the forms of one size, not "joint" with them:
    that has other points. "finite_pool_seed" is fitted to methods that draw masks alone.

    Raises
    ------
    NotMadeError
        If no curve has three such k.
    """
    pool = len(study.experts)
    n_pool = pl.col("n_subsets_pool")
    points = curves.filter(pl.col("k").is_between(1, pool - 1) & (pl.col("n_subsets") > 1))
    points = points.filter(pl.len().over("method", "domain", "size") >= MIN_K)
    if points.is_empty():
        raise NotMadeError("no curve has two subsets at three k below the whole pool")
    points = points.with_columns(variance=pl.col("sd") ** 2 * (n_pool - 1) / n_pool)
    rows = []
    for (method, domain, size), part in split_by(points, FLOOR_TAIL):
        label = {"size": size, "method": method, "domain": domain}
        k, variance = part["k"].to_numpy().astype(float), part["variance"].to_numpy()
        masked = study.method(method).draws_masks
        for name, form in FORMS.items():
            if form.of_masks and not masked:
                continue
            rows += _rows(label | {"form": name}, fit_form(form, k, variance, pool), variance)
    for (method, domain, _), part in split_by(points, JOINT, study.off_ladder):
        label = {"form": "joint", "size": None, "method": method, "domain": domain}
        fitted = fit_joint(part, pool)
        rows += _rows(label, fitted, part["variance"].to_numpy()) if fitted else []
    return VARIANCE_FITS.frame(rows)


def _rows(
    label: dict[str, str | None], fitted: Fitted, variance: Array
) -> list[dict[str, str | float | int | bool | None]]:
    """Return one row for each parameter."""
    rss = float(np.sum((fitted.predicted - variance) ** 2))
    spread = float(np.sum((variance - variance.mean()) ** 2))
    good: dict[str, str | float | int | bool | None] = {
        **label,
        "n_points": len(variance),
        "r2": 1 - rss / spread if spread > 0 else None,
        "aicc": aicc(rss, len(variance), len(fitted.values), float(np.sqrt(np.mean(variance**2)))),
        "at_pool": fitted.at_pool,
    }
    return [
        good | {"parameter": name, "value": value, "at_bound": name in fitted.at_bound}
        for name, value in fitted.values.items()
    ]
