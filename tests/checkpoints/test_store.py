"""Checkpoints on disk: single or sharded, whole or refused with every problem in words."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mergelaw.checkpoints.store import TensorStore
from mergelaw.errors import CheckpointError
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


@pytest.mark.parametrize(
    "write", [lambda f: save_weights(f, WEIGHTS), sharded], ids=["single", "sharded"]
)
def test_tensors_come_back(tmp_path, write):
    store = TensorStore.open(write(tmp_path / "model"))
    assert store.shapes == dict.fromkeys(WEIGHTS, (2, 3))
    assert all(torch.equal(store.read(name), WEIGHTS[name]) for name in WEIGHTS)


def test_shards_of_transformers_hold_the_tensors_of_one_file(tmp_path):
    model = tiny_model("Qwen2", tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "single")
    model.save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    single, shards = TensorStore.open(tmp_path / "single"), TensorStore.open(tmp_path / "sharded")
    assert len({entry.path for entry in shards.entries.values()}) > 2
    assert shards.shapes == single.shapes
    assert all(torch.equal(shards.read(name), single.read(name)) for name in single.shapes)


def test_a_scalar_and_the_stored_type_are_kept(tmp_path):
    tensors = {"s": torch.tensor(2.0), "h": torch.ones(2, dtype=torch.bfloat16)}
    store = TensorStore.open(save_weights(tmp_path / "m", tensors))
    assert store.shapes == {"s": (), "h": (2,)}
    assert {name: entry.dtype for name, entry in store.entries.items()} == {"s": "F32", "h": "BF16"}
    assert store.read("h").dtype == torch.bfloat16
    assert store.read("s").tolist() == 2


def refusal(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        TensorStore.open(folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def problems(folder) -> list[str]:
    headline, *lines = refusal(folder).splitlines()
    count = f"{len(lines)} problem{'s'[: len(lines) != 1]}"
    assert headline == f"{folder / INDEX}: does not agree with its files: {count}"
    return [line.removeprefix("  - ") for line in lines]


def test_shards_may_be_links_and_unnamed_files_are_left_alone(tmp_path):
    blobs, snapshot = sharded(tmp_path / "blobs"), tmp_path / "snapshot"
    snapshot.mkdir()
    for number, file in enumerate(("a.safetensors", "b.safetensors", INDEX)):
        (blobs / file).rename(blobs / str(number))
        (snapshot / file).symlink_to(f"../blobs/{number}")
    (snapshot / "consolidated.safetensors").write_bytes(b"no tensors at all")
    store = TensorStore.open(snapshot)
    assert store.entries["layer.0.weight"].path == snapshot / "b.safetensors"
    assert torch.equal(store.read("layer.3.weight"), WEIGHTS["layer.3.weight"])


def test_what_is_no_checkpoint_is_refused(tmp_path):
    assert refusal(tmp_path / "nowhere").endswith(": no such checkpoint folder")
    assert refusal(tmp_path).endswith(f": holds neither model.safetensors nor {INDEX}")
    save_weights(tmp_path / "m", WEIGHTS)
    assert refusal(tmp_path / "m" / "model.safetensors").endswith(
        ": is a file; give the folder that it lies in"
    )
    assert refusal(save_weights(tmp_path / "none", {})).endswith(": holds no tensor")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(tmp_path, file):
    (tmp_path / file).touch()
    message = refusal(tmp_path)
    assert "holds pickled weights (pytorch_model.bin), which are not read" in message
    assert "transformers' from_pretrained and then save_pretrained" in message


def test_an_adapter_is_no_whole_model(tmp_path):
    (tmp_path / "adapter_config.json").touch()
    assert "is an adapter, not a whole model" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = save_weights(tmp_path, WEIGHTS) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(tmp_path).startswith(f"{path}: is ")


def test_an_index_that_names_a_tensor_too_many_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: right | {"ghost": "a.safetensors"})
    assert problems(folder) == [
        "shard a.safetensors lacks 1 tensor: ghost, which the index puts there"
    ]


def test_a_file_with_a_tensor_beyond_the_index_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: {n: f for n, f in right.items() if "1" not in n})
    assert problems(folder) == [
        "shard b.safetensors holds 1 tensor: layer.1.weight, which the index does not put there"
    ]


def test_an_index_that_names_the_wrong_file_is_refused(tmp_path):
    folder = sharded(tmp_path / "m", lambda right: right | {"layer.0.weight": "a.safetensors"})
    assert problems(folder) == [
        "shard a.safetensors lacks 1 tensor: layer.0.weight, which the index puts there",
        "shard b.safetensors holds 1 tensor: layer.0.weight, which the index does not put there",
    ]


def test_every_shard_is_looked_at(tmp_path):
    wrong = {"layer.1.weight": "c.safetensors", "ghost": "a.safetensors", "g": "gone.safetensors"}
    folder = sharded(tmp_path / "m", lambda right: right | wrong)
    (folder / "c.safetensors").write_bytes(b"short")
    assert problems(folder) == [
        f"{folder / 'c.safetensors'}: is no safetensors file: it has 5 bytes",
        "shard gone.safetensors does not exist; it should hold 1 tensor: g",
        "shard a.safetensors lacks 1 tensor: ghost, which the index puts there",
        "shard b.safetensors holds 1 tensor: layer.1.weight, which the index does not put there",
    ]


def test_a_shard_whose_link_leads_nowhere_does_not_exist(tmp_path):
    folder = sharded(tmp_path / "m")
    (folder / "b.safetensors").unlink()
    (folder / "b.safetensors").symlink_to("../blobs/gone")
    assert problems(folder) == [
        "shard b.safetensors does not exist; it should hold 2 tensors: "
        "layer.0.weight, layer.1.weight"
    ]


def test_a_cut_shard_is_one_problem_in_one_line(tmp_path):
    folder = sharded(tmp_path / "m")
    path = folder / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    (problem,) = problems(folder)
    assert problem.startswith(f"{path}: is broken or truncated: 1 problem")
    assert "3 bytes of data are missing at the end, in 1 tensor, " in problem


@pytest.mark.parametrize("content", ["{}", "[]", '{"weight_map": {}}', '{"weight_map": ["a"]}'])
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / INDEX).write_text(content)
    assert refusal(tmp_path).endswith("is not a safetensors index: it has no weight_map")


def test_an_index_that_is_no_json_is_refused(tmp_path):
    (tmp_path / INDEX).write_text("{")
    assert f"{tmp_path / INDEX}: is no JSON (" in refusal(tmp_path)


@pytest.mark.parametrize(
    "file", ["../m2/model.safetensors", "/etc/passwd", "x/../../y", "", ".", 7, None, "a\0b"]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(tmp_path, file):
    folder = sharded(tmp_path / "m", lambda right: right | {"layer.0.weight": file})
    save_weights(tmp_path / "m2", WEIGHTS)
    assert refusal(folder).splitlines() == [
        f"{folder / INDEX}: is not a safe index: 1 problem",
        f"  - layer.0.weight is put in {file!r}, which is no file of this folder",
    ]


def test_a_single_file_beside_an_index_of_others_is_refused(tmp_path):
    folder = save_weights(sharded(tmp_path / "m"), WEIGHTS)
    assert "it is not known which of the two is meant" in refusal(folder)


def test_a_single_file_may_have_an_index(tmp_path):
    folder = save_weights(tmp_path / "m", WEIGHTS)
    weight_map = dict.fromkeys(WEIGHTS, "model.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    assert TensorStore.open(folder).shapes.keys() == WEIGHTS.keys()
