"""Task vectors: expert minus base by name, in float32; all that does not match is told at once."""

import pytest
import torch

from mergelaw.errors import CheckpointError
from mergelaw.merging.task_vectors import TaskVectors
from tests.helpers import save_weights

BASE = {"b": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a": torch.tensor([10.0, 20.0, 30.0])}


def pool(folder, **experts):
    base = save_weights(folder / "base", BASE)
    return base, {name: save_weights(folder / name, tensors) for name, tensors in experts.items()}


def test_vectors_are_flat_in_the_order_of_tensor_names(tmp_path):
    expert = {"b": BASE["b"] + 1, "a": BASE["a"] - 2}
    vectors = TaskVectors.load(*pool(tmp_path, math=expert))
    assert vectors.base.tolist() == [10, 20, 30, 1, 2, 3, 4]
    assert vectors.deltas["math"].tolist() == [-2, -2, -2, 1, 1, 1, 1]
    assert [(s.name, s.span, s.shape) for s in vectors.segments] == [
        ("a", slice(0, 3), (3,)),
        ("b", slice(3, 7), (2, 2)),
    ]


def test_bfloat16_checkpoints_are_subtracted_in_float32(tmp_path):
    base = save_weights(tmp_path / "base", {"a": torch.tensor([1.0], dtype=torch.bfloat16)})
    near = torch.tensor([1.0078125], dtype=torch.bfloat16)  # the next number
    half = torch.tensor([2.0**-12], dtype=torch.bfloat16)
    experts = {
        "near": save_weights(tmp_path / "n", {"a": near}),
        "half": save_weights(tmp_path / "h", {"a": half}),
    }
    vectors = TaskVectors.load(base, experts)
    assert vectors.base.dtype == vectors.deltas["near"].dtype == torch.float32
    assert vectors.deltas["near"].tolist() == [2.0**-7]
    assert vectors.deltas["half"].tolist() == [2.0**-12 - 1]  # no number of bfloat16


def test_mismatches_of_all_experts_are_told_at_once(tmp_path):
    base, experts = pool(
        tmp_path, algebra={"a": BASE["a"]}, code=BASE, biology={"a": torch.ones(4), "b": BASE["b"]}
    )
    with pytest.raises(CheckpointError) as caught:
        TaskVectors.load(base, experts)
    lines = str(caught.value).splitlines()
    assert lines[0] == "these models cannot be merged: 2 problems"
    assert "expert 'algebra' lacks 1 tensor" in lines[1]
    assert "expert 'biology': a has shape [4], the base [3]" in lines[2]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("broken", ["base", "math"])
def test_a_number_that_is_not_finite_is_named_with_file_and_tensor(tmp_path, bad, broken):
    base, experts = pool(tmp_path, math=BASE)
    tensors = BASE | {"b": torch.tensor([[1.0, 2.0], [bad, 4.0]])}
    save_weights(tmp_path / broken, tensors)
    with pytest.raises(CheckpointError) as caught:
        TaskVectors.load(base, experts)
    file = tmp_path / broken / "model.safetensors"
    assert str(caught.value) == (
        f"{file}: b has a NaN or infinite entry; train or download it again"
    )
