"""Merged checkpoints on disk: the same bits however they are made, complete or not there."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings

import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mergelaw.checkpoints.store import TensorStore
from mergelaw.config.methods import METHODS
from mergelaw.config.recipe import parse_recipe
from mergelaw.errors import CheckpointError
from mergelaw.merging import pool
from mergelaw.merging.checkpoint import Streaming, merge_checkpoints
from mergelaw.merging.digests import weights_digest
from mergelaw.merging.methods import recipe
from mergelaw.merging.task_vectors import TaskVectors
from tests.helpers import edit_weights, save_weights, tiny_model
from tests.merging.in_memory import merge_into

POOL = ("algebra", "biology", "code")


def noisy(base, seed, size=0.05):
    torch.manual_seed(seed)
    return {name: t + size * torch.randn_like(t) for name, t in base.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    """A tiny Llama in bfloat16 with untied head, and three experts near it."""
    folder = tmp_path_factory.mktemp("models")
    model = tiny_model("Llama", vocab_size=len(tokenizer), tie_word_embeddings=False)
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for seed, name in enumerate(("base", *POOL)):
        model.load_state_dict(noisy(base, seed) if seed else base)
        model.to(torch.bfloat16).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        model.float()
    return folder


def recipe_of(folder, method, experts=POOL, **more):
    parameters = more.pop("parameters", {})
    return parse_recipe(
        {
            "base": str(folder / "base"),
            "experts": {name: str(folder / name) for name in experts},
            "method": method,
            "parameters": parameters,
            **more,
        }
    )


def merged(folder, out, method, experts=POOL, streaming=None, **more):
    given = recipe_of(folder, method, experts, **more)
    merge_checkpoints(given, out, streaming or Streaming(n_workers=1))
    return load_all(out)


def load_all(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def fitting(method):
    low, high = METHODS[method].k_range
    return POOL[: high or max(low, 3)]


@pytest.mark.parametrize("dtype", ["base", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_the_streamed_merge_has_the_bits_of_the_one_in_memory(
    models, tmp_path, method, dtype, monkeypatch
):
    monkeypatch.setattr(pool, "SPAN", 1500)
    monkeypatch.setattr(pool, "BLOCK", 700)
    experts = fitting(method)
    parameters = {"density": 0.4} if method in {"ties", "sce", "della"} else {}
    given = recipe_of(models, method, experts, dtype=dtype, parameters=parameters, seed=3)
    merge_checkpoints(given, tmp_path / "out", Streaming(n_workers=2))
    vectors = TaskVectors.load(models / "base", {name: models / name for name in experts})
    steps = recipe(given.method, "3/0")
    flat = torch.empty_like(
        vectors.base, dtype=torch.float32 if dtype == "float32" else torch.bfloat16
    )
    merge_into(flat, vectors, experts, steps, torch.float32)
    found = load_all(tmp_path / "out")
    assert found.keys() == {segment.name for segment in vectors.segments}
    for segment in vectors.segments:
        assert torch.equal(found[segment.name].flatten(), flat[segment.span]), segment.name
    assert not torch.equal(flat.float(), vectors.base), "something was merged"


@pytest.mark.parametrize("method", ["average", "ties", "dare", "della", "model_stock", "sce"])
def test_workers_files_and_ways_of_reading_change_no_bit(models, tmp_path, method, monkeypatch):
    monkeypatch.setattr(pool, "SPAN", 1500)
    monkeypatch.setattr(pool, "BLOCK", 700)
    parameters = {"density": 0.3} if method in {"ties", "sce"} else {}
    ways = {
        "plain": Streaming(n_workers=1),
        "workers": Streaming(n_workers=3),
        "mmap": Streaming("mmap", n_workers=1),
        "sharded": Streaming(n_workers=2, shard_bytes=9000),
        "statistics": Streaming(n_workers=1, statistics=True),
    }
    results = [
        merged(models, tmp_path / name, method, streaming=way, parameters=parameters)
        for name, way in ways.items()
    ]
    assert all(same(results[0], other) for other in results[1:])
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    whole = (tmp_path / "plain" / "model.safetensors").read_bytes()
    assert (tmp_path / "workers" / "model.safetensors").read_bytes() == whole


def test_sharded_inputs_are_as_good_as_single_files(models, tmp_path):
    from transformers import AutoModelForCausalLM

    for name in ("base", *POOL):
        model = AutoModelForCausalLM.from_pretrained(models / name)
        model.save_pretrained(tmp_path / name, max_shard_size="8KB")
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 2
    whole = merged(models, tmp_path / "one", "ties", parameters={"density": 0.5})
    assert same(whole, merged(tmp_path, tmp_path / "two", "ties", parameters={"density": 0.5}))


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("average", {}),
        ("task_arithmetic", {"scale": 1}),
        ("ties", {"density": 1}),
        ("dare", {"drop_rate": 0}),
        ("slerp", {"t": 1}),
        ("karcher", {}),
    ],
)
def test_one_expert_is_itself_to_the_last_bit(models, tmp_path, method, parameters):
    found = merged(models, tmp_path / "out", method, ["code"], parameters=parameters)
    assert same(found, load_all(models / "code"))


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare", "della", "breadcrumbs"])
def test_scale_0_is_the_base_to_the_last_bit(models, tmp_path, method):
    found = merged(models, tmp_path / "out", method, parameters={"scale": 0})
    assert same(found, load_all(models / "base"))


def test_average_is_the_mean_of_the_files_rounded_once(models, tmp_path):
    found = merged(models, tmp_path / "out", "average")
    experts = [load_all(models / name) for name in POOL]
    for name, tensor in found.items():
        mean = torch.stack([expert[name].double() for expert in experts]).mean(0)
        ulp = torch.finfo(torch.bfloat16).eps * mean.abs()
        assert ((tensor.double() - mean).abs() <= 0.5001 * ulp + 1e-9).all()


def test_transformers_loads_it_without_a_word(models, tmp_path, caplog, capfd):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged(models, tmp_path / "out", "ties", streaming=Streaming(n_workers=1, shard_bytes=9000))
    capfd.readouterr()
    logging.getLogger("transformers").propagate = True
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        model, told = AutoModelForCausalLM.from_pretrained(
            tmp_path / "out", output_loading_info=True
        )
        tokens = AutoTokenizer.from_pretrained(tmp_path / "out")("x + 1")["input_ids"]
    assert not caplog.records
    assert not any(told.values())
    assert model.dtype == torch.bfloat16
    assert model(torch.tensor([tokens])).logits.isfinite().all()


def test_what_lies_beside_the_weights(models, tmp_path):
    streaming = Streaming(n_workers=1, statistics=True)
    _, made = merge_checkpoints(recipe_of(models, "dare", seed=5), tmp_path / "out", streaming)
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert json.loads(metadata["mergelaw_inputs"]).keys() == {"base", *POOL}
    record = json.loads((tmp_path / "out" / "mergelaw.json").read_text())
    assert record == {key: value for key, value in made.items() if key != "notes"}
    assert record["recipe"]["seed"] == 5
    assert all(0.15 < rate < 0.25 for rate in record["drop_rates"].values())
    assert 0.005 < record["rounding_loss"] < 0.1
    assert str(tmp_path.parent) not in (tmp_path / "out" / "mergelaw.json").read_text()
    table = pl.read_parquet(tmp_path / "out" / "task_vectors.parquet")
    assert table.height == 3 * (1 + len(load_all(tmp_path / "out")))


def test_statistics_against_plain_numbers(models, tmp_path):
    streaming = Streaming(n_workers=2, statistics=True)
    parameters = {"density": 0.3, "scope": "tensor"}
    found = merged(models, tmp_path / "out", "ties", streaming=streaming, parameters=parameters)
    vectors = pl.read_parquet(tmp_path / "out" / "task_vectors.parquet")
    tensors = pl.read_parquet(tmp_path / "out" / "merged_tensors.parquet")
    base = load_all(models / "base")
    deltas = {
        name: {
            t: (w.double() - base[t].double()).flatten() for t, w in load_all(models / name).items()
        }
        for name in POOL
    }
    for tensor in ("lm_head.weight", "*"):
        chosen = list(base) if tensor == "*" else [tensor]
        flat = torch.stack([torch.cat([deltas[e][t] for t in chosen]) for e in POOL])
        rows = vectors.filter(tensor=tensor).sort("expert")
        norms = flat.norm(dim=1)
        assert rows["norm"].to_list() == pytest.approx(norms.tolist(), rel=1e-5)
        cosines = (flat @ flat.T / torch.outer(norms, norms)).flatten().tolist()
        assert rows["cosines"].explode().to_list() == pytest.approx(cosines, abs=1e-5)
        assert rows["density"].to_list() == pytest.approx([0.3] * 3, abs=0.01)
        change = torch.cat([(found[t].double() - base[t].double()).flatten() for t in chosen])
        row = tensors.filter(tensor=tensor).row(0, named=True)
        assert row["norm"] == pytest.approx(float(change.norm()), rel=0.02)  # but for rounding
        assert row["norm_over_mean"] == pytest.approx(
            float(change.norm() / flat.mean(0).norm()), rel=0.02
        )
        assert 0.5 < row["sign_agreement"] <= 1
    assert tensors.filter(tensor="*")["rounding_loss"].item() == pytest.approx(0.0033, rel=0.3)


def test_non_floating_tensors_are_the_base_s_and_must_agree(tmp_path):
    counter = torch.arange(5)
    for name, shift in (("base", 0.0), ("a", 1.0), ("b", 3.0)):
        save_weights(tmp_path / name, {"w": torch.ones(4) + shift, "steps": counter})
    found = merged(tmp_path, tmp_path / "out", "average", ["a", "b"])
    assert torch.equal(found["steps"], counter)
    assert found["w"].tolist() == [3.0] * 4
    edit_weights(tmp_path / "b", "steps", lambda t: t + 1)
    with pytest.raises(CheckpointError, match="expert 'b': steps holds integers that differ"):
        merged(tmp_path, tmp_path / "other", "average", ["a", "b"])


def test_a_stored_copy_of_a_tied_head_is_verified_and_left_out(tmp_path):
    def save(name, seed, head=None):
        model = tiny_model("Qwen2", seed=seed, tie_word_embeddings=True).bfloat16()
        model.save_pretrained(tmp_path / name)
        if head is not None:
            tensors = load_all(tmp_path / name)
            copy = tensors["model.embed_tokens.weight"] + head
            save_weights(tmp_path / name, tensors | {"lm_head.weight": copy})

    save("base", 0)
    save("a", 1, head=0)
    save("b", 2)
    found = merged(tmp_path, tmp_path / "out", "average", ["a", "b"])
    assert "lm_head.weight" not in found
    save("b", 2, head=1)
    with pytest.raises(CheckpointError, match=r"is to be a copy of model\.embed_tokens"):
        merged(tmp_path, tmp_path / "other", "average", ["a", "b"])
    assert not list(tmp_path.glob(".other*"))


@pytest.mark.parametrize("method", ["average", "ties", "dare", "della", "sce", "model_stock"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_entry_that_is_not_finite_is_named_with_its_file(tmp_path, models, method, bad):
    for name in ("base", *POOL):
        shutil.copytree(models / name, tmp_path / name)
    name = "model.layers.1.mlp.up_proj.weight"

    def spoil(tensor):
        tensor[3, 4] = bad
        return tensor

    edit_weights(tmp_path / "biology", name, spoil)
    parameters = {"density": 0.3} if method in {"ties", "sce"} else {}
    file = tmp_path / "biology" / "model.safetensors"
    with pytest.raises(CheckpointError) as caught:
        merged(tmp_path, tmp_path / "out", method, parameters=parameters)
    assert str(caught.value).startswith(f"{file}: {name} has a NaN or infinite entry")
    assert not (tmp_path / "out").exists()


def test_a_merge_that_does_not_fit_its_type_is_refused(tmp_path):
    for name, value in (("base", 1.0), ("a", 1e30)):
        save_weights(tmp_path / name, {"w": torch.full((4,), value)})
    with pytest.raises(CheckpointError, match=r"too large for torch\.float16; choose"):
        merged(tmp_path, tmp_path / "out", "average", ["a"], dtype="float16")
    assert not (tmp_path / "out").exists()


def test_a_file_cut_after_the_check_is_told(tmp_path, models, monkeypatch):
    from mergelaw.merging import checkpoint

    for name in ("base", *POOL):
        shutil.copytree(models / name, tmp_path / name)
    file = tmp_path / "code" / "model.safetensors"

    def cut(*args):
        os.truncate(file, file.stat().st_size - 3000)

    monkeypatch.setattr(checkpoint, "verify_copies", cut)
    with pytest.raises(CheckpointError, match=r"code/model.safetensors: truncated while reading"):
        merged(tmp_path, tmp_path / "out", "average")
    assert not (tmp_path / "out").exists()


def test_copies_of_the_same_weights_are_told(models, tmp_path):
    for name in ("base", "code"):
        shutil.copytree(models / name, tmp_path / name)
    shutil.copytree(models / "code", tmp_path / "again")
    given = recipe_of(tmp_path, "average", ["again", "code"])
    _, made = merge_checkpoints(given, tmp_path / "out", Streaming(n_workers=1))
    assert any(note.startswith("again and code seem to hold the same") for note in made["notes"])


def test_an_output_that_exists_is_never_touched(models, tmp_path):
    merged(models, tmp_path / "out", "average")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(CheckpointError, match="exists"):
        merged(models, tmp_path / "out", "ties")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_work_on_inputs_that_changed_begins_anew(large, tmp_path):
    """Even where no sample of the digest tells the new file from the old one."""
    for name in ("base", "a", "b"):
        shutil.copytree(large / name, tmp_path / name)
    given, out = recipe_of(tmp_path, "average", ["a", "b"]), tmp_path / "out"
    child = os.fork()
    if child == 0:
        silently(lambda: merge_checkpoints(given, out, Streaming(n_workers=1)))
    wait_for_records(tmp_path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    file = tmp_path / "a" / "model.safetensors"
    before = TaskVectors.load(tmp_path / "base", {"a": tmp_path / "a"}).deltas["a"]
    with file.open("r+b") as stream:  # one entry of the first tensor, behind its first bytes
        stream.seek(file.stat().st_size - 4 * 24_000_000 + 5000)
        stream.write(torch.tensor(77.0).numpy().tobytes())
    changed = TaskVectors.load(tmp_path / "base", {"a": tmp_path / "a"}).deltas["a"] != before
    assert int(changed.sum()) == 1
    merge_checkpoints(given, out, Streaming(n_workers=1))
    merge_checkpoints(given, tmp_path / "fresh", Streaming(n_workers=1))
    assert same(load_all(out), load_all(tmp_path / "fresh"))


def test_digests_tell_biases_apart(tmp_path):
    weights = {"bias": torch.ones(50), "a.weight": torch.randn(900, 1000), "z": torch.ones(9)}
    folders = [
        save_weights(tmp_path / str(i), weights | {"bias": weights["bias"] + i}) for i in (0, 1)
    ]
    one, two = (weights_digest(TensorStore.open(folder)) for folder in folders)
    assert one != two
    assert one == weights_digest(TensorStore.open(folders[0]))


def silently(work):
    """Do something in a forked child, then end it."""
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
        work()
    os._exit(0)


def wait_for_records(folder):
    """Wait until a merge into `folder` has spans safely on the disk."""
    for _ in range(1000):
        journals = list(folder.glob(".out.*.part/journal"))
        if journals and journals[0].read_bytes().count(b"\n") > 2:
            return
        time.sleep(0.01)
    pytest.fail("no record")


@pytest.mark.parametrize("method", ["ties", "sce", "dare_ties", "breadcrumbs", "model_stock"])
def test_tensors_of_no_entry_and_of_one(tmp_path, method):
    for seed, name in enumerate(("base", *POOL)):
        torch.manual_seed(seed)
        tensors = {"w": torch.randn(40, 30), "none": torch.zeros(0, 4), "one": torch.randn(())}
        save_weights(tmp_path / name, tensors)
    parameters = {"density": 0.5} if method in {"ties", "sce", "breadcrumbs"} else {}
    found = merged(tmp_path, tmp_path / "out", method, parameters=parameters)
    assert {name: tuple(t.shape) for name, t in found.items()} == {
        "w": (40, 30),
        "none": (0, 4),
        "one": (),
    }


def test_squares_beyond_float32_are_no_error(tmp_path):
    for name, value in (("base", 1.0), ("a", 1e25)):
        save_weights(tmp_path / name, {"w": torch.full((4,), value)})
    assert (
        merged(tmp_path, tmp_path / "out", "average", ["a"])["w"].tolist()
        == [pytest.approx(1e25)] * 4
    )


def test_memory_grows_neither_with_k_nor_with_the_tensors(tmp_path):
    """Peak memory of the merging process; a tensor of these models has 48 MB in float32."""
    torch.manual_seed(0)
    for name in ("base", *"abcdefgh"):
        save_weights(tmp_path / name, {"w": torch.randn(3000, 4000).bfloat16()})
        save_weights(tmp_path / "small" / name, {"w": torch.randn(30, 40).bfloat16()})

    def peak_mb(folder, experts, method):
        code = (
            "import resource, sys, mergelaw.tools as t; from pathlib import Path;"
            f"t.merge(out=Path({str(tmp_path / 'out')!r}), base={str(folder / 'base')!r},"
            f" expert={[str(folder / name) for name in experts]!r}, method={method!r}, workers=1);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        shutil.rmtree(tmp_path / "out")
        return float(done.stdout.split()[-1])

    for method, held in (("average", 0), ("dare_ties", 0), ("ties:density=0.2", 48 * 2)):
        few, many = (peak_mb(tmp_path, names, method) for names in ("ab", "abcdefgh"))
        assert abs(many - few) < 12, method
        assert many - peak_mb(tmp_path / "small", "abcdefgh", method) < 36 + held, method


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A base and two experts of 24 million entries: some tenths of a second of merging."""
    folder = tmp_path_factory.mktemp("large")
    torch.manual_seed(0)
    base = {f"layer.{i}": torch.randn(1000, 2000) for i in range(12)}
    save_weights(folder / "base", base)
    for seed, name in enumerate(("a", "b")):
        save_weights(folder / name, noisy(base, seed))
    return folder


