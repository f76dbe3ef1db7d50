"""How far fits can be trusted: intervals, rivals, what is automatic, other pools."""

from mergelaw.laws.schemas.table import CELL, COUNT, FLAG, NUMBER, TEXT, Table

FIT = {"law": TEXT, "method": TEXT, "domain": TEXT, "size": TEXT}  # size: null for "joint"

INTERVALS = Table(
    "intervals.parquet",
    {
        **FIT,
        "quantity": TEXT,  # a parameter, or "loss_pool": the law at k = M (joint: largest size)
        "target": TEXT,  # "pool" (this pool and text), "experts" (new experts), "text" (new text)
        "how": TEXT,  # "profile", "delete_1", "delete_2" or "items"
        "estimate": NUMBER,
        "stderr": NUMBER,  # null for "profile"
        "low": NUMBER,  # ends at 95%; null: no end on that side
        "high": NUMBER,
        "n_refits": COUNT,  # refits behind it
        "note": TEXT,  # why an end is missing or what is rough; null: nothing to say
    },
    ("law", "method", "domain", "size", "quantity", "target", "how"),
)

RIVALS = Table(
    "rivals.parquet",
    {
        "law": TEXT,  # "floor_tail", "zero_offset", "power", ...; "joint", "flat_tail", ...
        "over": TEXT,  # "k" (curves of one size) or "size and k"
        "method": TEXT,
        "domain": TEXT,
        "size": TEXT,
        "n_points": COUNT,
        "n_parameters": COUNT,
        "rss": NUMBER,
        "r2": NUMBER,
        "aicc": NUMBER,  # null with too few points for it, or no residual
        "delta_aicc": NUMBER,  # to the lowest of the same points
        "akaike_weight": NUMBER,
        "heldout_error": NUMBER,  # largest |relative error| at k >= laws.heldout_k, fitted below
        "at_bound": FLAG,
    },
    ("law", "over", "method", "domain", "size"),
)

NULL_R2 = Table(  # R2 of the law on curves that follow no law
    "null_r2.parquet",
    {
        "method": TEXT,
        "domain": TEXT,
        "size": TEXT,
        "null": TEXT,  # "falling": any falling curve; "falling_convex": its drops shrink with k
        "n_k": COUNT,
        "r2": NUMBER,  # of the measured curve
        "null_median": NUMBER,
        "null_q05": NUMBER,
        "null_q95": NUMBER,
        "share_above": NUMBER,  # of null curves with an R2 at least as high as the measured one
    },
    ("method", "domain", "size", "null"),
)

TWO_STAGE = Table(  # the paper's second way of fitting: sizes first, then log-log lines over N
    "two_stage.parquet",
    {
        "method": TEXT,
        "domain": TEXT,
        "n_sizes": COUNT,
        "floor_limit": NUMBER,
        "size_scale": NUMBER,
        "size_exponent": NUMBER,
        "r2_floor": NUMBER,
        "tail_scale": NUMBER,
        "tail_exponent": NUMBER,  # may be negative: the tail grows with N
        "r2_tail": NUMBER,
        "note": TEXT,
    },
    ("method", "domain"),
)

POOLS = Table(  # the pool itself, and every pool of M-1 and M-2 of its experts
    "pools.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "domain": TEXT,
        "left_out": TEXT,  # experts joined by '+', or "none"
        "n_experts": COUNT,  # of the pool that is left
        "loss_pool": NUMBER,  # measured, all of them merged
        "floor": NUMBER,
        "tail": NUMBER,
        "offset": NUMBER,
        "r2": NUMBER,
        "k90": COUNT,
    },
    ("size", "method", "domain", "left_out"),
)

NEAR_FLOOR = Table(
    "near_floor.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "domain": TEXT,
        "gap": NUMBER,  # nats per token
        "k_floor": COUNT,  # smallest k of the law within `gap` of its floor
        "reachable": FLAG,  # k_floor <= M
        "k_pool": COUNT,  # smallest measured k within `gap` of L(M); null: L(M) was not measured
        "loss_pool": NUMBER,  # L(M)
        "floor": NUMBER,
    },
    ("size", "method", "domain", "gap"),
)

GAINS = Table(
    "gains.parquet",
    {
        **CELL,  # k = 1..M-1, where k and k + 1 were measured
        "gain": NUMBER,  # L(k) - L(k + 1)
        "gain_se": NUMBER,  # from sampled subsets; 0 when all are in, null where not known
        "gain_law": NUMBER,  # tail / ((k + offset)(k + 1 + offset)); null: no fit
    },
    ("size", "method", "domain", "k"),
)

FORECAST_INTERVALS = Table(
    "forecast_intervals.parquet",
    {
        **CELL,
        "target": TEXT,  # as in intervals.parquet; "pool": from sampled subsets
        "loss_predicted": NUMBER,
        "stderr": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "loss": NUMBER,  # measured; null where not
    },
    ("size", "method", "domain", "k", "target"),
)

TRIPLES = Table(
    "triples.parquet",
    {
        "points": TEXT,  # the three k, "1,2,4"
        "size": TEXT,
        "method": TEXT,
        "domain": TEXT,
        "case": TEXT,  # as in forecast.parquet
        "error_pool": NUMBER,  # relative error at k = M
        "largest_error": NUMBER,  # largest |relative error| over measured k beside the three
    },
    ("points", "size", "method", "domain"),
)

TRIPLE_ERRORS = Table(
    "triple_errors.parquet",
    {
        "points": TEXT,
        "method": TEXT,
        "n_curves": COUNT,  # sizes and domains, macro left out
        "n_refused": COUNT,
        "median_error": NUMBER,  # of |error_pool|
        "q90_error": NUMBER,
        "largest_error": NUMBER,
    },
    ("points", "method"),
)

TRANSFER = Table(  # a size's curve from two of its points and another size's offset
    "transfer.parquet",
    {
        "method": TEXT,
        "domain": TEXT,
        "source": TEXT,  # size whose offset is taken (its own: no forecast), or "offset 0"
        "target": TEXT,  # size whose k = 1 and 2 are measured
        "offset": NUMBER,
        "loss_pool": NUMBER,  # measured L(M) of the target
        "loss_predicted": NUMBER,  # null: its loss does not fall from k = 1 to 2
        "relative_error": NUMBER,
    },
    ("method", "domain", "source", "target"),
)

TABLES = (
    INTERVALS,
    RIVALS,
    NULL_R2,
    TWO_STAGE,
    POOLS,
    NEAR_FLOOR,
    GAINS,
    FORECAST_INTERVALS,
    TRIPLES,
    TRIPLE_ERRORS,
    TRANSFER,
)
