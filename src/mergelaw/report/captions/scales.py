"""Figures of the full report: the scale axis."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "scale_curves": Figure(
        "The loss against the scale, by the number of experts",
        "Filled points: macro loss at the scales that the surface is fitted to; open points: at "
        "others, with the base at scale 0. Solid: the surface, a quadratic in the scale at each k; "
        "dash-dotted beyond the fitted scales, where it fails if the open points lie off it.",
        ("scale_curves.parquet", "scale_fits.parquet"),
        full=True,
    ),
    "best_scales": Figure(
        "The best scale by the number of experts",
        "Scale at which the fitted surface of the macro loss is lowest. Open: outside the fitted "
        "scales, an extrapolation. Dashed: the reference scale that gains are measured from.",
        ("best_scales.parquet",),
        full=True,
    ),
    "scale_gains": Figure(
        "What the best scale gains, predicted and measured",
        "Fall of the macro loss from the reference scale to the best one, on the same subsets. "
        "Points: real merges at the best scale; open where it lies outside the fitted scales. "
        "Lines: predicted by the fitted surface.",
        ("best_scales.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
