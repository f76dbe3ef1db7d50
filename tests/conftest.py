"""Fixtures of all tests: no network, and one tiny study that is trained once."""

import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: threads only wait for each other


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The tiny study and its paths, with data, bases and experts made; read only."""
    from mergelaw.paths import StudyPaths
    from tests.helpers import run_data, run_experts, study_of

    study, paths = study_of(), StudyPaths(tmp_path_factory.mktemp("tiny"))
    run_data(study, paths)
    run_experts(study, paths)
    return study, paths


@pytest.fixture
def own_copy(trained, tmp_path):
    """The tiny study in a folder that the test may change."""
    import shutil

    from mergelaw.paths import StudyPaths

    study, paths = trained
    shutil.copytree(paths.root, tmp_path / "study")
    return study, StudyPaths(tmp_path / "study")


@pytest.fixture(scope="session")
def tokenizer():
    """A study tokenizer, trained on a few problems."""
    import random

    from mergelaw.data.domains import generate
    from mergelaw.data.tokenizer import train_tokenizer

    problems = generate("algebra", random.Random("tokenizer"), 50)
    return train_tokenizer((text for p in problems for text in (p.prompt, p.response)), 400)
