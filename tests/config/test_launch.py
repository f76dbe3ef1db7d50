"""What an `accelerate launch` file says of a training, and mistakes in words."""

import pytest
import yaml

from mergelaw.config.launch import read_launch_file
from mergelaw.errors import ConfigError

ZERO3 = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "DEEPSPEED",
    "num_machines": 1,
    "num_processes": 8,
    "deepspeed_config": {
        "zero_stage": 3,
        "offload_optimizer_device": "cpu",
        "offload_param_device": "none",
        "zero3_init_flag": True,
    },
}
"""As `accelerate config` writes it, other keys among them."""


def launch(tmp_path, **keys):
    path = tmp_path / "launch.yaml"
    path.write_text(yaml.safe_dump(keys))
    return read_launch_file(path)


def problems(tmp_path, **keys):
    with pytest.raises(ConfigError) as error:
        launch(tmp_path, **keys)
    headline, *found = str(error.value).split("\n  - ")
    assert headline == f"{tmp_path / 'launch.yaml'}: {len(found)} problem{'s'[: len(found) != 1]}"
    return found


def test_deepspeed_shares_and_offloads(tmp_path):
    found = launch(tmp_path, **ZERO3)
    assert (found.num_processes, found.is_plain, found.on_processors) == (8, False, False)
    assert (found.offload_optimizer, found.offload_param) == (True, False)


def test_parameters_can_be_offloaded_too(tmp_path):
    deepspeed = {"zero_stage": 3, "offload_param_device": "cpu"}
    found = launch(tmp_path, num_processes=2, use_cpu=True, deepspeed_config=deepspeed)
    assert (found.offload_optimizer, found.offload_param, found.on_processors) == (
        False,
        True,
        True,
    )


def test_a_path_is_relative_to_the_current_folder_or_to_the_home(tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(ZERO3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_launch_file("own.yaml") == read_launch_file("~/own.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_launch_file(tmp_path / "none.yaml")


@pytest.mark.parametrize(("text", "words"), [("a: [", "not valid YAML"), ("- a", "a mapping")])
def test_other_files_are_told(tmp_path, text, words):
    (tmp_path / "launch.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_launch_file(tmp_path / "launch.yaml")


def test_all_mistakes_are_told_at_once(tmp_path):
    deepspeed = {"zero_stage": 4, "offload_optimizer_device": "nvme"}
    found = problems(
        tmp_path,
        num_processes=0,
        num_machines=2,
        distributed_type="FSDP",
        deepspeed_config=deepspeed,
    )
    assert [line.split(" = ")[0] for line in found] == [
        "num_processes",
        "distributed_type",
        "deepspeed_config.zero_stage",
        "deepspeed_config.offload_optimizer_device",
        "num_machines",
    ]
    assert "a training runs on one node; give 1" in found[-1]


def test_what_is_missing_is_told(tmp_path):
    found = problems(tmp_path, distributed_type="DEEPSPEED")
    assert found == [
        "num_processes: is missing (Processes, each with one device.)",
        "deepspeed_config: is missing; launched processes train under DeepSpeed ZeRO-3 "
        "(zero_stage: 3). One plain process needs no launch file",
    ]
    assert problems(tmp_path, num_processes=2, deepspeed_config={}) == [
        "deepspeed_config.zero_stage: is missing"
    ]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_other_stages_are_refused_with_the_one_that_is_allowed(tmp_path, stage):
    deepspeed = {"zero_stage": stage, "offload_optimizer_device": "cpu"}
    (found,) = problems(tmp_path, num_processes=2, deepspeed_config=deepspeed)
    assert found.startswith(f"deepspeed_config.zero_stage = {stage}")
    assert "3" in found.split("=")[1]
