"""Checkpoints on disk: single or sharded, whole or refused with every problem in words."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mergelaw.errors import CheckpointError
from mergelaw.merging.store import TensorStore, mismatches
from mergelaw.merging.task_vectors import TaskVectors
from tests.helpers import save_weights, tiny_model

WEIGHTS = {f"layer.{i}.weight": torch.arange(6.0).view(2, 3) + i for i in range(4)}
INDEX = "model.safetensors.index.json"


def sharded(folder, weight_map=None):
    """Write `WEIGHTS` as two shards and an index (the right one, where none is given)."""
    folder.mkdir()
    names = sorted(WEIGHTS)
    shards = {"a.safetensors": names[:1:-1], "b.safetensors": names[:2]}
    for file, inside in shards.items():
        save_file({name: WEIGHTS[name] for name in inside}, folder / file)
    right = {name: file for file, inside in shards.items() for name in inside}
    (folder / INDEX).write_text(
        json.dumps({"weight_map": right if weight_map is None else weight_map(right)})
    )
    return folder


def refusal(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        TensorStore.open(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "write", [lambda f: save_weights(f, WEIGHTS), sharded], ids=["single", "sharded"]
)
def test_tensors_come_back(tmp_path, write):
    store = TensorStore.open(write(tmp_path / "model"))
    assert store.shapes == dict.fromkeys(WEIGHTS, (2, 3))
    assert all(torch.equal(store.read(name), WEIGHTS[name]) for name in WEIGHTS)


def test_shards_in_any_order_are_one_checkpoint(tmp_path):
    single, shards = save_weights(tmp_path / "single", WEIGHTS), sharded(tmp_path / "sharded")
    vectors = TaskVectors.load(single, {"sharded": shards})
    assert not vectors.deltas["sharded"].any()
    assert torch.equal(TaskVectors.load(shards, {}).base, vectors.base)


def test_shards_of_transformers_give_the_same_task_vectors(tmp_path):
    model = tiny_model("Qwen2", tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "single")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    single = TaskVectors.load(tmp_path / "single", {"e": tmp_path / "sharded"})
    both = TaskVectors.load(tmp_path / "sharded", {"e": tmp_path / "single"})
    assert torch.equal(single.base, both.base)
    assert not single.deltas["e"].any()


def test_a_scalar_and_the_stored_type_are_kept(tmp_path):
    folder = save_weights(
        tmp_path / "m", {"s": torch.tensor(2.0), "h": torch.ones(2, dtype=torch.bfloat16)}
    )
    store = TensorStore.open(folder)
    assert store.shapes == {"s": (), "h": (2,)}
    assert store.read("h").dtype == torch.bfloat16
    assert TaskVectors.load(folder, {}).base.tolist() == [1, 1, 2]


def test_what_is_no_checkpoint_is_refused(tmp_path):
    assert refusal(tmp_path / "nowhere").endswith("no such checkpoint folder")
    (tmp_path / "pytorch_model.bin").touch()
    assert "holds neither model.safetensors nor model.safetensors.index.json" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = save_weights(tmp_path, WEIGHTS) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: cannot be read (" in refusal(tmp_path)


def test_an_index_that_names_a_missing_file_is_refused(tmp_path):
    folder = sharded(tmp_path / "m")
    (folder / "b.safetensors").unlink()
    assert f"{folder / 'b.safetensors'}: cannot be read (" in refusal(folder)


def test_an_index_that_names_a_tensor_too_many_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: right | {"ghost": "a.safetensors"})
    assert refusal(folder).endswith("does not agree with its files on ghost")


def test_a_file_with_a_tensor_beyond_the_index_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: {n: f for n, f in right.items() if "1" not in n})
    assert refusal(folder).endswith("does not agree with its files on layer.1.weight")


def test_an_index_that_names_the_wrong_file_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: right | {"layer.0.weight": "a.safetensors"})
    assert refusal(folder).endswith("does not agree with its files on layer.0.weight")


@pytest.mark.parametrize("content", ["{", "{}", '{"map": {}}'])
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / INDEX).write_text(content)
    assert "is not a safetensors index" in refusal(tmp_path)


def store(folder, shapes) -> TensorStore:
    return TensorStore.open(
        save_weights(folder, {name: torch.zeros(shape) for name, shape in shapes.items()})
    )


def test_every_mismatch_is_listed(tmp_path):
    base = store(tmp_path / "base", {"a": (2,), "b": (2, 3), "c": (1,), "d": (4,)})
    expert = store(tmp_path / "expert", {"b": (3, 2), "d": (5,), "x": (1,)})
    assert mismatches(base, expert, "algebra") == [
        "expert 'algebra' lacks 2 tensors: a, c",
        "expert 'algebra' has, beyond the base, 1 tensor: x",
        "expert 'algebra': b has shape [3, 2], the base [2, 3]",
        "expert 'algebra': d has shape [5], the base [4]",
    ]
    assert mismatches(base, base, "same") == []


def test_a_long_list_of_names_is_cut_with_its_count(tmp_path):
    base = store(tmp_path / "base", {f"t{i}": (1,) for i in range(8)})
    expert = store(tmp_path / "expert", {"t0": (1,)})
    assert mismatches(base, expert, "e") == [
        "expert 'e' lacks 7 tensors: t1, t2, t3, t4, t5, and 2 more"
    ]
