"""A real Slurm for the tests of this folder, and one smoke study that was run on it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.heads import CHUNK, LONG, Head, Study
from tests.slurm.side_by_side import together
from tests.workflow.workspace import CONFIG


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The running cluster; tests that want it are skipped where it cannot be."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Cluster(tmp_path_factory.mktemp("cluster") / "slurm").running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def smoke(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Head]:
    """The smoke study, run on Slurm to its report."""
    study = Study(tmp_path_factory.mktemp("smoke"))
    head = study.head_of(CONFIG)
    try:
        head.succeeds()
    finally:
        head.end()
    return study, head


@pytest.fixture(scope="session")
def prepared(smoke: tuple[Study, Head], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The trained study with the long text, and the chunk as a run without faults leaves it."""
    study = smoke[0].copy(tmp_path_factory.mktemp("prepared") / "study")
    study.run(LONG, "results/smoke/data/shards/contents.parquet")
    study.chunk.unlink()
    study.run(LONG, CHUNK)
    return study


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    prepared: Study,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, "Future[None]"]]:
    """The tests that run side by side."""
    yield from together.start(request, cluster, prepared, tmp_path_factory.mktemp("together"))
