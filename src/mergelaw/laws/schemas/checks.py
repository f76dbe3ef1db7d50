"""What curves say beyond the fits, and how the fits do on points they did not see."""

from mergelaw.laws.schemas.table import CELL, COUNT, NUMBER, TEXT, Table

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
