"""Where a model is placed, and GPUs that were granted but are not seen."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mergelaw.config import read_study
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.inputs import Case, Machine, SizeModel, TextLength
from mergelaw.costs.model import CONTEXT_BYTES, DTYPE_BYTES, working_bytes
from mergelaw.costs.shapes import assumed_shape
from mergelaw.costs.sweep import SweepSize
from mergelaw.errors import CheckpointError
from mergelaw.models import devices
from mergelaw.models.devices import placement, sees_gpus
from tests.workflow.workspace import ROOT

GB = 10**9


def test_a_model_goes_to_the_emptiest_gpu_or_to_all_of_them():
    assert placement(GB, 0, []) is None
    assert placement(GB, 0, [5 * GB, 8 * GB]) == {"": 1}
    assert placement(9 * GB, GB, [6 * GB, 8 * GB]) == "auto"
    with pytest.raises(
        CheckpointError, match=r"take 20.0 GB, and a batch 1.0 GB .* 2 GPUs with 14.0 GB free"
    ):
        placement(20 * GB, GB, [6 * GB, 8 * GB])


def test_room_is_left_for_a_tenth_and_for_the_batch_to_the_byte():
    assert placement(90, 0, [100]) == {"": 0}
    assert placement(80, 10, [100]) == {"": 0}
    with pytest.raises(CheckpointError):
        placement(81, 10, [100])
    assert placement(81, 10, [100, 100]) == "auto"
    assert placement(158, 10, [100, 100, 5]) == "auto", "a GPU without room for a batch has 0"


@pytest.mark.parametrize("name", ["H100", "A100", "L40S", "RTX4090"])
def test_a_job_takes_the_gpus_that_it_asks_for_at_every_size(name):
    """On GPUs that have what their maker prints, with one context each."""
    study = read_study(ROOT / "config" / "qwen2.5.yaml")
    device = DEVICES[name]
    machine = Machine(device, 0.4, 2400, 256e9, 50e9, 2e9)
    text = TextLength(1, 1, 1, 1.0, prepared=True)
    for billions in range(1, 80):
        shape = assumed_shape(billions * GB)
        case = Case(study, machine, text, {"72b": SizeModel(shape, 2.0, "x")})
        asked = SweepSize(case, "72b").devices_per_job
        free = [(device.memory_bytes or 0) - CONTEXT_BYTES] * asked
        working = working_bytes(shape, study.evaluation.batch_tokens, study.dtype)
        n_bytes = shape.n_params * DTYPE_BYTES[study.dtype]
        assert placement(n_bytes, working, free) == ({"": 0} if asked == 1 else "auto")
        if asked > 1:
            with pytest.raises(CheckpointError):
                placement(n_bytes, working, free[1:])


def without_gpus(monkeypatch, cuda):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)


@pytest.mark.parametrize("granted", [{}, *({"CUDA_VISIBLE_DEVICES": v} for v in ("", "-1"))])
def test_no_gpus_granted_is_the_processor_for_any_torch(monkeypatch, capsys, granted):
    without_gpus(monkeypatch, "12.8")
    assert not sees_gpus(granted)
    assert capsys.readouterr().err == ""


def test_granted_gpus_that_a_torch_for_gpus_does_not_see_are_an_error(monkeypatch):
    without_gpus(monkeypatch, "12.8")
    with pytest.raises(CheckpointError, match=r"CUDA_VISIBLE_DEVICES=0,1 grants GPUs.*driver"):
        sees_gpus({"CUDA_VISIBLE_DEVICES": "0,1"})


@pytest.mark.skipif(
    bool(torch.version.cuda or torch.version.hip), reason="needs a torch without GPU code"
)
def test_a_torch_for_the_processor_says_once_that_granted_gpus_are_of_no_use():
    program = (
        "from mergelaw.models.devices import visible_devices\n"
        "print([visible_devices(1, 1) for _ in range(3)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[None, None, None]\n"
    assert done.stderr.count("note: CUDA_VISIBLE_DEVICES=0 grants GPUs, but torch") == 1


def test_free_memory_of_every_gpu_is_asked_for(monkeypatch):
    asked = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        mem_get_info=lambda index: ((4 * GB, 6 * GB)[index], 80 * GB),
    )
    monkeypatch.setattr(devices.torch, "cuda", asked)
    assert devices.visible_devices(5 * GB, 0) == {"": 1}
    assert devices.visible_devices(8 * GB, 0) == "auto"
