"""The report stage: read tables, draw a figure or write the page."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.files import atomic_file, write_text
from mergelaw.paths import StudyPaths
from mergelaw.report.inputs import not_made, read_tables, why_nothing
from mergelaw.report.registry import FIGURES, README_FIGURE


def write_figure(study: Study, paths: StudyPaths, name: str) -> Path:
    """Draw one figure to `report/figures/{name}.svg`; the README's figure to a PNG too.

    Raises
    ------
    TableError
        If a table is missing or broken.
    """
    from mergelaw.report import style  # matplotlib takes 1 s, and the page does without it
    from mergelaw.report.figures import DRAW

    files = FIGURES[name].tables
    tables = read_tables(study, paths, files)
    reason = why_nothing(files, not_made(study, paths, files))
    with style.settings():
        figure = (
            style.message(FIGURES[name].title, f"Not made: {reason}.")
            if reason
            else DRAW[name](study, tables)
        )
        write_text(paths.figures / f"{name}.svg", style.to_svg(figure))
        if name == README_FIGURE:
            with atomic_file(paths.figures / f"{name}.png") as part:
                part.write_bytes(style.to_png(figure))
    return paths.figures / f"{name}.svg"


def write_page(study: Study, paths: StudyPaths, name: str) -> Path:
    """Write `report/{name}.html` from tables, the losses and the figures.

    Raises
    ------
    TableError
        If a table is missing or broken.
    """
    from mergelaw.report.page import render

    write_text(paths.page(name), render(study, paths, name))
    return paths.page(name)
