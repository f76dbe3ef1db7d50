"""The laws stage's tables: file, columns with their types, and the key that is unique.

Every loss is in nats per token. `domain` is an evaluation domain or "macro" (the unweighted mean
over domains, also of the losses that a variance or a fit is made from). `n_params_billions` is the
parameter count that the study's `laws.n_params` names. A null always means "not defined", never 0.

fits.json beside them is one object: `provenance` (as given), `fits` (a list; each has `law`,
`formula`, `method`, `domain`, `size` (null for the joint law), `parameters` (name to value,
stderr, minimum, maximum, at_bound), `correlations` (a list of first, second, correlation), `r2`,
`rmse`, `max_relative_error`, `n_points`, `weights`, `n_starts`, `n_basins`, `identified`, `notes`)
and `refused` (a list of `law`, `method`, `domain`, `size`, `reason`).
"""

from typing import Any, NamedTuple

import polars as pl

FITS_JSON = "fits.json"

MACRO = "macro"
"""The `domain` of rows about the unweighted mean over all domains."""


class Table(NamedTuple):
    """An output: its file name, its columns, and the columns that name a row."""

    file: str
    schema: dict[str, pl.DataType]
    key: tuple[str, ...]

    def frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        """Return the rows (one dict each) as a frame of this schema, also where there are none."""
        return pl.DataFrame(rows, schema=self.schema, orient="row")

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return this table's columns of a frame, in the schema's order and types."""
        return frame.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())


TEXT, COUNT, NUMBER, FLAG = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
CELL = {"size": TEXT, "method": TEXT, "domain": TEXT, "k": COUNT}

CURVES = Table(
    "curves.parquet",
    {
        "size": TEXT,
        "n_params_billions": NUMBER,
        "method": TEXT,
        "domain": TEXT,
        "k": COUNT,  # 0 is the base, repeated for every method
        "n_subsets": COUNT,  # measured
        "n_subsets_pool": COUNT,  # C(M, k)
        "n_mask_seeds": COUNT,  # averaged within each subset (the fewest of any subset)
        "loss": NUMBER,  # mean over subsets
        "sd": NUMBER,  # over subsets, divisor n - 1; null for one subset
        "minimum": NUMBER,
        "maximum": NUMBER,
        "subset_se": NUMBER,  # sd / sqrt(n) * sqrt(1 - n/C); 0 when all are in
        "token_se": NUMBER,  # from resampled items, one draw for all rows of a domain; null: 1 item
        "loss_se": NUMBER,  # hypot of both; null when one is
    },
    ("size", "method", "domain", "k"),
)

SPECIALISTS = Table(  # k = 1 in detail: "own" rows and "cross" rows
    "specialists.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "expert": TEXT,
        "domain": TEXT,  # never "macro"
        "loss": NUMBER,
        "is_own": FLAG,  # the domain is the expert's home; null for an expert without a home
    },
    ("size", "method", "expert", "domain"),
)

FITS = Table(
    "fits.parquet",
    {
        "law": TEXT,  # "floor_tail" (per size) or "joint"
        "method": TEXT,
        "domain": TEXT,
        "size": TEXT,  # null for "joint"
        "parameter": TEXT,
        "value": NUMBER,
        "stderr": NUMBER,  # null at a bound, when held, or with no degree of freedom left
        "minimum": NUMBER,
        "maximum": NUMBER,  # null: unbounded
        "at_bound": FLAG,
    },
    ("law", "method", "domain", "size", "parameter"),
)

PREDICTIONS = Table(
    "predictions.parquet",
    {
        "law": TEXT,
        "method": TEXT,
        "domain": TEXT,
        "size": TEXT,
        "n_params_billions": NUMBER,
        "k": COUNT,  # 1..M
        "loss_predicted": NUMBER,
        "loss": NUMBER,  # null where not measured
        "residual": NUMBER,  # loss - loss_predicted
    },
    ("law", "method", "domain", "size", "k"),
)

HELDOUT = Table(
    "heldout.parquet",
    {
        "law": TEXT,
        "left_out": TEXT,  # "largest_size" (joint only) or "k_ge_6" (after laws.heldout_k)
        **CELL,  # of the predicted point, which the fit did not see
        "loss": NUMBER,
        "loss_predicted": NUMBER,
        "relative_error": NUMBER,  # (loss_predicted - loss) / loss
    },
    ("law", "left_out", "size", "method", "domain", "k"),
)

FORECAST = Table(
    "forecast.parquet",
    {
        **CELL,
        "points": TEXT,  # the three k it is made from, "1,2,4"
        "ratio": NUMBER,  # of the first drop to the second; null when the second is 0
        "case": TEXT,  # "free_offset", "zero_offset" or "not_identified"
        "floor": NUMBER,
        "tail": NUMBER,
        "offset": NUMBER,
        "loss": NUMBER,  # null where not measured
        "loss_predicted": NUMBER,  # null, like the parameters, when not identified
        "relative_error": NUMBER,  # (loss_predicted - loss) / loss
    },
    ("size", "method", "domain", "k"),
)

VARIANCE = Table(  # k = 1..M-1 with at least two subsets
    "variance.parquet",
    {
        **CELL,
        "n_subsets": COUNT,
        "variance": NUMBER,  # over all C(M, k) subsets, unbiased: sd^2 (C - 1)/C
        "variance_fitted": NUMBER,  # v0 (1/k - 1/M)
        "v0": NUMBER,  # least squares over these k, repeated
    },
    ("size", "method", "domain", "k"),
)

RETURNS = Table(  # only curves with k = 1 and k = M measured
    "returns.parquet",
    {
        **CELL,
        "return": NUMBER,  # (L(1) - L(k)) / (L(1) - L(M)) on the running minimum; null: no drop
        "k85": COUNT,  # smallest measured k with a return of at least 85%, repeated
        "k90": COUNT,
    },
    ("size", "method", "domain", "k"),
)

GAPS = Table(
    "gaps.parquet",
    {
        **CELL,
        "reference": TEXT,  # label of the "average" entry, or of the first method
        "gap_percent": NUMBER,  # 100 (loss / reference's loss - 1); negative is better
    },
    ("size", "method", "domain", "k"),
)

SYNERGY = Table(
    "synergy.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "donor": TEXT,  # expert
        "receiver": TEXT,  # domain, or "macro"
        "gain": NUMBER,  # mean over k of the mean of L(S) - L(S + donor); positive: it helps
        "n_pairs": COUNT,
        "n_k": COUNT,  # number of k = |S| averaged over
    },
    ("size", "method", "donor", "receiver"),
)

TABLES = (
    CURVES,
    SPECIALISTS,
    FITS,
    PREDICTIONS,
    HELDOUT,
    FORECAST,
    VARIANCE,
    RETURNS,
    GAPS,
    SYNERGY,
)
