"""The report stage: read tables, draw a figure or write the page."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.files import atomic_file, write_text
from mergelaw.paths import StudyPaths
from mergelaw.report.inputs import not_made, read_tables, why_nothing
from mergelaw.report.registry import FIGURES, README_FIGURE

NO_THEORY = "the study has no `theory` in its config"


def write_figure(study: Study, paths: StudyPaths, name: str) -> Path:
    """Draw one figure to `report/figures/{name}.svg`; the README's figure to a PNG too.

    Raises
    ------
    TableError
        If a table is missing or broken.
    """
    from mergelaw.report import style  # matplotlib takes 1 s, and the page does without it
    from mergelaw.report.figures import DRAW

    figure_of = FIGURES[name]
    absent = figure_of.theory and study.theory is None
    files = () if absent else figure_of.tables
    tables = read_tables(study, paths, files)
    reason = NO_THEORY if absent else why_nothing(files, not_made(study, paths, files))
    with style.settings():
        figure = (
            style.message(figure_of.title, f"Not made: {reason}.")
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
    ConfigError
        If it is the page of the theory and the study has none.
    TableError
        If a table is missing or broken.
    """
    from mergelaw.report import page, theory_page

    html = (
        theory_page.render(study, paths)
        if name == theory_page.PAGE
        else page.render(study, paths, name)
    )
    write_text(paths.page(name), html)
    return paths.page(name)
