"""Data sets: local, or of the cache at the revision asked for; never the network unasked."""

import json
import os
import socket
from types import SimpleNamespace

import polars as pl
import pytest

from mergelaw.config.data import DatasetsSource
from mergelaw.data.data_sets import read_dataset
from mergelaw.errors import DataError

RECORDS = [{"instruction": f"{i} + {i}?", "output": str(2 * i)} for i in range(5)]
OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Caches of the test's own, and no way to the network, though the hub is not told so."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    called = []

    def refuse(*arguments, **_):
        called.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    return called


def source(path, **settings):
    return DatasetsSource(kind="datasets", path=str(path), **settings)


def read(path, **settings):
    return list(read_dataset(source(path, **settings)))


def refusal(path, **settings) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def write(path, records=RECORDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pl.DataFrame(records).write_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def snapshot(tmp_path, commit, ref, records):
    """Put a data set of the hub into the cache as a download does: files are links to blobs."""
    place = tmp_path / "hub" / "datasets--Org--math"
    blob = write(place / "blobs" / f"{commit}.parquet", records)
    folder = place / "snapshots" / commit / "data"
    folder.mkdir(parents=True)
    (folder / "train-00000-of-00001.parquet").symlink_to(os.path.relpath(blob, folder))
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / ref).write_text(commit)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet"])
def test_a_local_folder_or_file_is_read(tmp_path, cache, name, streaming):
    file = write(tmp_path / "set" / name)
    expected = [(f"set[{i}]", record) for i, record in enumerate(RECORDS)]
    assert read("set", streaming=streaming) == expected
    found = read(file, streaming=streaming)
    assert found == [(f"{file}[{i}]", record) for i, record in enumerate(RECORDS)]
    assert not cache, "nothing was asked for over the network"


def test_a_folder_may_be_called_as_a_format_of_the_library(tmp_path):
    write(tmp_path / "json" / "train.jsonl")
    assert [record for _, record in read("json")] == RECORDS


def test_streaming_leaves_no_copy_on_disk(tmp_path):
    write(tmp_path / "set" / "train.parquet")
    read("set", streaming=True)
    assert not list((tmp_path / "datasets").rglob("*.arrow"))
    read("set")
    assert list((tmp_path / "datasets").rglob("*.arrow"))


@pytest.mark.parametrize("streaming", [False, True])
def test_only_the_first_items_are_read(tmp_path, streaming):
    write(tmp_path / "set" / "train.jsonl")
    assert [r for _, r in read("set", items=2, streaming=streaming)] == RECORDS[:2]
    assert len(read("set", items=99, streaming=streaming)) == 5


def test_a_split_and_a_subset_are_chosen(tmp_path):
    write(tmp_path / "set" / "easy" / "train.jsonl", RECORDS[:1])
    write(tmp_path / "set" / "hard" / "train.jsonl", RECORDS[1:])
    write(tmp_path / "set" / "hard" / "test.jsonl", RECORDS[2:])
    configs = "".join(f"- config_name: {name}\n  data_dir: {name}\n" for name in ("easy", "hard"))
    (tmp_path / "set" / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    assert [r for _, r in read("set", subset="easy")] == RECORDS[:1]
    assert [r for _, r in read("set", subset="hard", split="test")] == RECORDS[2:]
    missing = refusal("set", subset="hard", split="nosuch")
    assert missing.startswith("data set 'set': cannot be loaded (")
    assert "nosuch" in missing


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cached_name_is_read_at_the_revision_asked_for(tmp_path, cache, streaming):
    snapshot(tmp_path, OLD, "v1", RECORDS[:2])
    snapshot(tmp_path, NEW, "main", RECORDS[2:])
    for revision, records in (("v1", RECORDS[:2]), (OLD, RECORDS[:2]), (None, RECORDS[2:])):
        found = read("Org/math", revision=revision, streaming=streaming)
        assert found == [(f"Org/math[{i}]", record) for i, record in enumerate(records)]
    assert not cache, "nothing was asked for over the network"


def test_a_name_that_is_not_cached_is_refused_with_the_ways_out(tmp_path, cache):
    message = refusal("Org/math", revision="v2")
    assert message.startswith("data set Org/math@v2: no such folder, and not in the Hugging Face ")
    assert message.endswith(
        "run first: hf download Org/math --repo-type dataset --revision v2; or set `fetch: true`"
    )
    snapshot(tmp_path, OLD, "main", RECORDS)
    assert f"holds other revisions of it only: Org/math@{OLD}" in refusal("Org/math", revision="v2")
    assert not cache, "nothing was asked for over the network"


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    message = refusal("no/such/folder")
    assert message.startswith("data set 'no/such/folder': no such folder or file (a data set of")


def test_fetching_asks_the_hub_and_says_that_it_does_not_answer(tmp_path, cache):
    snapshot(tmp_path, OLD, "main", RECORDS)
    assert refusal("Org/math", fetch=True).startswith("data set 'Org/math': cannot be loaded (")
    assert cache, "the network was asked for"


@pytest.fixture
def hub(monkeypatch):
    """Return what the library builds for a hub that answers with one commit."""
    import datasets
    import huggingface_hub

    answer = SimpleNamespace(dataset_info=lambda *_, **__: SimpleNamespace(sha=NEW))
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: answer)
    built = SimpleNamespace(
        hash=NEW,
        download_and_prepare=lambda: None,
        as_dataset=lambda split: [{"split": split}],
        as_streaming_dataset=lambda split: iter([{"stream": split}]),
    )
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: built)
    return built


def test_fetching_reads_no_other_revision_than_the_hub_names(hub, capsys):
    hub.hash = OLD
    message = refusal("Org/math", fetch=True)
    assert f"`datasets` would read revision {OLD} instead of {NEW}" in message
    assert "commit" not in capsys.readouterr().err, "nothing was read"
    hub.hash = NEW
    assert read("Org/math", fetch=True) == [("Org/math[0]", {"split": "train"})]
    assert read("Org/math", fetch=True, streaming=True) == [("Org/math[0]", {"stream": "train"})]


@pytest.mark.parametrize("streaming", [False, True])
def test_fetching_without_a_revision_tells_how_to_pin_what_was_read(hub, capsys, streaming):
    read("Org/math", fetch=True, streaming=streaming)
    assert (
        f"data set 'Org/math': read at commit {NEW}, which is the newest; to read the same text "
        f"next time, set `revision: {NEW}`\n"
    ) in capsys.readouterr().err
    read("Org/math", fetch=True, revision=NEW, streaming=streaming)
    assert "commit" not in capsys.readouterr().err


@pytest.mark.parametrize("streaming", [False, True])
def test_a_broken_data_set_is_refused_in_words(tmp_path, streaming):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"instruction": "1 + 1?", \n"output": "2"')
    message = refusal("set", streaming=streaming)
    assert message.startswith("data set 'set': cannot be loaded (")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    assert refusal("set").startswith("data set 'set': cannot be loaded (")
