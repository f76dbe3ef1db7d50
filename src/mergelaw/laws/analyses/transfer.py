"""The curve of one size from two of its points and the offset of another size."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.size_fits import measured, size_fits
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas.doubts import TRANSFER

ZERO = "offset 0"
"""The source whose offset is 0, as for a quadratic loss: what a transferred offset has to beat.

No size can have a name with a space.
"""


def transfer(curves: pl.DataFrame, fits: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return L(M) of each size forecast with every size's offset, schema `TRANSFER`.

    The paper takes the offset as one constant of a domain and method (eq. 4); if so, two cheap
    points of a new size are enough. Sources are sizes of the ladder with an identified fit, and
    `ZERO`; targets are its curves with k = 1, 2 and M measured. With the target as its own source
    it is no forecast, since that fit saw L(M), but what is lost by two points alone. A target
    whose loss does not fall from k = 1 to 2 has no tail, and null predictions.

    Raises
    ------
    NotMadeError
        If no target is left, or the study has one size.
    """
    if len(study.ladder) < 2:
        raise NotMadeError("the study has one size")
    pool = len(study.experts)
    offsets = {key: fit.offset for key, fit in size_fits(fits).items() if fit.identified}
    rows = []
    for (target, method, domain), losses in measured(curves).items():
        if target in study.off_ladder or pool < 3 or not {1, 2, pool} <= losses.keys():
            continue
        sources = {name: offsets.get((name, method, domain)) for name in study.ladder}
        for source, offset in (sources | {ZERO: 0.0}).items():
            if offset is None:
                continue
            predicted = two_point(losses[1], losses[2], offset, pool)
            error = None if predicted is None else predicted / losses[pool] - 1
            rows.append((method, domain, source, target, offset, losses[pool], predicted, error))
    if not rows:
        raise NotMadeError("no curve has k = 1, k = 2 and the whole pool of at least 3 experts")
    return pl.DataFrame(rows, schema=TRANSFER.schema, orient="row")


def two_point(loss_1: float, loss_2: float, offset: float, k: int) -> float | None:
    """Return the loss at k of the law with this offset through the losses at k = 1 and 2.

    ``tail = (L(1) - L(2)) (1 + b)(2 + b)`` and ``floor = L(1) - tail / (1 + b)``; None where the
    loss does not fall. Losses in nats per token.
    """
    if loss_1 <= loss_2:
        return None
    tail = (loss_1 - loss_2) * (1 + offset) * (2 + offset)
    return float(floor_tail(k, loss_1 - tail / (1 + offset), tail, offset))
