"""Figures of the full report: numbers from the paper, none of them of this study."""

from mergelaw.report.captions.figure import Figure

FIGURES: dict[str, Figure] = {
    "published_laws": Figure(
        "The paper's joint fits as curves (Tables 3 to 5)",
        "Macro loss by the printed parameters, the mean of nine domains, at the paper's sizes. "
        "Numbers of Wang et al., arXiv 2509.24244; not this study's data.",
        ("published_laws.parquet",),
        full=True,
    ),
    "published_curves": Figure(
        "The paper's curves of other pools and backbones",
        "Points: printed mean losses, ± their printed standard deviation over subsets. Solid: the "
        "law with a free offset, fitted here. Dash-dotted: with an offset of at most 1, fitted "
        "here for Table 20 and as printed for Table 23. Numbers of Wang et al., arXiv 2509.24244; "
        "not this study's data.",
        ("published_curves.parquet", "published_fits.parquet"),
        full=True,
    ),
    "published_downstream": Figure(
        "The paper's downstream scores, turned so that larger is better (Table 16)",
        "Means over the subsets of k. Rates of harmful answers and of successful attacks are shown "
        "as 1 − rate, and a metric that repeats another is left out; the last row is the plain "
        "mean of all columns, as the paper has it in Table 15. Numbers of Wang et al., arXiv "
        "2509.24244; not this study's data.",
        ("published_downstream.parquet",),
        full=True,
    ),
    "published_checks": Figure(
        "Printed numbers against other printed numbers",
        "A mark per claim, by where it is printed. Filled: other numbers of the paper give the "
        "same, within the rounding of the printed digits; open: they give another number. The "
        "table below has each one. Numbers of Wang et al., arXiv 2509.24244; not this study's "
        "data.",
        ("published_checks.parquet",),
        full=True,
    ),
}
"""By name, in the page's order."""
