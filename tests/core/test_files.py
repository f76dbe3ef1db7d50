"""Files and folders appear whole or not at all."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from mergelaw.files import atomic_directory, atomic_file, write_json, write_text


@pytest.fixture
def umask():
    """Set a umask for the test, and the former one after it."""
    former = os.umask(0o027)
    yield 0o027
    os.umask(former)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file_in_a_new_folder(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "ü\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "ü\n".encode()
    assert os.listdir(tmp_path / "a" / "b") == ["note.txt"]


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_error_inside_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_file(path) as part:  # noqa: PT012
        part.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_the_old_file_stands_until_the_block_ends(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with atomic_file(path) as part:
        part.write_text("new")
        assert part.parent == path.parent  # a rename is atomic within one file system only
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_new(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "note.txt"
    path.write_text("old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_directory(tmp_path / "folder") as part,
    ):
        (part / "weights").write_text("new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["note.txt"]


def test_data_is_synced_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (calls.append(os.readlink(f"/proc/self/fd/{fd}")), sync(fd))
    )
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), replace(*paths)))
    write_text(tmp_path / "note.txt", "new")
    assert [Path(call).suffix for call in calls[:1]] == [".part"]
    assert calls[1:] == ["rename", str(tmp_path)]


def test_permissions_follow_the_umask(tmp_path, umask):
    with atomic_file(tmp_path / "private") as part:
        part.touch(mode=0o600)  # what safetensors and tempfile do
    with atomic_directory(tmp_path / "folder") as part:
        (part / "sub").mkdir(mode=0o700)
        (part / "sub" / "weights").touch(mode=0o600)
    assert mode(tmp_path / "private") == 0o666 & ~umask
    assert mode(tmp_path / "folder" / "sub" / "weights") == 0o666 & ~umask
    assert mode(tmp_path / "folder" / "sub") == mode(tmp_path / "folder") == 0o777 & ~umask
    assert os.umask(umask) == umask, "the process's umask is left as it was"


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "stale").touch()
    with atomic_directory(folder) as part:
        (part / "fresh").touch()
        assert os.listdir(folder) == ["stale"]
    assert os.listdir(folder) == ["fresh"]
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_an_error_inside_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_directory(folder) as part:  # noqa: PT012
        (part / "half").touch()
        raise RuntimeError
    assert os.listdir(folder) == ["old"]
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_failing_rename_keeps_the_old_folder(tmp_path, monkeypatch):
    folder, replace = tmp_path / "checkpoint", os.replace
    folder.mkdir()
    (folder / "old").touch()

    def fail_for_the_new(source, target):
        if source.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_the_new)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(folder) as part:
        (part / "fresh").touch()
    assert os.listdir(folder) == ["old"]
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_json_is_exact_and_refuses_what_json_lacks(tmp_path):
    path = tmp_path / "numbers.json"
    value = {"x": 0.1 + 0.2, "list": [1, None, True]}
    write_json(path, value)
    assert json.loads(path.read_text()) == value
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(path, {"x": bad})
    assert json.loads(path.read_text()) == value
