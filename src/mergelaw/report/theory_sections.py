"""The theory page's sections: figures with their sentences and tables, in order."""

from mergelaw.report import (
    theory_grids,
    theory_subset_words,
    theory_term_words,
    theory_weights_grids,
    theory_weights_words,
    theory_words,
)
from mergelaw.report.sections import Finding, Section

SECTIONS = (
    Section(
        "curves",
        "The whole curve from one merge",
        "With the loss, slope and curvature at the whole pool's merge the mean over subsets of "
        "any k follows, and so does its change with the scale. Here they were measured as well, so "
        "that each prediction can be checked; no loss of another subset's merge was used for it.",
        (
            Finding("theory_curves", theory_words.theory_curves, theory_grids.errors),
            Finding("theory_errors", theory_words.theory_errors),
            Finding("theory_scales", theory_words.theory_scales),
        ),
    ),
    Section(
        "subsets",
        "Every subset from one merge",
        "The same derivatives tell the loss of each single subset, which of them is the best, and "
        "what an expert that joins does for each domain.",
        (
            Finding("theory_subsets", theory_subset_words.theory_subsets),
            Finding("theory_rankings", theory_subset_words.theory_rankings, theory_grids.rankings),
            Finding("theory_synergy", theory_subset_words.theory_synergy),
            Finding("theory_synergy_pairs", theory_subset_words.theory_synergy_pairs),
        ),
    ),
    Section(
        "terms",
        "The terms of the theorem, measured",
        "Wang et al. explain floor and tail by the mean μ and the covariance Σ of the task "
        "vectors and by slope g and curvature H of the loss (theorem 3.1), and do not measure "
        "them. Here they are, at the whole pool's merge rather than at the base. Methods that "
        "elect signs have no such terms; how far they are from it is told.",
        (
            Finding("theory_terms", theory_term_words.theory_terms, theory_grids.terms),
            Finding("theory_updates", theory_term_words.theory_updates, theory_grids.updates),
        ),
    ),
    Section(
        "weights",
        "Better weights than equal ones",
        "Subsets are corners of a larger space: a weight for each expert. Newton steps from the "
        "full average, within a region where the quadratic is to be trusted, each checked by the "
        "real loss. Other ways are in the same tables, on the same text, with their costs.",
        (
            Finding(
                "theory_weights", theory_weights_words.theory_weights, theory_weights_grids.weights
            ),
            Finding(
                "theory_objectives",
                theory_weights_words.theory_objectives,
                theory_weights_grids.objectives,
            ),
            Finding("theory_weights_found", theory_weights_words.theory_weights_found),
        ),
    ),
)
"""Every section with figures, in the page's order."""
