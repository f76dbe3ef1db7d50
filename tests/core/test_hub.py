"""References: a folder as it is, or a snapshot in the Hugging Face cache; nothing is fetched."""

import socket

import pytest
from huggingface_hub import constants, snapshot_download

from mergelaw.errors import CheckpointError
from mergelaw.hub import hub_name, is_hub_name, resolve

FIRST, SECOND = "1a2b3c4" + "0" * 33, "1a2b3c5" + "0" * 33


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of Org/tiny: branch main at the first commit, tag v2 at the second."""
    place = tmp_path / "hub" / "models--Org--tiny"
    for commit, ref in ((FIRST, "main"), (SECOND, "v2")):
        (place / "snapshots" / commit).mkdir(parents=True)
        (place / "snapshots" / commit / "config.json").write_text("{}")
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / ref).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return place


def refusal(ref) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve(ref)
    return str(caught.value)


def test_a_folder_is_taken_as_it_is_before_the_cache(cache, tmp_path):
    assert resolve(tmp_path) == tmp_path
    (tmp_path / "Org" / "tiny").mkdir(parents=True)
    assert resolve("Org/tiny").resolve() == tmp_path / "Org" / "tiny"


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert resolve("~/model") == tmp_path / "model"


@pytest.mark.parametrize(
    ("revision", "commit"), [(None, FIRST), ("main", FIRST), ("v2", SECOND), (SECOND, SECOND)]
)
def test_the_cache_is_read_as_its_own_library_does(cache, revision, commit):
    found = resolve("Org/tiny" + (f"@{revision}" if revision else ""))
    assert found == cache / "snapshots" / commit
    theirs = snapshot_download(
        "Org/tiny", revision=revision, local_files_only=True, cache_dir=constants.HF_HUB_CACHE
    )
    assert str(found) == theirs


def test_a_short_commit_is_enough_where_it_is_one(cache):
    assert resolve("Org/tiny@1a2b3c5").name == SECOND
    (cache / "snapshots" / ("1a2b3c5" + "f" * 33)).mkdir()
    assert "other revisions" in refusal("Org/tiny@1a2b3c5")


def test_what_is_not_in_the_cache_is_never_fetched(cache, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("network"))
    message = refusal("Org/other")
    assert message.startswith("Org/other: no such folder, and not in the Hugging Face cache (")
    assert message.endswith("nothing is fetched here, so run first: hf download Org/other")


def test_the_revisions_that_are_there_are_named(cache):
    message = refusal("Org/tiny@dev")
    assert f"holds other revisions of it only: Org/tiny@{FIRST}, Org/tiny@{SECOND} (" in message
    assert message.endswith("hf download Org/tiny --revision dev")
    (cache / "refs" / "main").unlink()
    assert refusal("Org/tiny").endswith("run first: hf download Org/tiny")


def test_a_branch_whose_snapshot_is_gone_is_not_found(cache):
    (cache / "refs" / "main").write_text("f" * 40)
    assert "other revisions" in refusal("Org/tiny")


@pytest.mark.parametrize(
    "ref", ["", "nowhere", "/no/where", "a/b/c", "Org/tiny@a/../../refs/main", "Org/..", "./a/b"]
)
def test_what_is_no_reference_is_refused(cache, ref):
    assert f"{ref!r}: no such folder (a model of the" in refusal(ref)


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    assert refusal(file) == f"{file}: is a file; give the folder that it lies in"


def test_the_name_on_the_hub_is_in_the_path(cache, tmp_path):
    assert hub_name(cache / "snapshots" / FIRST) == "Org/tiny"
    assert hub_name(tmp_path / "models") is None


@pytest.mark.parametrize("name", ["Org/tiny", "Org/tiny@main", f"Org/tiny@{FIRST}"])
def test_a_name_that_is_no_path_here_is_of_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(name)
    (tmp_path / name).mkdir(parents=True)
    assert not is_hub_name(name)


@pytest.mark.parametrize(
    "name", ["tiny", "../up/tiny", "a/b/c", "/abs/tiny", "./rel/tiny", "", "~/x"]
)
def test_a_path_is_not_of_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name(name)
