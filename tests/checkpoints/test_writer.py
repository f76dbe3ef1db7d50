"""A checkpoint written from ranges: the same bytes always, complete or refused."""

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mergelaw.checkpoints import journal, shard_files
from mergelaw.errors import CheckpointError
from tests.checkpoints.writing import (
    SHARDED,
    WHOLE,
    content,
    equal,
    example,
    load,
    put,
    spans,
    write,
    writer,
)
from tests.helpers import tiny_model


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(journal, "SYNC_SECONDS", 0.01)


def test_it_is_the_file_of_the_library(tmp_path):
    tensors = example()
    out = write(tmp_path / "out", tensors)
    save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    assert content(out) == {"model.safetensors": (tmp_path / "theirs").read_bytes()}
    assert set(os.listdir(tmp_path)) == {"theirs", "out"}


@pytest.mark.parametrize("shard_bytes", [WHOLE, SHARDED])
def test_order_threads_and_cuts_have_no_influence(tmp_path, shard_bytes):
    tensors = example()
    first = content(write(tmp_path / "first", tensors, shard_bytes, seed=1, threads=1))
    second = content(write(tmp_path / "second", tensors, shard_bytes, seed=2, threads=4, length=3))
    assert first == second
    assert len(first) == (1 if shard_bytes == WHOLE else 5)


def test_shards_hold_what_the_single_file_holds(tmp_path):
    tensors = example()
    out = write(tmp_path / "out", tensors, SHARDED, metadata={"recipe": "12"})
    assert equal(load(out), tensors)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == tensors.keys()
    for name, file in index["weight_map"].items():
        with safe_open(out / file, "pt") as opened:
            assert name in opened.keys()  # noqa: SIM118 - safe_open is no mapping
            assert opened.metadata() == {"format": "pt", "recipe": "12"}


@pytest.mark.parametrize("max_bytes", [WHOLE, 20_000])
def test_transformers_loads_it_without_a_word(tmp_path, max_bytes, caplog, capfd):
    from transformers import AutoModelForCausalLM

    model = tiny_model("Llama", tie_word_embeddings=True, dtype=torch.bfloat16).to(torch.bfloat16)
    weights = {k: t for k, t in model.state_dict().items() if k != "lm_head.weight"}
    with writer(tmp_path / "out", weights, max_bytes) as opened:
        for span in spans(weights, 1000):
            put(opened, weights, span)
        opened.commit(model.config.save_pretrained)
    capfd.readouterr()
    loaded, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(report.values()), report
    assert equal(dict(loaded.state_dict()), dict(model.state_dict()))
    assert not caplog.records
    assert "warn" not in "".join(capfd.readouterr()).lower()


def test_bytes_may_be_given_in_place_of_tensors(tmp_path):
    tensors = {"a": torch.arange(10, dtype=torch.int32)}
    with writer(tmp_path / "out", tensors) as opened:
        opened.write("a", 0, memoryview(tensors["a"][:4].numpy()))
        opened.write("a", 4, memoryview(tensors["a"][4:].numpy().tobytes()))
        opened.record(("a", 0, 10), {})
        opened.commit()
    assert equal(load(tmp_path / "out"), tensors)


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:5], at))
    assert equal(load(write(tmp_path / "out", example())), example())


@pytest.mark.parametrize(
    ("start", "data"),
    [
        (0, torch.zeros(4)),
        (8, torch.zeros(3).bfloat16()),
        (-1, torch.zeros(1).bfloat16()),
        (0, torch.zeros(8).bfloat16()[::2]),
        (0, memoryview(b"123")),
    ],
    ids=["type", "end", "begin", "strides", "half an entry"],
)
def test_what_does_not_fit_the_plan_is_refused(tmp_path, start, data):
    with writer(tmp_path / "out", {"a": torch.zeros(10).bfloat16()}) as opened:
        with pytest.raises(ValueError, match="a: "):
            opened.write("a", start, data)
        with pytest.raises(ValueError, match="has no entries 4 to 11"):
            opened.record(("a", 4, 11), {})
        with pytest.raises(KeyError):
            opened.write("b", 0, torch.zeros(1).bfloat16())


def test_no_file_is_closed_under_a_write_and_none_is_written_after(tmp_path, monkeypatch):
    tensors = example()
    pwrite, begun, go_on = os.pwrite, threading.Event(), threading.Event()

    def slow(descriptor, data, at):
        begun.set()
        assert go_on.wait(10)
        os.fstat(descriptor)  # fails on a closed one
        return pwrite(descriptor, data, at)

    with ThreadPoolExecutor(1) as pool, writer(tmp_path / "out", tensors) as opened:
        put(opened, tensors, ("norm", 0, 7))
        monkeypatch.setattr(os, "pwrite", slow)
        late = pool.submit(opened.write, "norm", 7, tensors["norm"][7:])
        assert begun.wait(10)
        threading.Timer(0.05, go_on.set).start()
    late.result()
    with pytest.raises(ValueError, match="closed"):
        opened.write("norm", 7, tensors["norm"][7:])
    with pytest.raises(ValueError, match="closed"):
        opened.record(("norm", 7, 13), {})


