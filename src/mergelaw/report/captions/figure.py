"""What the report says of a figure."""

from typing import NamedTuple

CURVES, FITS, PREDICTIONS = "curves.parquet", "fits.parquet", "predictions.parquet"
TASK_VECTORS, MERGED_TENSORS = "task_vectors.parquet", "merged_tensors.parquet"
COSTS, TRAINING = "costs.parquet", "training.parquet"

THEORY = "theory/"
"""Starts the names of the theory stage's tables: those of the laws have some names in common."""

PREDICTED_CURVES, PREDICTED_LAWS = f"{THEORY}curves.parquet", f"{THEORY}laws.parquet"
PREDICTED_SUBSETS, RANKINGS = f"{THEORY}subsets.parquet", f"{THEORY}rankings.parquet"
TERMS, CROSS_CURVATURE = f"{THEORY}terms.parquet", f"{THEORY}synergy.parquet"
DERIVATIVES, UPDATES = f"{THEORY}derivatives.parquet", f"{THEORY}updates.parquet"
WEIGHTS = f"{THEORY}weights.parquet"


class Figure(NamedTuple):
    """A figure of the report.

    Attributes
    ----------
    title
        What is shown, without a full stop; heads the drawing and the page's section.
    caption
        How to read the drawing; with the title it stands alone.
    tables
        Files that the drawing reads; `mergelaw.report.registry.table_paths` says where they lie.
    full
        Whether the full report alone has it.
    theory
        Whether it is of the page `theory` instead.
    """

    title: str
    caption: str
    tables: tuple[str, ...]
    full: bool = False
    theory: bool = False
