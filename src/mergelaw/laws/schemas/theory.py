"""The theory stage's tables: derivatives at one merge, what they predict, and the best weights.

They lie in results/{study}/theory/; `derivatives`, `updates` and `weights` in a folder of each
size. `route` is a value of `mergelaw.config.theory.Route`.
"""

import polars as pl

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

NUMBERS = pl.List(pl.Float64())

FAR = 0.05
"""An expansion that is off by a larger share of a loss does not reach it, and is said not to."""

DERIVATIVES = Table(  # at the merge of the whole pool; sums over the scored tokens of a fold
    "derivatives.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "mask_seed": COUNT,
        "route": TEXT,
        "domain": TEXT,
        "fold": COUNT,  # items of a domain are dealt into folds, the unit of resampling
        "experts": pl.List(pl.String()),  # of the lists below, sorted
        "scale": NUMBER,  # of the merge: every expert's weight is scale / pool
        "n_items": COUNT,
        "n_tokens": COUNT,  # scored
        "nll_sum": NUMBER,  # nats
        "gradient": NUMBERS,  # by expert's weight; null where the route does not tell it
        "curvature": NUMBERS,  # by pair of weights, row by row; null likewise
        "slope": NUMBER,  # along the merged task vector, by scale
        "radial": NUMBER,  # second derivative along it
        "spread": NUMBERS,  # d_i' H d_i, d_i = psi(v_i) - mean of all
        "third": NUMBERS,  # along d_i, of the whole domain, in each of its rows; null: not measured
        "mask_spread": NUMBER,  # mean over masks and experts of n' H n, n = psi(v) - v; null: none
        "mask_probes": NUMBERS,  # the same by each of the probes that it is the mean of
    },
    ("size", "method", "mask_seed", "route", "domain", "fold"),
)

UPDATES = Table(  # how far merges by elected signs, never predicted, are from means of updates
    "updates.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "k": COUNT,
        "n_subsets": COUNT,
        "residual": NUMBER,  # root mean square of |delta_S - mean of u_i| / |delta_S - delta_pool|
    },
    ("size", "method", "k"),
)

PREDICTED_CURVES = Table(
    "curves.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "route": TEXT,
        "masks": TEXT,  # "these": of the study's mask seed; "mean": over masks
        "domain": TEXT,
        "k": COUNT,
        "scale": NUMBER,
        "loss_predicted": NUMBER,
        "stderr_text": NUMBER,  # from the choice of items; null: one fold a domain by every route
        "error_order": NUMBER,  # size of what the third order adds; null: not measured
        "low": NUMBER,  # of the interval on this text: higher orders alone
        "high": NUMBER,
        "low_text": NUMBER,  # of the interval on other text of the kind
        "high_text": NUMBER,
        "sd_predicted": NUMBER,  # over subsets; null where the route does not tell it
        "loss": NUMBER,  # measured mean over subsets; null: not measured
        "sd": NUMBER,
        "loss_fitted": NUMBER,  # the law's, from laws/predictions; null: none
        "relative_error": NUMBER,  # (loss_predicted - loss) / loss
        "relative_error_fitted": NUMBER,
    },
    ("size", "method", "route", "masks", "domain", "k", "scale"),
)

PREDICTED_LAWS = Table(
    "laws.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "route": TEXT,
        "domain": TEXT,
        "floor": NUMBER,
        "floor_stderr": NUMBER,
        "floor_fitted": NUMBER,
        "tail": NUMBER,
        "tail_stderr": NUMBER,
        "tail_fitted": NUMBER,
        "k85": COUNT,
        "k85_measured": COUNT,
        "k90": COUNT,
        "k90_measured": COUNT,
        "best_scale": NUMBER,  # c* of the whole pool; null: curvature is not above 0
        "best_scale_fitted": NUMBER,
    },
    ("size", "method", "route", "domain"),
)

