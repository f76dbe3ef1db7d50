"""One small study with its tables, drawn once for all tests of the report."""

import pytest

from mergelaw.config import Study
from mergelaw.paths import StudyPaths
from mergelaw.report.registry import FIGURES, PAGES
from mergelaw.report.stage import write_figure, write_page
from tests.report import tables


@pytest.fixture(scope="session")
def small_study() -> Study:
    return tables.make_study()


@pytest.fixture(scope="session")
def small_tables(small_study):
    return tables.build(small_study)


@pytest.fixture(scope="session")
def drawn(small_study, tmp_path_factory) -> StudyPaths:
    """The small study's tree with every figure and both pages; tests must not write into it."""
    paths = tables.tree(small_study, tmp_path_factory.mktemp("report"))
    for name in FIGURES:
        write_figure(small_study, paths, name)
    for page in PAGES:
        write_page(small_study, paths, page)
    return paths
