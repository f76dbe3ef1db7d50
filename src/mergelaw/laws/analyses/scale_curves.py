"""Mean loss over the scale, measured and fitted: where the quadratic in the scale fails."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.scale_surface import measured_scales, split, surface, values_of
from mergelaw.laws.schemas.scales import SCALE_CURVES
from mergelaw.variants import scales_of


def scale_curves(scales: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return every measured point beside the fitted surface, schema `SCALE_CURVES`.

    The base is the point at scale 0 of every k. It and the checked scales are not fitted: their
    errors tell where the quadratic fails.

    Parameters
    ----------
    scales : polars.DataFrame
        Losses with the columns of `mergelaw.tables.SCALE_LOSSES`.
    fits : polars.DataFrame
        Schema `SCALE_FITS`.
    """
    surfaces = {place: values_of(part) for place, part in split(fits).items()}
    points = split(_with_base(measured_scales(scales, study)))
    frames = [
        part.with_columns(loss_fitted=_fitted(part, surfaces.get(place)))
        for place, part in points.items()
    ]
    error = (pl.col("loss_fitted") - pl.col("loss")) / pl.col("loss")
    fitted = pl.col("scale").is_in(scales_of(study).fitted)
    return SCALE_CURVES.of(pl.concat(frames).with_columns(relative_error=error, fitted=fitted))


def _with_base(points: pl.DataFrame) -> pl.DataFrame:
    """Return the points of the merges, and the base's at every k."""
    merges, base = points.filter(pl.col("k") > 0), points.filter(k=0).drop("k")
    places = merges.select("size", "method", "domain", "k").unique(maintain_order=True)
    repeated = places.join(base, on=("size", "method", "domain"), maintain_order="left")
    return pl.concat([repeated.select(merges.columns), merges])


def _fitted(points: pl.DataFrame, values: dict[str, float] | None) -> pl.Series:
    if values is None:
        return pl.Series([None] * points.height, dtype=pl.Float64)
    return pl.Series(surface(points["scale"].to_numpy(), points["k"].to_numpy(), **values))
