"""Planned files: the library's own bytes, filled greedily, the same whatever the order."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mergelaw.checkpoints.headers import read_header
from mergelaw.checkpoints.reading import TORCH_DTYPE
from mergelaw.checkpoints.shards import LAYOUT, OutTensor, ShardFile, plan_shards

NAMES = {dtype: name for name, dtype in TORCH_DTYPE.items()}


def of(tensors: dict[str, torch.Tensor]) -> list[OutTensor]:
    return [OutTensor(name, NAMES[t.dtype], tuple(t.shape)) for name, t in tensors.items()]


def fill(folder: Path, file: ShardFile, tensors: dict[str, torch.Tensor]) -> Path:
    """Write a planned file at once."""
    content = bytearray(file.n_bytes)
    content[: len(file.header)] = file.header
    for tensor, offset in file.offsets.items():
        data = tensors[tensor.name].reshape(-1).view(torch.uint8).numpy().tobytes()
        content[offset : offset + len(data)] = data
    (folder / file.name).write_bytes(content)
    return folder / file.name


def of_every_type() -> dict[str, torch.Tensor]:
    tensors = {f"t.{name}": torch.ones(3, 5).to(TORCH_DTYPE[name]) for name in LAYOUT}
    tensors['odd.\u00e4"\\\n'] = torch.arange(7, dtype=torch.bfloat16)
    tensors["none"] = torch.empty(0, 4)
    tensors["scalar"] = torch.tensor(2.5, dtype=torch.float16)
    return tensors


def test_a_file_is_the_one_that_the_library_writes(tmp_path):
    tensors = of_every_type()
    save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    (file,) = plan_shards(of(tensors), 10**6, {}).files
    assert fill(tmp_path, file, tensors).read_bytes() == (tmp_path / "theirs").read_bytes()


def test_every_tensor_is_aligned():
    (file,) = plan_shards(of(of_every_type()), 10**6, {"recipe": "odd length"}).files
    assert [t.name for t, at in file.offsets.items() if at % t.item_bytes] == []
    assert len(file.header) % 8 == 0


def test_metadata_is_in_every_header(tmp_path):
    tensors = {name: torch.zeros(4) for name in "abc"}
    metadata = {"recipe": "1f", "inputs": '{"base": "2e"}'}
    for file in plan_shards(of(tensors), 16, metadata).files:
        path = fill(tmp_path, file, tensors)
        assert read_header(path).metadata == {"format": "pt"} | metadata
        with safe_open(path, "pt") as opened:
            assert opened.metadata() == {"format": "pt"} | metadata


def shards(sizes: dict[str, int], shard_bytes: int) -> list[list[str]]:
    """Return the names in each file for float32 tensors of these numbers of entries."""
    plan = plan_shards([OutTensor(n, "F32", (size,)) for n, size in sizes.items()], shard_bytes, {})
    return [sorted(tensor.name for tensor in file.offsets) for file in plan.files]


@pytest.mark.parametrize(
    ("sizes", "shard_bytes", "expected"),
    [
        ({"a": 2, "b": 2, "c": 2}, 16, [["a", "b"], ["c"]]),
        ({"a": 2, "b": 2, "c": 2}, 15, [["a"], ["b"], ["c"]]),
        ({"a": 1, "b": 9, "c": 1, "d": 1}, 16, [["a"], ["b"], ["c", "d"]]),
        ({"a": 9, "b": 1}, 16, [["a"], ["b"]]),
        ({"b": 2, "a": 2, "c": 2}, 24, [["a", "b", "c"]]),
        ({"a": 4, "b": 0}, 16, [["a", "b"]]),
    ],
)
def test_files_are_filled_in_order_of_names(sizes, shard_bytes, expected):
    assert shards(sizes, shard_bytes) == expected


def test_names_and_index():
    tensors = [OutTensor(name, "BF16", (3, 2)) for name in "abc"]
    plan = plan_shards(tensors, 24, {})
    assert [file.name for file in plan.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert plan.index == {
        "metadata": {"total_parameters": 18, "total_size": 36},
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00001-of-00002.safetensors",
            "c": "model-00002-of-00002.safetensors",
        },
    }
    assert plan.n_bytes == 36 + sum(len(file.header) for file in plan.files)
    single = plan_shards(tensors, 36, {})
    assert [file.name for file in single.files] == ["model.safetensors"]
    assert single.index is None


def test_the_order_given_has_no_influence():
    tensors = of(of_every_type())
    plans = []
    for seed in range(3):
        random.Random(seed).shuffle(tensors)
        plans.append(plan_shards(tensors, 60, {"z": "1", "a": "2"}))
    assert plans[0] == plans[1] == plans[2]
    assert json.dumps(plans[0].index) == json.dumps(plans[1].index)
    backwards = plan_shards(tensors, 60, {"a": "2", "z": "1"})
    assert backwards == plans[0]


@pytest.mark.parametrize(
    ("tensors", "shard_bytes", "words"),
    [
        ([], 10, "nothing to plan"),
        ([OutTensor("a", "F32", (1,))], 0, "shards of 0 bytes"),
        ([OutTensor("a", "F32", (1,)), OutTensor("a", "F32", (2,))], 10, "twice"),
        ([OutTensor("__metadata__", "F32", (1,))], 10, "__metadata__"),
        ([OutTensor("a", "F4", (2,))], 10, "F4"),
    ],
)
def test_impossible_plans_are_refused(tensors, shard_bytes, words):
    with pytest.raises(ValueError, match=words):
        plan_shards(tensors, shard_bytes, {})
