"""What one more expert gains, measured and under the law."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.size_fits import CURVE, size_fits
from mergelaw.laws.schemas.doubts import GAINS


def gains(curves: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the gain from the expert after the k-th, with the schema `GAINS`.

    ``gain = L(k) - L(k + 1)`` where both were measured; under the law
    ``tail / ((k + offset)(k + 1 + offset))`` (the paper's marginal gain), which is a prediction
    inside the fitted points and needs no identified floor. ``gain_se`` is the hypot of both
    points' `subset_se`: the subsets of two k are drawn independently. It leaves token noise out,
    which is shared by both points and for the most part cancels.

    Raises
    ------
    NotMadeError
        If no curve has two neighbouring k.
    """
    points = curves.filter(pl.col("k").is_between(1, len(study.experts)))
    after = points.select(
        *CURVE, pl.col("k") - 1, loss_after=pl.col("loss"), se_after=pl.col("subset_se")
    )
    pairs = points.join(after, on=(*CURVE, "k"), how="inner", maintain_order="left")
    if pairs.is_empty():
        raise NotMadeError("no k was measured together with k + 1 on one curve")
    parameters = [(*key, fit.tail, fit.offset) for key, fit in size_fits(fits).items()]
    schema = dict.fromkeys(CURVE, pl.String) | {"tail": pl.Float64, "offset": pl.Float64}
    fitted = pl.DataFrame(parameters, schema=schema, orient="row")
    shifted = pl.col("k") + pl.col("offset")
    return GAINS.of(
        pairs.join(fitted, on=CURVE, how="left", maintain_order="left").with_columns(
            gain=pl.col("loss") - pl.col("loss_after"),
            gain_se=(pl.col("subset_se") ** 2 + pl.col("se_after") ** 2).sqrt(),
            gain_law=pl.col("tail") / (shifted * (shifted + 1)),
        )
    )
