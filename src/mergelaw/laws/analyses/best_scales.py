"""The best scale of each k, as the surface gives it, against real merges at that scale."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.scale_surface import mean_losses, measured_scales, split, surface, values_of
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.scales import BEST_SCALES
from mergelaw.variants import scales_of

POINT = ("size", "method", "k")


def best_scales(
    scales: pl.DataFrame, fits: pl.DataFrame, best: pl.DataFrame, study: Study
) -> pl.DataFrame:
    """Return macro losses at the best scales, predicted and measured, schema `BEST_SCALES`.

    ``gain = L(reference scale) - L(best scale)`` on the same subsets, both measured or both from
    the surface; the reference is the measured scale nearest to 1. A best scale outside the fitted
    ones is an extrapolation.

    Parameters
    ----------
    scales, best : polars.DataFrame
        Losses with the columns of `mergelaw.tables.SCALE_LOSSES`: at the config's scales, and at
        the best ones.
    fits : polars.DataFrame
        Schema `SCALE_FITS`.

    Raises
    ------
    NotMadeError
        If no best scale is identified.
    """
    if best.is_empty():
        raise NotMadeError("no surface over scale and k is identified for the macro loss")
    section = scales_of(study)
    reference = min((*section.fitted, *section.checked), key=lambda scale: (abs(scale - 1), scale))
    at_one = measured_scales(scales, study).filter(domain=MACRO, scale=reference)
    points = mean_losses(best, study).filter(domain=MACRO)
    points = points.join(
        at_one.select(*POINT, reference_loss="loss"), on=POINT, maintain_order="left"
    )
    surfaces = {place: values_of(part) for place, part in split(fits).items()}
    frames = [
        part.with_columns(_predictions(part, reference, surfaces[place]))
        for place, part in split(points).items()
    ]
    return BEST_SCALES.of(
        pl.concat(frames).with_columns(
            relative_error=(pl.col("loss_predicted") - pl.col("loss")) / pl.col("loss"),
            reference_scale=pl.lit(reference),
            gain_predicted=pl.col("reference_predicted") - pl.col("loss_predicted"),
            gain=pl.col("reference_loss") - pl.col("loss"),
            inside=pl.col("scale").is_between(min(section.fitted), max(section.fitted)),
        )
    )


def _predictions(
    points: pl.DataFrame, reference: float, values: dict[str, float]
) -> list[pl.Series]:
    """Return what the surface says at the best scales, and at the reference scale."""
    k = points["k"].to_numpy()
    return [
        pl.Series("loss_predicted", surface(points["scale"].to_numpy(), k, **values)),
        pl.Series("reference_predicted", surface(reference, k, **values)),
    ]
