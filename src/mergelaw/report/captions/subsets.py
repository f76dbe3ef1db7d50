"""Figures of the full report: what single subsets say."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "variance_forms": Figure(
        "Which form the variance over subsets follows",
        "Left: AICc of each form less that of the finite pool with no more parameters, fitted to "
        "the same variances; below 0 the form is the better one. Right: the variance that it gives "
        "for the whole pool, of which there is one subset: the truth is 0. A mark per method and "
        "size; of the form over N and k, one per method, at the largest size. Macro loss. With x = "
        "1/k − 1/M: finite pool v₀x, curved v₀x + v₁x², with seed v₀x + v; with offset v₀/(k + b) "
        "less its value at M.",
        ("variance_fits.parquet",),
        full=True,
    ),
    "dispersion": Figure(
        "Standard deviation over subsets, and two laws for it",
        "Points: standard deviation of the macro loss over subsets of k, which the paper calls the "
        "dispersion over orders. Solid: the paper's c₀ + c₁/(k + b). Dashed: the finite pool's, "
        "from V₀ (1/k − 1/M), which is 0 for the whole pool. Log scale.",
        ("dispersion.parquet",),
        full=True,
    ),
    "order": Figure(
        "What the order of merging and the mask seed change",
        "Standard deviation of the macro loss: between subsets of k, over mask seeds of one "
        "subset, and over the order in which one subset's experts are summed in bfloat16. Log "
        "scale; a standard deviation of 0 is not drawn: a sum of two is the same in either order. "
        "Sums in float32 are over sorted experts and have no order.",
        ("order.parquet",),
        full=True,
    ),
    "synergy_estimators": Figure(
        "Four ways to say how much an expert helps a domain",
        "Fall of a domain's loss by an expert: each other estimator against the balanced mean over "
        "all subsets, a mark per expert and domain. On the line both agree. Trajectory: the "
        "paper's, over random orders, ± its standard error. The Shapley value also counts the "
        "step from the base to the expert alone. Both axes are logarithmic beyond ±0.05. Largest "
        "size.",
        ("synergy_estimators.parquet",),
        full=True,
    ),
    "synergy_strengths": Figure(
        "How much each expert gives, and each domain receives",
        "Donors: an expert's gains summed over the domains that are not its own. Receivers: a "
        "domain's gains summed over the experts of other domains. Balanced estimator; right of 0 "
        "it helps. A mark per size.",
        ("synergy_strengths.parquet",),
        full=True,
    ),
    "synergy_blocks": Figure(
        "Gains between blocks of domains",
        "Mean fall of the loss of a block's domains by a block's experts, balanced estimator. "
        "Left: experts on their own domain included, as in the paper. Right: these left out; empty "
        "where no other pair is left. Largest size.",
        ("synergy_blocks.parquet",),
        full=True,
    ),
    "mixing": Figure(
        "Subsets from one block or from several, at equal k",
        "Macro loss of the subsets whose experts come from so many blocks (the digit), less the "
        "mean of all subsets of k: below 0 is better than the mean. Largest size.",
        ("mixing.parquet",),
        full=True,
    ),
    "designs": Figure(
        "How near few subsets come to all of them",
        "Root mean square error of a design's mean macro loss, relative to the mean of all "
        "subsets, over random draws of the design; log scale. A design that is exact, such as all "
        "single experts, is not drawn. Largest size.",
        ("designs.parquet",),
        full=True,
    ),
    "balanced": Figure(
        "A balanced design against all subsets",
        "Mean macro loss of a balanced design relative to the mean of all subsets, with its 95% "
        "interval: 0 is the exhaustive curve. Filled: k that the design has, where each expert and "
        "each pair of experts is equally often merged. Hollow: k that it does not have, by a "
        "quadratic in 1/k through the others. Both curves are scored on the same text. Largest "
        "size.",
        ("balanced.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
