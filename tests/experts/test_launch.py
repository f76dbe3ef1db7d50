"""Launching: what is refused before any process starts, and how ends of processes are told."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mergelaw.errors import ConfigError
from mergelaw.experts import launch as module
from mergelaw.experts import stage
from tests.experts.making import drawn, run_of, settings_of

ZERO3 = Path(__file__).parents[2] / "workflow" / "launch" / "zero3.yaml"


def test_fewer_gpus_than_the_launch_file_asks_for_are_refused(own_copy, monkeypatch):
    study, paths = own_copy
    size = study.sizes[0].model_copy(update={"launch": str(ZERO3)})
    study = study.model_copy(update={"sizes": (size, *study.sizes[1:])})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = (paths.trained("small", "code") / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError) as caught:
        stage.train_expert(study, paths, "small", "code")
    words = str(caught.value)
    assert "num_processes = 8: each process needs a GPU, and this job sees 2" in words
    assert "use_cpu: true" in words
    assert (paths.trained("small", "code") / "model.safetensors").read_bytes() == before


def test_a_launch_file_that_is_missing_is_refused(tmp_path):
    run = run_of(tmp_path, drawn(5), settings_of())
    with pytest.raises(ConfigError, match=r"no\.yaml"):
        module.execute(run, str(tmp_path / "no.yaml"))


def test_a_base_is_trained_in_this_process_whatever_the_launch_file(own_copy, monkeypatch):
    study, paths = own_copy
    size = study.sizes[0].model_copy(update={"launch": str(ZERO3)})
    told = []
    monkeypatch.setattr(stage, "execute", lambda run, launch: told.append(launch) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.train_base(study.model_copy(update={"sizes": (size,)}), paths, "small")
    assert told == [None]


@pytest.mark.parametrize(
    ("status", "words"), [(-9, "was ended by SIGKILL"), (3, "failed with status 3")]
)
def test_processes_that_fail_are_named_with_their_end(tmp_path, status, words):
    run = run_of(tmp_path, drawn(5), settings_of())
    failed = SimpleNamespace(failures={1: SimpleNamespace(exitcode=status)})
    assert f"process 1 {words}" in module._words(failed, Path(run.progress), run)
    (Path(run.progress) / "error.txt").write_text("the loss of step 3 is nan")
    assert module._words(failed, Path(run.progress), run) == "the loss of step 3 is nan"
