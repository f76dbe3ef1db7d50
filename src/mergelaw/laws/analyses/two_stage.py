"""The paper's second way of fitting (its Table 12): each size first, then lines over the sizes."""

from typing import Any

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.more_laws import SIZE_FLOOR
from mergelaw.laws.schemas.doubts import TWO_STAGE

MIN_SIZES = 3
ENOUGH_SIZES = 4
CURVE = ("method", "domain", "size")
OFFSET_END = FLOOR_TAIL.parameters[2].maximum


def two_stage(curves: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the floors and tails of the sizes as functions of N, with the schema `TWO_STAGE`.

    First stage: floor, tail and offset of each size, from `fits`. Second: ``floor(N) = L* + B
    N^-beta`` by least squares with L*, B >= 0, and ``log tail(N) = log A0 - gamma log N`` by a
    straight line, so that gamma may be negative. `r2_floor` is of the floors, `r2_tail` of the
    logarithms. The errors of the first stage do not enter the second. Only sizes of the ladder
    count: a size under another training setting is no other N.

    Raises
    ------
    NotMadeError
        If no method and domain has fits at three sizes.
    """
    wide = fits.filter(pl.col("law") == FLOOR_TAIL.name).pivot(
        "parameter", index=CURVE, values=["value", "at_bound"]
    )
    ladder = curves.filter(~pl.col("size").is_in(study.off_ladder))
    sizes = ladder.select("size", "n_params_billions").unique(maintain_order=True)
    points = wide.join(sizes, on="size", maintain_order="left")
    rows = [
        {"method": method, "domain": domain} | _stage(part)
        for (method, domain), part in points.partition_by(
            "method", "domain", as_dict=True, maintain_order=True
        ).items()
        if part["n_params_billions"].n_unique() >= MIN_SIZES
    ]
    if not rows:
        raise NotMadeError("no method and domain has fits at three sizes")
    return TWO_STAGE.frame(rows)


def _stage(points: pl.DataFrame) -> dict[str, Any]:
    """Return one row of the table, without its names."""
    n = points["n_params_billions"].to_numpy()
    floor, tail = points["value_floor"].to_numpy(), points["value_tail"].to_numpy()
    notes = []
    if points.height < ENOUGH_SIZES:
        notes.append(f"{points.height} sizes: the floors' three parameters go through any of them")
    if at_bound := int((points["at_bound_floor"] | (points["value_offset"] == OFFSET_END)).sum()):
        notes.append(f"the floor of {at_bound} of {points.height} sizes is not identified")
    if flat := int((tail <= 0).sum()):
        notes.append(f"{flat} of {points.height} tails are 0 and left out")
    floors, more = _floors(n, floor)
    row = {"n_sizes": points.height, **floors, **_tails(n[tail > 0], tail[tail > 0])}
    return row | {"note": "; ".join(notes + more) or None}


def _floors(n: Array, floor: Array) -> tuple[dict[str, float | None], list[str]]:
    try:
        fitted = fit(SIZE_FLOOR, {"n_params_billions": n}, floor)
    except FitError as error:
        return {}, [f"floors: {error}"]
    ends = [
        f"{p.name} is at its bound {p.value:g}"
        for p in fitted.parameters
        if p.at_bound and not (p.name == "size_exponent" and fitted.values["size_scale"] == 0)
    ]
    return {**fitted.values, "r2_floor": fitted.r2}, ends


def _tails(n: Array, tail: Array) -> dict[str, float | None]:
    """Return the line through the logarithms; nothing for fewer than three tails."""
    if len(np.unique(n)) < MIN_SIZES:
        return {}
    x, y = np.log(n), np.log(tail)
    slope, level = np.polyfit(x, y, 1)
    spread = float(np.sum((y - y.mean()) ** 2))
    residual = float(np.sum((level + slope * x - y) ** 2))
    return {
        "tail_scale": float(np.exp(level)),
        "tail_exponent": -float(slope),
        "r2_tail": 1 - residual / spread if spread > 0 else None,
    }
