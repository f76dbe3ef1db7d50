"""The planning stage: the study's law file, and the page that plans from it."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.files import write_text
from mergelaw.paths import StudyPaths
from mergelaw.planning.law_file import read_law_file, write_laws
from mergelaw.planning.study_laws import study_laws


def write_law_file(study: Study, paths: StudyPaths) -> Path:
    """Write planning/laws.json from the laws stage's tables, the losses and the jobs' costs.

    Raises
    ------
    TableError
        If a table that it reads is missing, broken or not the study's.
    """
    write_laws(paths.law_file, study_laws(study, paths))
    return paths.law_file


def write_planner(study: Study, paths: StudyPaths) -> Path:
    """Write planning/planner.html from the law file.

    Raises
    ------
    TableError
        If the law file is missing or broken.
    """
    from mergelaw.planning.page import render

    write_text(paths.planner, render(read_law_file(paths.law_file), paths.root.as_posix()))
    return paths.planner
