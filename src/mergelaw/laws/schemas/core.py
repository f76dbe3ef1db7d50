"""Curves, single experts, fits and predictions."""

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

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
        # sd / sqrt(n) * sqrt(1 - n/C) of a random sample; 0 when all are in; of a 2-design by what
        # a second-order surface misses (`laws.balanced_errors`); else null
        "subset_se": NUMBER,
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
        "identified": FLAG,  # of the whole fit, repeated
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
        "stderr": NUMBER,  # of loss_predicted: items, subsets not measured, lack of fit; null where
        # one of the three is not known
        "low": NUMBER,  # 95%, for the mean loss of all subsets of this pool on new text
        "high": NUMBER,
    },
    ("law", "method", "domain", "size", "k"),
)
