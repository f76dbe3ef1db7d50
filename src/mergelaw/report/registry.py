"""The report's figures by name and what each page has; light, because workflow rules read it."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.laws.registry import ANALYSES, CURVES_AND_FITS, REPORT_ANALYSES
from mergelaw.paths import StudyPaths
from mergelaw.report.captions import (
    capacity,
    checks,
    costs,
    doubts,
    measured,
    published,
    scales,
    subsets,
    training,
)
from mergelaw.report.captions.figure import (
    COSTS,
    MERGED_TENSORS,
    TASK_VECTORS,
    TRAINING,
    Figure,
)

FIGURES: dict[str, Figure] = {
    **measured.FIGURES,
    **doubts.FIGURES,
    **checks.FIGURES,
    **subsets.FIGURES,
    **scales.FIGURES,
    **training.FIGURES,
    **capacity.FIGURES,
    **costs.FIGURES,
    **published.FIGURES,
}
"""Every figure, in the page's order."""

PAGES = ("report", "full")
"""The pages: of every study, and with every analysis that the study's data allow."""

README_FIGURE = "loss_by_k"
"""The figure that is written as PNG too, for the README."""

BY_SIZE = {
    TASK_VECTORS: StudyPaths.task_vectors,
    MERGED_TENSORS: StudyPaths.merged_tensors,
    TRAINING: StudyPaths.training_logs,
}
"""Tables of the merge and experts stages, of which each size has its own."""


EVERY_SETTING = frozenset({"capacity.parquet", COSTS})
"""Tables that pages show of every training setting; of all others they show the ladder's rows."""


def figures_of(page: str) -> list[str]:
    """Return the names of a page's figures, in order."""
    return [name for name, figure in FIGURES.items() if page == "full" or not figure.full]


def tables_of(page: str) -> list[str]:
    """Return the files of the tables that a page reads."""
    names = [*CURVES_AND_FITS, *(ANALYSES if page == "full" else REPORT_ANALYSES)]
    others = [TASK_VECTORS, MERGED_TENSORS, *([TRAINING, COSTS] if page == "full" else [])]
    return [f"{name}.parquet" for name in names] + others


def table_paths(study: Study, paths: StudyPaths, *files: str) -> list[Path]:
    """Return where tables lie, those of `BY_SIZE` once for each size of the study.

    Others are the laws stage's, but for the costs.
    """
    found: list[Path] = []
    for file in files:
        place = BY_SIZE.get(file)
        one = paths.costs if file == COSTS else paths.laws / file
        found += [place(paths, size) for size in study.size_names] if place else [one]
    return found
