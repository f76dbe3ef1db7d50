"""Honest errors: fit without the largest size, or without the large k, and predict them."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError
from mergelaw.laws.estimates import fit_points, predict_points, split_by
from mergelaw.laws.law import FLOOR_TAIL, JOINT, Law
from mergelaw.laws.schemas import HELDOUT


def heldout(curves: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return predictions of points that the fit did not see, with the schema `HELDOUT`.

    The joint law, which is one of the ladder's sizes, without the largest of them; both laws
    without k >= `laws.heldout_k`. A curve with too few points left to fit has no rows.
    """
    first = study.laws.heldout_k
    ladder = curves.filter(~pl.col("size").is_in(study.off_ladder))
    large_k = pl.col("k") >= first
    largest = pl.col("n_params_billions") == curves["n_params_billions"].max()
    frames = [
        *_left_out(ladder, JOINT, "largest_size", largest),
        *_left_out(curves, FLOOR_TAIL, f"k_ge_{first}", large_k),
        *_left_out(ladder, JOINT, f"k_ge_{first}", large_k),
    ]
    return pl.concat(frames) if frames else HELDOUT.frame([])


def _left_out(curves: pl.DataFrame, law: Law, name: str, unseen: pl.Expr) -> list[pl.DataFrame]:
    """Return one frame for each curve of the law that can be fitted without the unseen points."""
    frames = []
    for _, points in split_by(curves, law):
        hidden = points.filter(unseen)
        if hidden.is_empty():
            continue
        try:
            fitted = fit_points(law, points.filter(~unseen))
        except FitError:
            continue
        predicted = hidden.with_columns(
            law=pl.lit(law.name),
            left_out=pl.lit(name),
            loss_predicted=predict_points(fitted, hidden),
        )
        error = (pl.col("loss_predicted") - pl.col("loss")) / pl.col("loss")
        frames.append(HELDOUT.of(predicted.with_columns(relative_error=error)))
    return frames
