"""What single subsets say: spread, order, who helps whom, mixtures of blocks, designs."""

from mergelaw.laws.schemas.table import CELL, COUNT, FLAG, NUMBER, TEXT, Table

VARIANCE_FITS = Table(
    "variance_fits.parquet",
    {
        # "finite_pool" and, with one parameter more, "finite_pool_seed", "finite_pool_curved",
        # "finite_pool_offset"; "inverse_k", "offset_k"; "joint" (see `analyses.variance_forms`)
        "form": TEXT,
        "size": TEXT,  # null for "joint", the paper's form over N and k
        "method": TEXT,
        "domain": TEXT,
        "parameter": TEXT,
        "value": NUMBER,
        "at_bound": FLAG,
        "n_points": COUNT,
        "r2": NUMBER,
        "aicc": NUMBER,
        "at_pool": NUMBER,  # variance the form gives at k = M (joint: largest size); truly 0
    },
    ("form", "size", "method", "domain", "parameter"),
)

DISPERSION = Table(  # the paper's "order" dispersion: over subsets of k, whose order never matters
    "dispersion.parquet",
    {
        **CELL,
        "n_subsets": COUNT,
        "sd": NUMBER,  # over subsets, divisor n - 1
        "range": NUMBER,  # of the measured subsets: it grows with their number
        "cv": NUMBER,  # sd / mean
        "sd_fitted": NUMBER,  # c0 + c1/(k + offset)
        "c0": NUMBER,
        "c1": NUMBER,
        "offset": NUMBER,
        "at_bound": FLAG,
        "sd_finite_pool": NUMBER,  # sqrt(v0 (1/k - 1/M) C/(C - 1)): v0 of variance.parquet
    },
    ("size", "method", "domain", "k"),
)

ORDER = Table(  # what orders and mask seeds do to the loss of a fixed subset
    "order.parquet",
    {
        **CELL,
        "source": TEXT,  # "order" (bfloat16 sums), "mask_seed", or "subset" (beside them)
        "n_subsets": COUNT,
        "n_repeats": COUNT,  # of each subset
        "sd": NUMBER,  # within subsets, pooled; for "subset" between them, without that part
        "largest_range": NUMBER,  # within a subset; null for "subset"
        "share": NUMBER,  # of the summed variance of order or mask seed and subset
    },
    ("size", "method", "domain", "k", "source"),
)

SYNERGY_ESTIMATORS = Table(
    "synergy_estimators.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "estimator": TEXT,  # "balanced", "shapley", "regression" or "trajectory"
        "donor": TEXT,  # expert
        "receiver": TEXT,  # domain
        "gain": NUMBER,  # nats per token; positive: it helps
        "stderr": NUMBER,  # over trajectories; null for the other estimators
    },
    ("size", "method", "estimator", "donor", "receiver"),
)

SYNERGY_STRENGTHS = Table(
    "synergy_strengths.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "estimator": TEXT,
        "role": TEXT,  # "donor" (an expert, sum over other domains) or "receiver" (a domain)
        "name": TEXT,
        "strength": NUMBER,  # sum of gains off the diagonal (home domain)
    },
    ("size", "method", "estimator", "role", "name"),
)

SYNERGY_BLOCKS = Table(
    "synergy_blocks.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "estimator": TEXT,
        "donor_block": TEXT,
        "receiver_block": TEXT,
        "n_pairs": COUNT,  # home domains included, as in the paper
        "mean_gain": NUMBER,
        "mean_gain_cross": NUMBER,  # home domains left out; null: none is left
    },
    ("size", "method", "estimator", "donor_block", "receiver_block"),
)

MIXING = Table(
    "mixing.parquet",
    {
        **CELL,
        "n_blocks": COUNT,  # blocks that a subset's experts are from
        "n_subsets": COUNT,
        "loss": NUMBER,
        "sd": NUMBER,  # over these subsets; null for one
        "against_k": NUMBER,  # loss less the mean of all subsets of k
    },
    ("size", "method", "domain", "k", "n_blocks"),
)

DESIGNS = Table(  # designs drawn again and again from an exhaustive table; macro loss
    "designs.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "k": COUNT,
        "design": TEXT,  # "uniform", "max_min_hamming", "cyclic" or "two_design"
        "n_subsets": COUNT,  # distinct ones, mean over draws rounded
        "n_draws": COUNT,
        "bias": NUMBER,  # of the mean loss, relative to the exhaustive mean
        "relative_sd": NUMBER,
        "relative_rmse": NUMBER,
        "variance_ratio": NUMBER,  # uniform's variance at as many subsets over this one's
    },
    ("size", "method", "k", "design"),
)

BALANCED = Table(  # a balanced design, taken out of an exhaustive table, against all of it
    "balanced.parquet",
    {
        **CELL,
        "n_subsets": COUNT,  # of the design; 0: none of this k, the curve between
        "n_subsets_pool": COUNT,
        "loss": NUMBER,  # mean over all subsets
        "loss_balanced": NUMBER,
        "low": NUMBER,  # 95% interval of the design's for the mean over all subsets; null: unknown
        "high": NUMBER,
        "inside": FLAG,  # the mean over all subsets is in it
        "loss_law": NUMBER,  # the law of one size, fitted to the design's means
    },
    ("size", "method", "domain", "k"),
)

BETWEEN = Table(  # the curve at k without merges: a quadratic in 1/k (`laws.between`)
    "between_k.parquet",
    {
        **CELL,
        "n_k": COUNT,  # measured
        "loss": NUMBER,  # of the mean over all subsets
        "low": NUMBER,  # 95% interval for it on the same text; null: not known
        "high": NUMBER,
    },
    ("size", "method", "domain", "k"),
)

TABLES = (
    VARIANCE_FITS,
    DISPERSION,
    ORDER,
    SYNERGY_ESTIMATORS,
    SYNERGY_STRENGTHS,
    SYNERGY_BLOCKS,
    MIXING,
    DESIGNS,
    BALANCED,
    BETWEEN,
)
