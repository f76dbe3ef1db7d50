"""Experts along their training, and the multitask baseline beside merges of the same experts."""

from mergelaw.laws.schemas.table import COUNT, FLAG, NUMBER, TEXT, Table

TRAINING_CURVES = Table(  # losses of the trainings' own batches
    "training_curves.parquet",
    {
        "size": TEXT,
        "expert": TEXT,  # or "multitask"; null: the mean over the experts
        "stretch": COUNT,  # from 1: equal shares of the training's steps
        "share": NUMBER,  # of the training that is done at its end
        "training_tokens": NUMBER,  # so far, a mean over the experts where it is theirs
        "loss": NUMBER,  # of the response tokens of its steps
        "learning_rate": NUMBER,  # mean over its steps
    },
    ("size", "expert", "stretch"),
)

POST_TRAINING = Table(  # each expert on its own domain
    "post_training.parquet",
    {
        "size": TEXT,
        "n_params_billions": NUMBER,
        "domain": TEXT,  # the expert's own; "macro": the mean over the experts
        "expert": TEXT,  # null for macro
        "point": COUNT,  # 0: the base; then what was kept of the training, the expert itself last
        "step": COUNT,  # null for macro
        "training_tokens": NUMBER,  # so far
        "training_flops": NUMBER,
        "loss": NUMBER,
        "token_se": NUMBER,  # from resampled items; null: 1 item
        "fall": NUMBER,  # from the point before; null at the base
        "fall_se": NUMBER,  # on the same resampled items
        "fall_total": NUMBER,  # from the base
        "fall_total_se": NUMBER,
    },
    ("size", "domain", "expert", "point"),
)

POST_TRAINING_FITS = Table(  # L(N, D) = E + A N^-alpha + B D^-beta, of the points of the ladder
    "post_training_fits.parquet",
    {
        "domain": TEXT,
        "expert": TEXT,  # null for macro
        "parameter": TEXT,
        "value": NUMBER,  # null: not fitted, for the reason in `note`
        "stderr": NUMBER,
        "at_bound": FLAG,
        "r2": NUMBER,
        "n_points": COUNT,
        "identified": FLAG,
        "note": TEXT,
    },
    ("domain", "expert", "parameter"),
)

MULTITASK = Table(
    "multitask.parquet",
    {
        "size": TEXT,
        "domain": TEXT,
        "kind": TEXT,  # "base", "specialist" (the domain's own expert), "multitask" or "merge"
        "method": TEXT,  # of "merge"; null for the others
        "experts": TEXT,  # those of multitask training and merges, joined by '+'; repeated
        "loss": NUMBER,
        "token_se": NUMBER,  # from resampled items; null: 1 item
        "difference": NUMBER,  # loss less the multitask baseline's; below 0: better than it
        "difference_se": NUMBER,  # on the same resampled items
        "score": NUMBER,  # (L_base - loss) / (L_base - L_specialist); null: not defined
        "score_se": NUMBER,
        "note": TEXT,  # why the domain has no score
    },
    ("size", "domain", "kind", "method"),
)

TABLES = (TRAINING_CURVES, POST_TRAINING, POST_TRAINING_FITS, MULTITASK)
