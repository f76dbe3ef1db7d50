"""Numbers that were published, checked and fitted: the paper's tables and claims."""

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

PUBLISHED_CHECKS = Table(
    "published_checks.parquet",
    {
        "claim": TEXT,
        "place": TEXT,  # table, figure or section of the paper
        "published": NUMBER,
        "computed": NUMBER,  # from other published numbers
        "tolerance": NUMBER,  # of the printed digits
        "agrees": FLAG,
        "remark": TEXT,
    },
    ("claim",),
)

PUBLISHED_CURVES = Table(
    "published_curves.parquet",
    {
        "source": TEXT,  # table of the paper
        "series": TEXT,
        "k": COUNT,
        "pool": COUNT,
        "loss": NUMBER,  # null: not printed, only the law is
        "sd": NUMBER,  # over subsets, as printed; null: not printed
        "loss_fitted": NUMBER,  # floor + tail/(k + offset), offset free; null: too few points
        "loss_small_offset": NUMBER,  # the same with an offset of at most 1, or that law as printed
    },
    ("source", "series", "k"),
)

PUBLISHED_FITS = Table(
    "published_fits.parquet",
    {
        "source": TEXT,
        "series": TEXT,
        "fit": TEXT,  # "printed", "refitted" or "refitted, offset at most 1"
        "parameter": TEXT,
        "value": NUMBER,
        "at_bound": FLAG,  # null: the bounds are not known
        "r2": NUMBER,  # of the fitted points; null: not printed
    },
    ("source", "series", "fit", "parameter"),
)

PUBLISHED_LAWS = Table(  # the printed joint fits as curves, per domain and macro
    "published_laws.parquet",
    {
        "method": TEXT,
        "domain": TEXT,
        "n_params_billions": NUMBER,
        "k": COUNT,
        "loss": NUMBER,
        "floor": NUMBER,
        "tail": NUMBER,  # null for macro: laws with different offsets do not add up to one
        "k_near_floor": COUNT,  # within 0.01 nats of the floor
        "k85": COUNT,
        "k90": COUNT,
    },
    ("method", "domain", "n_params_billions", "k"),
)

PUBLISHED_DOWNSTREAM = Table(
    "published_downstream.parquet",
    {
        "series": TEXT,
        "metric": TEXT,  # or "mean": of the oriented metrics that are kept
        "higher_is_better": FLAG,
        "kept": FLAG,  # not redundant
        "k": COUNT,
        "n_subsets": COUNT,
        "value": NUMBER,  # as reported; of "mean": the plain mean of all columns
        "oriented": NUMBER,  # larger is better: 1 - value where lower is
    },
    ("series", "metric", "k"),
)

TABLES = (
    PUBLISHED_CHECKS,
    PUBLISHED_CURVES,
    PUBLISHED_FITS,
    PUBLISHED_LAWS,
    PUBLISHED_DOWNSTREAM,
)
