"""Checkpoints on disk: safetensors, one file or sharded with an index, read tensor by tensor."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mergelaw.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True)
class TensorStore:
    """A checkpoint's tensors by name; only headers are held.

    Attributes
    ----------
    folder : Path
        The checkpoint.
    files : mapping of str to Path
        File of each tensor.
    shapes : mapping of str to tuple of int
        Shape of each tensor.
    """

    folder: Path
    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def open(cls, folder: Path) -> "TensorStore":
        """Read the headers of a checkpoint folder.

        Raises
        ------
        CheckpointError
            If there are no safetensors, a file is broken, or index and files disagree.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        files: dict[str, Path] = {}
        for path in _safetensors_files(folder):
            with _open(path) as file:
                for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                    shapes[name] = tuple(file.get_slice(name).get_shape())
                    files[name] = path
        _check_index(folder, files)
        return cls(folder, files, shapes)

    def read(self, name: str) -> Tensor:
        """Return one tensor, in the type that it is stored in."""
        with _open(self.files[name]) as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor


def mismatches(base: TensorStore, expert: TensorStore, name: str) -> list[str]:
    """Return every way in which an expert's tensors do not match the base's.

    Parameters
    ----------
    name : str
        The expert's name, for the messages.
    """
    missing = sorted(base.shapes.keys() - expert.shapes.keys())
    extra = sorted(expert.shapes.keys() - base.shapes.keys())
    shared = sorted(base.shapes.keys() & expert.shapes.keys())
    problems = [
        f"expert {name!r} {verb} {len(names)} tensor{'s'[: len(names) != 1]}: {_some(names)}"
        for verb, names in (("lacks", missing), ("has, beyond the base,", extra))
        if names
    ]
    problems += [
        f"expert {name!r}: {key} has shape {list(expert.shapes[key])}, "
        f"the base {list(base.shapes[key])}"
        for key in shared
        if base.shapes[key] != expert.shapes[key]
    ]
    return problems


def _safetensors_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    if (folder / INDEX).exists():
        return sorted({folder / name for name in _weight_map(folder).values()})
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    raise CheckpointError(f"{folder}: holds neither {SINGLE} nor {INDEX}")


def _weight_map(folder: Path) -> dict[str, str]:
    try:
        weight_map: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    except (json.JSONDecodeError, KeyError) as error:
        raise CheckpointError(f"{folder / INDEX}: is not a safetensors index ({error})") from error
    return weight_map


def _check_index(folder: Path, files: Mapping[str, Path]) -> None:
    if not (folder / INDEX).exists():
        return
    index = _weight_map(folder)
    wrong = sorted(
        name
        for name in index.keys() | files.keys()
        if name not in index or name not in files or folder / index[name] != files[name]
    )
    if wrong:
        raise CheckpointError(f"{folder / INDEX}: does not agree with its files on {_some(wrong)}")


def _open(path: Path) -> "safe_open":
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown}, and {len(names) - 5} more"
