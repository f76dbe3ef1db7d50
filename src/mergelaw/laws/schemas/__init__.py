"""The laws stage's tables: file, columns with their types, and the key that is unique.

Every loss is in nats per token. `domain` is an evaluation domain or "macro" (the unweighted mean
over domains, also of the losses that a variance or a fit is made from). `n_params_billions` is the
parameter count that the study's `laws.n_params` names. A null always means "not defined", never 0.

fits.json beside them is one object: `provenance` (as given), `fits` (a list; each has `law`,
`formula`, `method`, `domain`, `size` (null for the joint law), `parameters` (name to value,
stderr, minimum, maximum, at_bound), `correlations` (a list of first, second, correlation),
`covariance` (`names` and `matrix`; null where there are no standard errors), `r2`, `rmse`,
`max_relative_error`, `n_points`, `weights` ("measured": by the sampling errors of the points and
the law's own lack of fit, `misfit` in nats per token; all the same, and misfit null, where every
subset is in), `n_starts`, `starts` (each descent: `start`, `values`, `rss`), `n_basins`, `basins`
(the distinct minima that are about equally good, as `starts`, the best first), `identified`,
`notes`) and `refused` (a list of `law`, `method`, `domain`, `size`, `reason`).
"""

from mergelaw.laws.schemas import capacity, doubts, published, scales, subsets, training
from mergelaw.laws.schemas.checks import FORECAST, GAPS, HELDOUT, RETURNS, SYNERGY, VARIANCE
from mergelaw.laws.schemas.core import CURVES, FITS, PREDICTIONS, SPECIALISTS
from mergelaw.laws.schemas.table import MACRO, Table

__all__ = [
    "BY_NAME",
    "CURVES",
    "FITS",
    "FITS_JSON",
    "FORECAST",
    "FULL_TABLES",
    "GAPS",
    "HELDOUT",
    "MACRO",
    "PREDICTIONS",
    "RETURNS",
    "SPECIALISTS",
    "SYNERGY",
    "TABLES",
    "VARIANCE",
    "Table",
]

FITS_JSON = "fits.json"

TABLES = (
    *(CURVES, SPECIALISTS, FITS, PREDICTIONS),
    *(HELDOUT, FORECAST, VARIANCE, RETURNS, GAPS, SYNERGY),
)
"""Tables of every report."""

FULL_TABLES = (
    *(*doubts.TABLES, *subsets.TABLES, *scales.TABLES),
    *(*training.TABLES, *capacity.TABLES, *published.TABLES),
)
"""Tables of the full report beside these."""

BY_NAME = {table.file.removesuffix(".parquet"): table for table in (*TABLES, *FULL_TABLES)}
