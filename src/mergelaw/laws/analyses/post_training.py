"""Experts along their training: what more tokens bring at each size, and a law for it."""

from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.fitting import fit
from mergelaw.laws.item_losses import Loss, losses_on, mean_loss
from mergelaw.laws.more_laws import POST_TRAINING as LAW
from mergelaw.laws.rows import BILLION
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import POST_TRAINING, POST_TRAINING_FITS

ONE_SCHEDULE = (
    "points of one training share its learning-rate schedule: trainings of their length, whose "
    "rate has come down, would have a lower loss"
)
"""What no fit to snapshots can tell (Hoffmann et al. 2022, arXiv 2203.15556, appendix B)."""

Curve = list[tuple[dict[str, Any], Loss]]
"""Point by point: columns of the table, and the loss."""


def post_training(snapshots: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the loss of every expert on its own domain as it was trained, and their mean.

    Errors are from resampled items, the same draw at every point of a domain, so that those of the
    falls are of paired losses. The mean is over the experts of a size at equal shares of their
    trainings (domain `macro`); it is left out where they have not equally many points.

    Parameters
    ----------
    snapshots : polars.DataFrame
        Columns of `mergelaw.tables.SNAPSHOTS`.

    Returns
    -------
    polars.DataFrame
        With the schema `POST_TRAINING`.

    Raises
    ------
    NotMadeError
        If no expert was trained here.
    """
    if snapshots.is_empty():
        raise NotMadeError("all experts are given: nothing is known of their training")
    rows: list[dict[str, Any]] = []
    for size in study.size_names:
        curves = [
            _curve(part.sort("step"), study)
            for _, part in snapshots.filter(size=size).group_by("expert", maintain_order=True)
        ]
        if len({len(curve) for curve in curves}) == 1:
            curves.append([_mean(points) for points in zip(*curves, strict=True)])
        rows += [row for curve in curves for row in _rows(curve)]
    return POST_TRAINING.frame(rows)


def _curve(points: pl.DataFrame, study: Study) -> Curve:
    """Return the curve of one expert from its rows, the base first."""
    columns = ("size", "domain", "expert", "step", "training_tokens", "training_flops")
    table = points.select(*columns, n_params_billions=pl.col(_count(study)) / BILLION)
    losses = losses_on(points, study, points["domain"][0])
    return list(zip(table.iter_rows(named=True), losses, strict=True))


def _count(study: Study) -> str:
    return f"n_params_{study.laws.n_params}"


def _mean(points: tuple[tuple[dict[str, Any], Loss], ...]) -> tuple[dict[str, Any], Loss]:
    """Return one point of the mean over experts."""
    facts, losses = zip(*points, strict=True)
    mean = {
        name: sum(row[name] for row in facts) / len(facts)
        for name in ("training_tokens", "training_flops")
    }
    return facts[0] | mean | {"domain": MACRO, "expert": None, "step": None}, mean_loss(losses)


def _rows(curve: Curve) -> list[dict[str, Any]]:
    """Return the rows of a curve with its falls."""
    result, base = [], curve[0][1]
    for place, (facts, loss) in enumerate(curve):
        falls = (curve[place - 1][1].less(loss), base.less(loss)) if place else (None, None)
        row = facts | {"point": place, "loss": loss.value, "token_se": loss.error}
        for name, fall in zip(("fall", "fall_total"), falls, strict=True):
            row |= {name: fall and fall.value, f"{name}_se": fall and fall.error}
        result.append(row)
    return result


def post_training_fits(points: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the law of size and training tokens for every expert and for their mean.

    ``L(N, D) = E + A N^-alpha + B D^-beta`` (`mergelaw.laws.forms.post_training`), every point
    alike, over the sizes that are trained by `training.expert`; the base (D = 0) is no point of
    it. A law that cannot be fitted has no values, and says why.

    Parameters
    ----------
    points : polars.DataFrame
        Schema `POST_TRAINING`.

    Returns
    -------
    polars.DataFrame
        With the schema `POST_TRAINING_FITS`.

    Raises
    ------
    NotMadeError
        If no law could be fitted.
    """
    trained = points.filter(pl.col("size").is_in(study.ladder) & (pl.col("point") > 0))
    rows = [
        {"domain": domain, "expert": expert, "n_points": part.height} | row
        for (domain, expert), part in trained.group_by("domain", "expert", maintain_order=True)
        for row in _fitted(part)
    ]
    frame = POST_TRAINING_FITS.frame(rows)
    if frame["value"].null_count() == frame.height:
        reasons = frame["note"].unique(maintain_order=True).to_list()
        raise NotMadeError("; ".join(reasons) or "no expert was trained")
    return frame


def _fitted(points: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row per parameter of the law fitted to points."""
    variables = {
        "n_params_billions": points["n_params_billions"].to_numpy(),
        "n_tokens_billions": points["training_tokens"].to_numpy() / BILLION,
    }
    try:
        fitted = fit(LAW, variables, points["loss"].to_numpy())
    except FitError as error:
        note = {"identified": False, "note": str(error)}
        return [{"parameter": spec.name} | note for spec in LAW.parameters]
    return [
        {
            "parameter": parameter.name,
            "value": parameter.value,
            "stderr": parameter.stderr,
            "at_bound": parameter.at_bound,
            "r2": fitted.r2,
            "identified": fitted.identified,
            "note": "; ".join((*fitted.notes, ONE_SCHEDULE)),
        }
        for parameter in fitted.parameters
    ]
