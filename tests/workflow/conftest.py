"""One real run of the smoke study, in steps that the tests of this folder share."""

import pytest

from tests.workflow.workspace import FIRST, GROWN, Workspace


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small study, run to its report."""
    workspace = Workspace(tmp_path_factory.mktemp("smoke"))
    workspace.run(FIRST)
    return workspace


@pytest.fixture(scope="session")
def grown_run(first_run: Workspace) -> tuple[Workspace, dict[str, bytes], set[str]]:
    """The grown study: the workspace, the first chunks' bytes, and what the growth planned."""
    before = {
        str(path): path.read_bytes() for path in first_run.results.glob("sweep/*/*/0.parquet")
    }
    planned = first_run.planned(GROWN)
    first_run.run(GROWN)
    return first_run, before, planned
