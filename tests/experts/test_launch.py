"""Launching: what is refused before any process starts, and how ends of processes are told."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mergelaw.config.launch import read_launch_file
from mergelaw.errors import ConfigError, TrainingError
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


def processes_on(processors: bool):
    return read_launch_file(ZERO3).model_copy(update={"use_cpu": processors})


def test_a_missing_deepspeed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed.accelerator", None)
    with pytest.raises(TrainingError, match=r"pip install 'mergelaw\[train\]'"):
        module.build_operators(processes_on(True))


@pytest.mark.parametrize(
    ("processors", "built"), [(True, ["CPUAdam", "ShareMemComm"]), (False, ["CPUAdam"])]
)
def test_what_deepspeed_compiles_is_built_before_processes_start(
    monkeypatch, tmp_path, processors, built
):
    pytest.importorskip("deepspeed")
    import deepspeed.accelerator

    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    left = tmp_path / "cpu_adam" / "lock"  # of a build that was killed
    left.parent.mkdir()
    left.touch()
    asked = []

    class Builder:
        def load(self, verbose):
            if len(asked) == len(built):
                raise RuntimeError("no compiler")

    def create(name):
        asked.append(name)
        return Builder()

    accelerator = SimpleNamespace(create_op_builder=create)
    monkeypatch.setattr(deepspeed.accelerator, "get_accelerator", lambda: accelerator)
    with pytest.raises(TrainingError, match=rf"cannot build {built[-1]} \(no compiler\)"):
        module.build_operators(processes_on(processors))
    assert asked == [f"{name}Builder" for name in built]
    assert not left.exists()


def test_compiled_operators_are_those_of_this_python(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = []
    for prefix in ("/a", "/b"):
        monkeypatch.setattr(sys, "prefix", prefix)
        with module.environment(processes_on(True)):
            found.append(Path(os.environ["TORCH_EXTENSIONS_DIR"]))
    assert "TORCH_EXTENSIONS_DIR" not in os.environ
    assert found[0] != found[1]
    assert all(folder.is_relative_to(tmp_path / "mergelaw") for folder in found)
