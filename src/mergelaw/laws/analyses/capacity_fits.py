"""The law with training tokens in the place of N: settings that differ in length alone."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.more_laws import CAPACITY
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.capacity import CAPACITY_FITS
from mergelaw.laws.training_settings import same_but_longer, trainings

MILLION = 1e6
FEWEST = CAPACITY.variables["capacity"][0]
"""Settings that the law needs; below its second number a fit says that there are few."""


def capacity_fits(
    training: pl.DataFrame, curves: pl.DataFrame, fits: pl.DataFrame, study: Study
) -> pl.DataFrame:
    """Return the law over training tokens and k of every base and method, macro loss.

    ``L(C, k) = L* + B C^-beta + A0 C^-gamma / (k + b)``, C in millions of tokens that an expert
    was trained on (`mergelaw.laws.forms.capacity`; not in the paper). Only settings that differ
    in their steps or epochs: another learning rate or a LoRA rank is another law. The law's floor
    falls with C: where the settings' own floors do not, it is not identified, however small its
    errors.

    Parameters
    ----------
    training : polars.DataFrame
        Schema `mergelaw.tables.TRAINING_LOG`, all sizes.
    curves, fits : polars.DataFrame
        Schemas `CURVES` and `FITS`.

    Raises
    ------
    NotMadeError
        If no base has three settings that differ in their length alone, or no curve can be fitted.
    """
    settings = {base: same_but_longer(study, base) for base in study.ladder}
    most = max(map(len, settings.values()), default=0)
    if most < FEWEST:
        raise NotMadeError(
            f"the law over training tokens needs {FEWEST} settings that differ in `steps` or "
            f"`epochs` alone, `training.expert` among them, and there are {most}"
        )
    points = curves.filter(pl.col("k") > 0, pl.col("domain") == MACRO)
    tokens = trainings(training, study).select("size", capacity=pl.col("training_tokens") / MILLION)
    points = points.join(tokens, on="size", how="left", maintain_order="left")
    rows: list[dict[str, Any]] = []
    for base, sizes in settings.items():
        mine = points.filter(pl.col("size").is_in(sizes))
        for (method,), part in mine.partition_by(
            "method", as_dict=True, maintain_order=True
        ).items():
            label = {"base_size": base, "method": method, "n_settings": len(sizes)}
            rows += [label | row for row in _rows(part, fits)]
    if not rows:
        raise NotMadeError("no base has three settings and three k for the law over both")
    return CAPACITY_FITS.frame(rows)


def _rows(points: pl.DataFrame, fits: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a row for each parameter; none where the points are too few."""
    variables = {name: points[name].to_numpy() for name in ("capacity", "k")}
    errors = points["subset_se"].to_numpy()
    try:
        fitted = fit(CAPACITY, variables, points["loss"].to_numpy(), "measured", errors)
    except FitError:
        return
    notes = [*_rising_floors(points, fits), *fitted.notes]
    for parameter in fitted.parameters:
        yield {
            "parameter": parameter.name,
            "value": parameter.value,
            "stderr": parameter.stderr,
            "at_bound": parameter.at_bound,
            "identified": fitted.identified and notes == list(fitted.notes),
            "r2": fitted.r2,
            "largest_error": fitted.max_relative_error,
            "note": "; ".join(notes) or None,
        }


def _rising_floors(points: pl.DataFrame, fits: pl.DataFrame) -> Iterator[str]:
    """Say where the floors of the settings' own fits do not fall with the tokens."""
    own = fits.filter(pl.col("law") == FLOOR_TAIL.name, pl.col("parameter") == "floor")
    settings = points.select("size", "capacity", "method", "domain").unique()
    floors = own.join(settings, on=("size", "method", "domain")).sort("capacity")
    rises = [
        f"{before} to {after}"
        for (before, low), (after, high) in pairwise(floors.select("size", "value").iter_rows())
        if high >= low
    ]
    if rises:
        yield f"the floors of single settings do not fall from {', '.join(rises)}"
