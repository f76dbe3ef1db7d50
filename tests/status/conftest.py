"""A study half-way: data and experts there, some chunks done, one failed, one killed."""

import copy
import shutil
import signal
import time

import pytest

from mergelaw.jobs.record import n_scored
from tests.helpers import edit_weights, study_dict
from tests.status.studies import Folder

CONFIG = study_dict(("mask_seeds", list(range(60))))
"""The tiny study; DARE's chunks of 300 merges last some seconds."""


@pytest.fixture(scope="session")
def prepared(trained, tmp_path_factory):
    """The study with data and experts, and no record of any job; read only."""
    folder = Folder(tmp_path_factory.mktemp("status"), CONFIG)
    shutil.copytree(trained[1].root, folder.paths.root)
    folder.write_config()
    return folder


@pytest.fixture(scope="session")
def half(prepared, tmp_path_factory):
    """The study half-way; read only."""
    folder = Folder(tmp_path_factory.mktemp("half"), CONFIG)
    shutil.copytree(prepared.path, folder.path, dirs_exist_ok=True)
    assert folder.chunk_here("small", "average", 0, CUDA_VISIBLE_DEVICES="0,1") == 0
    assert folder.chunk_here("small", "average", 1) == 0
    killed = folder.chunk("small", "dare", 0, log="killed.log", CUDA_VISIBLE_DEVICES="0")
    progress = folder.paths.chunk_progress("small", "dare", 0)
    while n_scored(progress) < 5 and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    spoilt = folder.paths.trained("large", "code")
    whole = (spoilt / "model.safetensors").read_bytes()
    edit_weights(spoilt, "model.norm.weight", lambda tensor: tensor[:-1])
    assert folder.chunk_here("large", "ties", 0) == 1
    assert folder.chunk("large", "ties", 0, log="failed.log").wait() == 1
    (spoilt / "model.safetensors").write_bytes(whole)
    return folder


@pytest.fixture(scope="session")
def facts(half):
    """What its status tells."""
    return half.facts()


@pytest.fixture
def own_half(half, tmp_path):
    """The study half-way in a folder that the test may change."""
    shutil.copytree(half.path, tmp_path, dirs_exist_ok=True)
    return Folder(tmp_path, copy.deepcopy(CONFIG))
