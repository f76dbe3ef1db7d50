"""Every fit of a study: the floor and tail of each size, the joint law over sizes, predictions."""

from dataclasses import asdict
from typing import NamedTuple

import polars as pl

from mergelaw.errors import FitError
from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL, JOINT, LAWS, Law
from mergelaw.laws.result import LawFit
from mergelaw.laws.schemas import FITS, PREDICTIONS

CURVE = {FLOOR_TAIL.name: ("method", "domain", "size"), JOINT.name: ("method", "domain")}
"""What names the points of one fit."""


class Estimate(NamedTuple):
    """A fitted law and whose it is; `size` is None for the joint law."""

    method: str
    domain: str
    size: str | None
    fit: LawFit


class Refusal(NamedTuple):
    """A law that could not be fitted, and why."""

    law: str
    method: str
    domain: str
    size: str | None
    reason: str


def estimate_all(curves: pl.DataFrame) -> tuple[list[Estimate], list[Refusal]]:
    """Fit both laws to every curve of a table with the schema `CURVES` (its k >= 1)."""
    done: list[Estimate] = []
    refused: list[Refusal] = []
    for law in LAWS.values():
        for (method, domain, size), points in split_by(curves, law):
            try:
                done.append(Estimate(method, domain, size, fit_points(law, points)))
            except FitError as error:
                refused.append(Refusal(law.name, method, domain, size, str(error)))
    return done, refused


def split_by(
    curves: pl.DataFrame, law: Law
) -> list[tuple[tuple[str, str, str | None], pl.DataFrame]]:
    """Return (method, domain, size or None) and the points (k >= 1) of each fit of a law."""
    parts = curves.filter(pl.col("k") > 0).partition_by(
        *CURVE[law.name], as_dict=True, maintain_order=True
    )
    return [((*key, None)[:3], points) for key, points in parts.items()]


def fit_points(law: Law, points: pl.DataFrame) -> LawFit:
    """Fit a law to rows with its variables and `loss`; raises `FitError`."""
    return fit(
        law, {name: points[name].to_numpy() for name in law.variables}, points["loss"].to_numpy()
    )


def predict_points(fitted: LawFit, points: pl.DataFrame) -> Array:
    """Return the fitted law's loss at rows with its variables."""
    variables = LAWS[fitted.law].variables
    return fitted.predict(**{name: points[name].to_numpy() for name in variables})


def fit_table(estimates: list[Estimate]) -> pl.DataFrame:
    """Return the parameters of all fits with the schema `FITS`."""
    return FITS.frame(
        [
            {**_label(estimate), "parameter": name, **record}
            for estimate in estimates
            for name, record in _parameters(estimate.fit).items()
        ]
    )


def fit_record(estimate: Estimate) -> dict[str, object]:
    """Return one fit as fits.json has it (see `mergelaw.laws.schemas`)."""
    fitted = estimate.fit
    same = (
        "formula",
        "r2",
        "rmse",
        "max_relative_error",
        "n_points",
        "weights",
        "n_starts",
        "n_basins",
        "identified",
    )
    return {
        **_label(estimate),
        **{name: getattr(fitted, name) for name in same},
        "parameters": _parameters(fitted),
        "correlations": [asdict(correlation) for correlation in fitted.correlations],
        "notes": list(fitted.notes),
    }


def prediction_table(estimates: list[Estimate], curves: pl.DataFrame, pool: int) -> pl.DataFrame:
    """Return what every fit says at k = 1..pool, the joint ones at every size: `PREDICTIONS`."""
    sizes = curves.select("size", "n_params_billions").unique(maintain_order=True)
    grid = sizes.join(pl.DataFrame({"k": range(1, pool + 1)}), how="cross")
    frames = []
    for estimate in estimates:
        mine = grid.filter(pl.col("size") == estimate.size) if estimate.size else grid
        frames.append(
            mine.with_columns(
                law=pl.lit(estimate.fit.law),
                method=pl.lit(estimate.method),
                domain=pl.lit(estimate.domain),
                loss_predicted=predict_points(estimate.fit, mine),
            )
        )
    if not frames:
        return PREDICTIONS.frame([])
    measured = curves.select("size", "method", "domain", "k", "loss")
    table = pl.concat(frames).join(
        measured, on=("size", "method", "domain", "k"), how="left", maintain_order="left"
    )
    return PREDICTIONS.of(table.with_columns(residual=pl.col("loss") - pl.col("loss_predicted")))


def _label(estimate: Estimate) -> dict[str, str | None]:
    return {
        "law": estimate.fit.law,
        "method": estimate.method,
        "domain": estimate.domain,
        "size": estimate.size,
    }


def _parameters(fitted: LawFit) -> dict[str, dict[str, float | bool | None]]:
    records = (asdict(parameter) for parameter in fitted.parameters)
    return {record.pop("name"): record for record in records}
