"""What the report says of a figure."""

from typing import NamedTuple

CURVES, FITS, PREDICTIONS = "curves.parquet", "fits.parquet", "predictions.parquet"
TASK_VECTORS, MERGED_TENSORS = "task_vectors.parquet", "merged_tensors.parquet"
COSTS, TRAINING = "costs.parquet", "training.parquet"


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
    """

    title: str
    caption: str
    tables: tuple[str, ...]
    full: bool = False