@pytest.mark.parametrize("identity", ["", "a.b", "../x"])
def test_an_identity_names_a_folder(tmp_path, identity):
    with pytest.raises(ValueError, match="identity"):
        writer(tmp_path / "out", example(), identity=identity)
    assert not os.listdir(tmp_path)


def test_an_incomplete_checkpoint_is_refused(tmp_path):
    tensors = example()
    todo = spans(tensors)
    with writer(tmp_path / "out", tensors) as opened:
        for span in todo:
            if span != ("norm", 7, 13):
                put(opened, tensors, span)
        with pytest.raises(CheckpointError) as caught:
            opened.commit()
        assert "1 of 6 tensors" in str(caught.value)
        assert "norm: entries 7 to 13 of 13 are not written" in str(caught.value)
        put(opened, tensors, ("norm", 6, 13))
        with pytest.raises(CheckpointError, match="norm: entries 6 to 7 of 13 are recorded twice"):
            opened.commit()
    assert not (tmp_path / "out").exists()


def test_files_are_added_and_permissions_follow_the_umask(tmp_path):
    former = os.umask(0o027)
    try:
        with writer(tmp_path / "deep" / "out", {"a": torch.zeros(2)}) as opened:
            put(opened, {"a": torch.zeros(2)}, ("a", 0, 2))

            def finish(part):
                (part / "templates").mkdir(mode=0o700)
                (part / "templates" / "chat").touch(mode=0o600)

            opened.commit(finish)
    finally:
        os.umask(former)
    out = tmp_path / "deep" / "out"
    assert {p.name for p in out.rglob("*")} == {"model.safetensors", "templates", "chat"}
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (out, *out.rglob("*"))}
    assert modes == {"out": 0o750, "templates": 0o750, "chat": 0o640, "model.safetensors": 0o640}
    assert os.listdir(out.parent) == ["out"]


def test_files_of_a_stopped_commit_do_not_stay(tmp_path):
    tensors = example()

    def stopped(part):
        (part / "old.json").touch()
        (part / "old").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "out", tensors) as opened:  # noqa: PT012
        for span in spans(tensors):
            put(opened, tensors, span)
        opened.commit(stopped)
    assert not (tmp_path / "out").exists()
    with writer(tmp_path / "out", tensors) as opened:
        assert set(opened.done) == set(spans(tensors))
        opened.commit(lambda part: (part / "new.json").touch())
    assert content(tmp_path / "out").keys() == {"model.safetensors", "new.json"}


def test_a_place_that_is_taken_meanwhile_is_left_alone(tmp_path):
    out, tensors = tmp_path / "out", example()
    with (  # noqa: PT012
        pytest.raises(CheckpointError, match="exists already"),
        writer(out, tensors) as opened,
    ):
        for span in spans(tensors):
            put(opened, tensors, span)
        opened.commit(lambda part: out.mkdir())
    assert not os.listdir(out)
    out.rmdir()
    assert equal(load(write(out, tensors)), tensors)


def test_data_are_synced_before_their_records_and_all_before_the_rename(tmp_path, monkeypatch):
    events = []

    def watch(module, call, kind):
        real = getattr(module, call)

        def watched(first, *rest):
            named = isinstance(first, int)
            path = Path(os.readlink(f"/proc/self/fd/{first}")) if named else Path(first)
            events.append((kind, path.name, rest))
            return real(first, *rest)

        monkeypatch.setattr(module, call, watched)

    watch(os, "pwrite", "write")
    watch(os, "write", "append")
    watch(os, "rename", "rename")
    watch(os, "unlink", "unlink")
    watch(os, "fsync", "sync")
    watch(journal, "sync_data", "sync")
    watch(shard_files, "sync_data", "sync")
    tensors = example()
    write(tmp_path / "out", tensors, SHARDED, threads=1)

    files = {file.name: load_file(file) for file in (tmp_path / "out").glob("*.safetensors")}
    holder = {name: file for file, inside in files.items() for name in inside}
    dirty, written, recorded = set(), {}, 0
    for kind, name, rest in events:
        if kind == "write" and name != ".out.lock":
            dirty.add(name)
        elif kind == "append" and name == "journal":
            for line in rest[0].splitlines():
                span = json.loads(line[9:])["span"]
                assert written.get(holder[span[0]], 0) > 0
                recorded += 1
        elif kind == "sync" and name in files:
            dirty.discard(name)
            written[name] = written.get(name, 0) + 1
        elif kind == "rename":
            assert not dirty
    assert recorded == len(spans(tensors))
    last = [(kind, name) for kind, name, _ in events]
    at = last.index(("rename", ".out.one.part"))
    assert last[at - 2 : at] == [("unlink", "journal"), ("sync", ".out.one.part")]
    assert last[at + 1 :] == [("sync", tmp_path.name), ("unlink", ".out.lock")]
    synced = {name for kind, name in last[:at] if kind == "sync"}
    assert content(tmp_path / "out").keys() <= synced