PREDICTED_SUBSETS = Table(
    "subsets.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "route": TEXT,
        "domain": TEXT,
        "subset": TEXT,
        "k": COUNT,
        "loss_predicted": NUMBER,
        "stderr": NUMBER,  # of other text and higher orders; null: that of text is not known
        "p_best": NUMBER,  # null likewise
        "loss": NUMBER,
    },
    ("size", "method", "route", "domain", "subset"),
)

RANKINGS = Table(  # how well subsets are ranked at one k
    "rankings.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "route": TEXT,
        "domain": TEXT,
        "k": COUNT,  # 0: all subsets together
        "n_subsets": COUNT,
        "rank_correlation": NUMBER,  # Spearman's; null: fewer than three subsets
        "median_error": NUMBER,  # of |predicted - measured| / measured
        "p95_error": NUMBER,
        "chosen": TEXT,
        "best": TEXT,
        "regret": NUMBER,  # nats per token of the chosen above the best, both as measured
        "regret_random": NUMBER,  # of a subset taken at random
    },
    ("size", "method", "route", "domain", "k"),
)

TERMS = Table(  # of Wang et al., theorem 3.1
    "terms.parquet",
    {
        "size": TEXT,
        "n_params_billions": NUMBER,
        "method": TEXT,
        "route": TEXT,
        "domain": TEXT,
        "mean_norm": NUMBER,  # |mu|
        "spread_norm": NUMBER,  # sqrt(Tr Sigma)
        "trace": NUMBER,  # Tr(H Sigma), Sigma with divisor pool - 1
        "mean_curvature": NUMBER,  # mu' H mu
        "mean_slope": NUMBER,  # g' mu at the merge
        "tail": NUMBER,  # c^2/2 Tr(H Sigma)
        "tail_fitted": NUMBER,
        "offset": NUMBER,  # b at the best scale of each k: trace / (mean_curvature - trace / pool)
        "base_predicted": NUMBER,  # loss of the base by the same expansion: why it fails there
        "base": NUMBER,
        # what higher orders add at k = 1, share of the measured fall from 1 to the pool; by exact
        # curvature (hvp) alone: of other routes it would hold their own errors too
        "order_share_1": NUMBER,
        "order_share_2": NUMBER,
        "order_share_3": NUMBER,
    },
    ("size", "method", "route", "domain"),
)

CROSS_CURVATURE = Table(  # synergy of donor and receiver from H_ij
    "synergy.parquet",
    {
        "size": TEXT,
        "method": TEXT,
        "route": TEXT,
        "donor": TEXT,
        "receiver": TEXT,
        "gain_predicted": NUMBER,  # mean fall of the receiver's domain when the donor joins
        "gain": NUMBER,  # measured, from the same subsets
    },
    ("size", "method", "route", "donor", "receiver"),
)

WEIGHTS = Table(
    "weights.parquet",
    {
        "size": TEXT,
        "objective": TEXT,
        "way": TEXT,  # a value of `mergelaw.theory.ways.WAYS`
        "groups": pl.List(pl.String()),  # of layers; one, `model`, for a weight per expert
        "experts": pl.List(pl.String()),
        "weights": NUMBERS,  # by group, then expert
        "n_experts": COUNT,  # with a weight other than 0
        "calibration_tokens": COUNT,  # scored, of all domains
        "heldout_tokens": COUNT,
        "calibration": NUMBER,  # the objective's loss there
        "heldout": NUMBER,
        "heldout_stderr": NUMBER,  # of its difference from the full average, over items
        "domains": pl.List(pl.String()),
        "heldout_by_domain": NUMBERS,
        "forwards": NUMBER,  # cost in forward passes over the calibration text, all told
        "n_losses": COUNT,
        "n_gradients": COUNT,
        "n_products": COUNT,  # directions along which curvature was taken
        "converged": FLAG,
        "note": TEXT,
    },
    ("size", "objective", "way"),
)

SIZE_TABLES = (DERIVATIVES, UPDATES, WEIGHTS)
"""Of which each size has its own."""

TABLES = (*(PREDICTED_CURVES, PREDICTED_LAWS, PREDICTED_SUBSETS, RANKINGS, TERMS, CROSS_CURVATURE),)
"""Of the whole study."""
