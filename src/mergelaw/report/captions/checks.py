"""Figures of the full report: forecasts checked, and what more experts buy."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "forecast_intervals": Figure(
        "The forecast from three small k, with 95% intervals",
        "Dash-dotted line: macro loss of the largest size, forecast from three small k. Band: if "
        "the scored items were drawn anew. Dashed lines: if the experts were. Dotted lines: for "
        "this pool, where its subsets were sampled. Points: measured.",
        ("forecast_intervals.parquet",),
        full=True,
    ),
    "triples": Figure(
        "Which three k to forecast from",
        "Each mark is one triple of k: the median, over sizes and domains, of the relative error "
        "of its forecast at k = M, against the largest k that it needs. Open: some curves gave no "
        "forecast. Named: {1, 2, 4}, {1, 3, 6} and the triple with the lowest error.",
        ("triple_errors.parquet",),
        full=True,
    ),
    "transfer": Figure(
        "A curve from two of its points and another size's offset",
        "Relative error of the predicted loss of the whole pool: floor and tail from k = 1 and 2 "
        "of the column's size, offset from the fit of the row's. Macro loss. Red: predicted too "
        "high; blue: too low. The diagonal takes the size's own offset, the "
        "last row none (0).",
        ("transfer.parquet",),
        full=True,
    ),
    "gains": Figure(
        "What one more expert gains",
        "Points: fall of the macro loss from k to k + 1. Lines: the same from the law fitted to "
        "each size. Both axes are logarithmic; gains of zero or less are not drawn and counted "
        "below.",
        ("gains.parquet",),
        full=True,
    ),
    "near_floor": Figure(
        "Experts needed to come near the floor",
        "Smallest k at which the fitted law is within a distance of its floor (macro loss, both "
        "axes logarithmic). Dashed line: the pool's size; open points lie above it and cannot be "
        "reached. Small crosses: the measured k within that distance of the reachable end, L(M).",
        ("near_floor.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
