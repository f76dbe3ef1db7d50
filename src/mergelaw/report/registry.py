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
    theory,
    training,
)
from mergelaw.report.captions.figure import (
    COSTS,
    CURVES,
    DERIVATIVES,
    MERGED_TENSORS,
    PREDICTED_LAWS,
    TASK_VECTORS,
    THEORY,
    TRAINING,
    UPDATES,
    WEIGHTS,
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
    **theory.FIGURES,
}
"""Every figure, in the pages' order."""

PAGES = ("report", "full", "theory")
"""The pages: of every study; with every analysis that the study's data allow; of the theory."""

README_FIGURE = "loss_by_k"
"""The figure that is written as PNG too, for the README."""

BY_SIZE = {
    TASK_VECTORS: StudyPaths.task_vectors,
    MERGED_TENSORS: StudyPaths.merged_tensors,
    TRAINING: StudyPaths.training_logs,
    DERIVATIVES: StudyPaths.derivatives,
    UPDATES: StudyPaths.updates,
    WEIGHTS: StudyPaths.weights,
}
"""Tables of the merge, experts and theory stages, of which each size has its own."""


EVERY_SETTING = frozenset({"capacity.parquet", COSTS})
"""Tables that pages show of every training setting; of all others they show the ladder's rows."""


def figures_of(page: str) -> list[str]:
    """Return the names of a page's figures, in order."""
    chosen = {name: fig for name, fig in FIGURES.items() if fig.theory == (page == "theory")}
    return [name for name, figure in chosen.items() if page != "report" or not figure.full]


def tables_of(page: str) -> list[str]:
    """Return the files of the tables that a page reads."""
    if page == "theory":
        drawn = [file for name in figures_of(page) for file in FIGURES[name].tables]
        return list(dict.fromkeys([CURVES, *drawn, PREDICTED_LAWS, DERIVATIVES, COSTS]))
    names = [*CURVES_AND_FITS, *(ANALYSES if page == "full" else REPORT_ANALYSES)]
    others = [TASK_VECTORS, MERGED_TENSORS, *([TRAINING, COSTS] if page == "full" else [])]
    return [f"{name}.parquet" for name in names] + others


def table_paths(study: Study, paths: StudyPaths, *files: str) -> list[Path]:
    """Return where tables lie, those of `BY_SIZE` once for each size of the study.

    Others are the laws stage's, but for the costs and the theory's.
    """
    found: list[Path] = []
    for file in files:
        place = BY_SIZE.get(file)
        found += [place(paths, size) for size in study.size_names] if place else [_one(paths, file)]
    return found


def _one(paths: StudyPaths, file: str) -> Path:
    if file.startswith(THEORY):
        return paths.theory_table(file.removeprefix(THEORY).removesuffix(".parquet"))
    return paths.costs if file == COSTS else paths.laws / file
