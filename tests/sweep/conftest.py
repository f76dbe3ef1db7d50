"""Fixtures of the sweep's tests."""

import shutil

import pytest

from mergelaw.paths import StudyPaths
from tests.helpers import run_sweep


@pytest.fixture(scope="module")
def swept(trained, tmp_path_factory):
    """The tiny study with its whole sweep done; read only."""
    study, paths = trained
    root = tmp_path_factory.mktemp("swept")
    shutil.copytree(paths.root, root, dirs_exist_ok=True)
    run_sweep(study, StudyPaths(root))
    return study, StudyPaths(root)


@pytest.fixture
def own_sweep(swept, tmp_path):
    """The swept study in a folder that the test may change."""
    study, paths = swept
    shutil.copytree(paths.root, tmp_path / "study")
    return study, StudyPaths(tmp_path / "study")
