"""Figures of the page `theory`: what one merge predicts beside what all merges measure."""

from mergelaw.report.captions.figure import (
    CROSS_CURVATURE,
    PREDICTED_CURVES,
    PREDICTED_SUBSETS,
    RANKINGS,
    TERMS,
    UPDATES,
    WEIGHTS,
    Figure,
)

FIGURES: dict[str, Figure] = {
    "theory_curves": Figure(
        "The curve predicted from one merge, and measured",
        "Points: measured macro loss, the mean over subsets of k. Solid: predicted from the loss, "
        "gradient and curvature at the one merge that is ringed, the whole pool's; band: its "
        "interval on this text, the size of higher orders. Dashed: the law fitted to all the "
        "points. Each panel has a loss axis of its own.",
        (PREDICTED_CURVES,),
        theory=True,
    ),
    "theory_errors": Figure(
        "Errors of the prediction by k, beside the law's fit",
        "Predicted less measured macro loss, as a share of the measured one. A mark for each way "
        "of measuring derivatives; dashed: the law, fitted to these very points. The axis is "
        "linear within ±0.1% and logarithmic beyond.",
        (PREDICTED_CURVES,),
        theory=True,
    ),
    "theory_scales": Figure(
        "The loss against the scale, predicted from one merge",
        "Points: measured macro loss of merges at several scales; base and experts are the same. "
        "Lines: predicted from the derivatives at the whole pool's merge and the study's own scale "
        "of it, joined between the scales. Far from that scale a quadratic may fail. The base "
        "itself, scale 0, is in the table of terms.",
        (PREDICTED_CURVES,),
        theory=True,
    ),
    "theory_subsets": Figure(
        "Every subset's loss, predicted and measured",
        "A point per subset: its macro loss predicted from the one merge, and measured. On the "
        "line both agree. Light to dark: few to many experts; open: single experts.",
        (PREDICTED_SUBSETS,),
        theory=True,
    ),
    "theory_rankings": Figure(
        "How well subsets are ranked at each k",
        "Spearman's rank correlation of predicted and measured losses over the subsets of k. "
        "Marks: macro loss, by the way that derivatives are measured; thin lines: single domains "
        "with the first of these ways.",
        (RANKINGS,),
        theory=True,
    ),
    "theory_synergy": Figure(
        "Who helps whom, from curvature and from measured merges",
        "Mean fall of a domain's loss when an expert joins, over the same subsets: predicted "
        "from the derivatives at one merge, and measured. Same colours in both. Largest size.",
        (CROSS_CURVATURE,),
        theory=True,
    ),
    "theory_synergy_pairs": Figure(
        "Predicted against measured gains of joining experts",
        "A mark per expert and domain: the fall of the domain's loss when the expert joins. "
        "Filled: the expert's own domain. On the line both agree. Both axes are linear within "
        "±0.05 and logarithmic beyond.",
        (CROSS_CURVATURE,),
        theory=True,
    ),
    "theory_terms": Figure(
        "The terms of the theorem by size",
        "Macro loss, all at the whole pool's merge: Tr(HΣ) is the curvature along the experts' "
        "spread, μ′Hμ that along their mean, g′μ the slope along it. Last: the tail A = c²/2 "
        "Tr(HΣ) (filled) beside the one fitted to the measured curve (open). The axis of sizes is "
        "logarithmic.",
        (TERMS,),
        theory=True,
    ),
    "theory_updates": Figure(
        "How far a method that elects signs is from a mean of fixed updates",
        "Distance of the merged weights of k experts from the mean of their updates as they are "
        "in the whole pool's merge, as a share of their distance from that merge (root mean "
        "square over subsets). 0: the merge is such a mean; 1: it is no nearer to it than to the "
        "whole pool's merge. No prediction is made of these methods.",
        (UPDATES,),
        theory=True,
    ),
    "theory_weights": Figure(
        "Loss at the weights found, by way of finding them",
        "Loss less that of the full average, on the text that weights were chosen on (open) and "
        "on other text (filled, ± standard error of this difference over items). Left of 0 is "
        "better. At the right: cost in forward passes over the text that weights were chosen on.",
        (WEIGHTS,),
        theory=True,
    ),
    "theory_objectives": Figure(
        "What each search gains, and how much of it is overfitted",
        "Newton's way, a row per objective: its loss less the full average's, where weights were "
        "chosen (open) and on other text (filled, ± standard error). An open mark far left of "
        "the filled one is overfitting. Objectives have losses of their own: rows do not compare.",
        (WEIGHTS,),
        theory=True,
    ),
    "theory_weights_found": Figure(
        "The weights found",
        "Weight of each expert's task vector by Newton's way, a map per objective and a row per "
        "size; of layers, a row per group at the largest size. Blue: above the full average's "
        "1/M; red: below.",
        (WEIGHTS,),
        theory=True,
    ),
}
"""By name, in the page's order."""
