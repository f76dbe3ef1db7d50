"""Every fit of a study: the floor and tail of each size, the joint law over sizes, predictions."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl

from mergelaw.errors import FitError
from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array
from mergelaw.laws.law import FLOOR_TAIL, JOINT, LAWS, Law
from mergelaw.laws.point_noise import Sources, noise_of
from mergelaw.laws.prediction_errors import PredictionErrors, prediction_errors
from mergelaw.laws.projection import Problem
from mergelaw.laws.result import LawFit
from mergelaw.laws.schemas import FITS, PREDICTIONS
from mergelaw.laws.weighting import weighed

CURVE = {FLOOR_TAIL.name: ("method", "domain", "size"), JOINT.name: ("method", "domain")}
"""What names the points of one fit."""


class Estimate(NamedTuple):
    """A fitted law and whose it is; `size` is None for the joint law."""

    method: str
    domain: str
    size: str | None
    fit: LawFit


class Fitted(Protocol):
    """What the errors of a fit's predictions come from: a `LawFit`, or what fits.json keeps."""

    @property
    def law(self) -> str:
        """Name of the law."""

    @property
    def values(self) -> Mapping[str, float]:
        """Parameter values by name."""

    @property
    def misfit(self) -> float | None:
        """As `LawFit.misfit`."""


class Refusal(NamedTuple):
    """A law that could not be fitted, and why."""

    law: str
    method: str
    domain: str
    size: str | None
    reason: str


def estimate_all(
    curves: pl.DataFrame, off_ladder: Collection[str] = ()
) -> tuple[list[Estimate], list[Refusal]]:
    """Fit both laws to every curve of a table with the schema `CURVES` (its k >= 1).

    `off_ladder` is that of `split_by`.
    """
    done: list[Estimate] = []
    refused: list[Refusal] = []
    for law in LAWS.values():
        for (method, domain, size), points in split_by(curves, law, off_ladder):
            try:
                done.append(Estimate(method, domain, size, fit_points(law, points)))
            except FitError as error:
                refused.append(Refusal(law.name, method, domain, size, str(error)))
    return done, refused


def split_by(
    curves: pl.DataFrame, law: Law, off_ladder: Collection[str] = ()
) -> list[tuple[tuple[str, str, str | None], pl.DataFrame]]:
    """Return (method, domain, size or None) and the points (k >= 1) of each fit of a law.

    Parameters
    ----------
    off_ladder : collection of str
        Sizes that a law over N leaves out, `Study.off_ladder`: under another training setting a
        size has a curve of its own, and is no other N.
    """
    if law is JOINT:
        curves = curves.filter(~pl.col("size").is_in(off_ladder))
    parts = curves.filter(pl.col("k") > 0).partition_by(
        *CURVE[law.name], as_dict=True, maintain_order=True
    )
    return [((*key, None)[:3], points) for key, points in parts.items()]


def fit_points(law: Law, points: pl.DataFrame) -> LawFit:
    """Fit a law to rows with its variables, `loss` and `subset_se`; raises `FitError`.

    Points weigh by their measured sampling errors (see `mergelaw.laws.fitting.fit`): all the same
    where every subset is in.
    """
    variables = {name: points[name].to_numpy() for name in law.variables}
    errors = points["subset_se"].to_numpy()  # null: NaN
    return fit(law, variables, points["loss"].to_numpy(), "measured", errors)


def predict_points(fitted: LawFit, points: pl.DataFrame) -> Array:
    """Return the fitted law's loss at rows with its variables."""
    variables = LAWS[fitted.law].variables
    return fitted.predict(**{name: points[name].to_numpy() for name in variables})


def fit_table(estimates: list[Estimate]) -> pl.DataFrame:
    """Return the parameters of all fits with the schema `FITS`."""
    return FITS.frame(
        [
            {
                **_label(estimate),
                "parameter": name,
                **record,
                "identified": estimate.fit.identified,
            }
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
        "misfit",
        "n_starts",
        "n_basins",
        "identified",
    )
    return {
        **_label(estimate),
        **{name: getattr(fitted, name) for name in same},
        "parameters": _parameters(fitted),
        "correlations": [asdict(correlation) for correlation in fitted.correlations],
        "covariance": asdict(fitted.covariance) if fitted.covariance else None,
        "starts": [asdict(descent) for descent in fitted.starts],
        "basins": [asdict(descent) for descent in fitted.basins],
        "notes": list(fitted.notes),
    }


def prediction_table(
    estimates: list[Estimate],
    curves: pl.DataFrame,
    given: Sources,
    off_ladder: Collection[str] = (),
) -> pl.DataFrame:
    """Return what every fit says at k = 1..M, the joint ones at every size of theirs.

    It has the schema `PREDICTIONS`.

    Parameters
    ----------
    given : Sources
        Of the noise of the points: the predictions' intervals come from it.
    off_ladder : collection of str
        That of `split_by`.
    """
    points = {
        (law.name, *key): part
        for law in LAWS.values()
        for key, part in split_by(curves, law, off_ladder)
    }
    sizes = curves.select("size", "n_params_billions").unique(maintain_order=True)
    grid = sizes.join(pl.DataFrame({"k": range(1, given.n_experts + 1)}), how="cross")
    frames = []
    for estimate in estimates:
        law, (method, domain, size) = estimate.fit.law, estimate[:3]
        own = pl.col("size") == size if size else ~pl.col("size").is_in(off_ladder)
        mine = grid.filter(own)
        predicted = predict_points(estimate.fit, mine)
        known = errors_of(estimate.fit, points[law, method, domain, size], mine, given)
        labels = {"law": pl.lit(law), "method": pl.lit(method), "domain": pl.lit(domain)}
        ends = _interval(predicted, known)
        frames.append(mine.with_columns(**labels, loss_predicted=predicted, **ends))
    if not frames:
        return PREDICTIONS.frame([])
    measured = curves.select("size", "method", "domain", "k", "loss")
    table = pl.concat(frames).join(
        measured, on=("size", "method", "domain", "k"), how="left", maintain_order="left"
    )
    return PREDICTIONS.of(table.with_columns(residual=pl.col("loss") - pl.col("loss_predicted")))


def errors_of(
    fitted: Fitted, points: pl.DataFrame, at: pl.DataFrame, given: Sources
) -> PredictionErrors | None:
    """Return the errors of a fit's predictions at rows with its variables; None: not known.

    `points` are the rows that it was fitted to.
    """
    noises = noise_of(points, given)
    if noises is None:
        return None
    law = LAWS[fitted.law]
    variables, there = (
        {name: rows[name].to_numpy().astype(float) for name in law.variables}
        for rows in (points, at)
    )
    losses = points["loss"].to_numpy()
    problem = Problem(law, variables, losses, np.ones_like(losses))
    if fitted.misfit is not None:
        problem = weighed(problem, points["subset_se"].to_numpy(), fitted.misfit)
    return prediction_errors(problem, fitted.values, noises, fitted.misfit, there)


def _interval(predicted: Array, known: PredictionErrors | None) -> dict[str, Array | pl.Expr]:
    if known is None:
        return dict.fromkeys(("stderr", "low", "high"), pl.lit(None, pl.Float64))
    low, high = np.maximum(predicted - known.half, 0), predicted + known.half
    return {"stderr": known.stderr, "low": low, "high": high}


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
