"""The figure of the full report about ways of training the experts."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "capacity": Figure(
        "Loss of the pool, floor and tail against the training of the experts",
        "A point per training setting of the experts, against the tokens that an expert was "
        "trained on; ringed: the reference, training.expert. Lines join settings that differ in "
        "their length alone; open points, on the right by name, change something else. The loss of "
        "the whole pool is measured, floor and tail are fitted to each setting's curve, and left "
        "out where they are not identified. Bars: standard errors of the fit. Macro loss.",
        ("capacity.parquet", "capacity_fits.parquet"),
        full=True,
    ),
}
"""By name, in the page's order."""