def test_ten_kills_at_random_moments_leave_nothing_or_the_whole(large, tmp_path):
    """SIGKILL to the merging process; its workers end, and the next run goes on."""
    streaming = Streaming(n_workers=2, shard_bytes=30_000_000)
    given = recipe_of(large, "dare", ["a", "b"])
    start = time.monotonic()
    merge_checkpoints(given, tmp_path / "whole", streaming)
    seconds = time.monotonic() - start
    chance, out, resumed = random.Random(7), tmp_path / "out", 0
    for turn in range(10):
        child = os.fork()
        if child == 0:
            silently(lambda: merge_checkpoints(given, out, streaming))
        if turn == 0:
            wait_for_records(tmp_path)  # one at least is resumed
        else:
            time.sleep(chance.uniform(0.05, 1) * seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if out.exists():
            assert same_files(out, tmp_path / "whole")
        else:
            resumed += bool(list(tmp_path.glob(".out.*.part")))
            merge_checkpoints(given, out, streaming)
        assert same_files(out, tmp_path / "whole")
        assert not list(tmp_path.glob(".out*"))
        shutil.rmtree(out)
    assert resumed >= 1


def same_files(one, other):
    """Whether two folders hold the same bytes, but for the title in the card."""
    names = {file.name for file in one.iterdir()}
    assert names == {file.name for file in other.iterdir()}
    return all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names - {"README.md"}
    )
