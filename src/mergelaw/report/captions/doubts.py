"""Figures of the full report: how far the fits can be trusted."""

from mergelaw.report.captions.figure import CURVES, FITS, Figure

FIGURES: dict[str, Figure] = {
    "in_domain": Figure(
        "Floor and tail of every domain and size",
        "Filled points: floor and tail of the law fitted to one domain and one size; open points "
        "are at a bound of the fit. Bars: floor and tail that one joint law of all sizes gives for "
        "that domain. The row macro is the fit to the unweighted mean over domains. Fits whose "
        "offset ran to its upper bound have no meaningful floor or tail and are left out. "
        "Reference method.",
        (CURVES, FITS),
        full=True,
    ),
    "intervals": Figure(
        "95% intervals of the fits, by what they are about",
        "Ends of each interval, less the estimate: 0 is the estimate itself. This pool: scatter of "
        "the points about the law (profile). New text: the scored items drawn anew. New experts: "
        "the pool drawn anew (jackknife over experts). Loss at the pool: the law at k = M. Macro "
        "loss; an arrow at the edge marks a side without an end.",
        ("intervals.parquet",),
        full=True,
    ),
    "rivals": Figure(
        "The law against rival forms",
        "Left: AICc of each form less the lowest of the same points; in the shaded band, below 2, "
        "forms cannot be told apart. Right: largest error of each form at large k when fitted to "
        "the smaller k alone. A mark per size, or one for all sizes where the form is one of size "
        "and k. Macro loss.",
        ("rivals.parquet",),
        full=True,
    ),
    "null_r2": Figure(
        "How much of a high R² is automatic",
        "Points: share of the variation that the law leaves unexplained, 1 − R², of the measured "
        "macro curves. Grey bars: the middle 90% of the same share, with its median, of drawn "
        "curves that fall but follow no law; on the right the drawn drops shrink with k, as "
        "measured ones do. A point inside its bar is no evidence for the law.",
        ("null_r2.parquet",),
        full=True,
    ),
    "two_stage": Figure(
        "Exponents of size by two ways of fitting",
        "Exponent of the floor's and of the tail's fall with N, per domain. Filled points: fitted "
        "to the floors and tails of the sizes' own fits (two stages). Open points: one joint fit. "
        "Where the two lie far apart, neither is a constant to be quoted.",
        (FITS, "two_stage.parquet"),
        full=True,
    ),
    "pools": Figure(
        "The same law on smaller pools",
        "Floor, tail and loss of the whole pool for every pool that lacks one expert (dark "
        "points) or two (pale points), less the value of the full pool (0). Macro loss. The "
        "spread shows how much the numbers are about these very experts.",
        ("pools.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
