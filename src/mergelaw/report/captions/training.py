"""Figures of the full report: the trainings of experts, and multitask training in their place."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "training_curves": Figure(
        "Training loss of the experts and of the multitask baseline",
        "Loss of the response tokens of each step's own items, before the step, against the share "
        "of the training that is done: at equal shares every item was seen equally often. Thin: "
        "one expert; thick: their mean, in which each counts alike. Dark: the multitask baseline, "
        "in which each token does. Long trainings are means over stretches of steps.",
        ("training_curves.parquet",),
        full=True,
    ),
    "post_training": Figure(
        "Loss of the experts on their own domains along their training",
        "Mean over the experts, each on its own domain, against the tokens (left) and FLOPs "
        "(right) that one expert was trained with so far, 6 N D; log scale. Bars: ± token standard "
        "error, which the points share, as the items are the same: the falls are known better. "
        "Dashed: the base, which has had no training. Dash-dotted: the law of N and tokens, fitted "
        "to all sizes.",
        ("post_training.parquet", "post_training_fits.parquet"),
        full=True,
    ),
    "post_training_domains": Figure(
        "Loss of each expert on its own domain along its training",
        "The same for each expert by itself. Every panel has its own loss scale.",
        ("post_training.parquet",),
        full=True,
    ),
    "multitask": Figure(
        "Multitask training and merging, by their share of the specialists' gain",
        "Share of the fall from the base to the domain's own expert that a model reaches: 0 is the "
        "base, 1 the specialist. Macro: of the macro losses. The multitask baseline was trained on "
        "the items of the experts that are merged beside it. Bars: ± token standard error, items "
        "resampled for all models alike. A domain whose specialist's gain is within two standard "
        "errors has no score and no mark.",
        ("multitask.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
