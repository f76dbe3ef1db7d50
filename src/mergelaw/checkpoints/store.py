"""Checkpoints on disk: safetensors, one file or sharded with an index, known from their headers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mergelaw.checkpoints.headers import Entry, read_header
from mergelaw.errors import CheckpointError, listing

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class TensorStore:
    """A checkpoint's tensors by name; only headers are held, and torch is not loaded.

    Attributes
    ----------
    folder : Path
        The checkpoint.
    entries : mapping of str to Entry
        Place of each tensor.
    """

    folder: Path
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> "TensorStore":
        """Read the headers of a checkpoint folder.

        Raises
        ------
        CheckpointError
            If there are no safetensors, a file is broken, or index and files disagree; lists
            every problem.
        """
        if not folder.is_dir():
            found = "is a file; give the folder that it lies in" if folder.is_file() else ""
            raise CheckpointError(f"{folder}: {found or 'no such checkpoint folder'}")
        weight_map = _weight_map(folder / INDEX) if (folder / INDEX).exists() else None
        if weight_map is None and not (folder / SINGLE).exists():
            raise CheckpointError(f"{folder}: {_what_is_there(folder)}")
        if weight_map is not None and (folder / SINGLE).exists():
            _check_single_is_a_shard(folder, weight_map)
        entries = (
            read_header(folder / SINGLE).entries
            if weight_map is None
            else _sharded(folder, weight_map)
        )
        if not entries:
            raise CheckpointError(f"{folder}: holds no tensor")
        return cls(folder, entries)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def read(self, name: str) -> "Tensor":
        """Return one whole tensor, in the type that it is stored in."""
        from mergelaw.checkpoints.reading import read_tensor

        return read_tensor(self.entries[name])


def count_of(names: Sequence[str]) -> str:
    """Return how many tensors there are and the first names: "7 tensors: a, b, c, and 4 more"."""
    shown = ", ".join(names[:5])
    more = f", and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} tensor{'s'[: len(names) != 1]}: {shown}{more}"


def read_json(path: Path) -> Any:
    """Read a JSON file of a checkpoint.

    Raises
    ------
    CheckpointError
        If it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no JSON ({error})") from error


def _what_is_there(folder: Path) -> str:
    """Return what a folder without weights that can be read holds, and the way out."""
    if any((folder / name).exists() for name in PICKLED):
        return (
            "holds pickled weights (pytorch_model.bin), which are not read: they can run code; "
            "convert them where you trust them, by transformers' from_pretrained and then "
            "save_pretrained"
        )
    if (folder / ADAPTER_CONFIG).exists():
        return "is an adapter, not a whole model; it can be given as an expert of its base"
    return f"holds neither {SINGLE} nor {INDEX}"


def _weight_map(path: Path) -> dict[str, str]:
    """Return the file of each tensor as the index tells it."""
    index = read_json(path)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path}: is not a safetensors index: it has no weight_map")
    problems = [
        f"{name} is put in {file!r}, which is no file of this folder"
        for name, file in weight_map.items()
        if not _stays_inside(file)
    ]
    if problems:
        raise CheckpointError(listing(f"{path}: is not a safe index", problems))
    return weight_map


def _stays_inside(file: Any) -> bool:
    if not isinstance(file, str) or not file or "\0" in file:
        return False
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and path != PurePosixPath(".")


def _check_single_is_a_shard(folder: Path, weight_map: Mapping[str, str]) -> None:
    if SINGLE not in weight_map.values():
        raise CheckpointError(
            f"{folder}: holds {SINGLE} and {INDEX}, which names other files; it is not known "
            f"which of the two is meant (transformers loads {SINGLE}): remove the other"
        )


def _sharded(folder: Path, weight_map: Mapping[str, str]) -> dict[str, Entry]:
    """Return the tensors of all files that an index names, each held to the index."""
    held: dict[str, Mapping[str, Entry]] = {}
    problems: list[str] = []
    for file in sorted(set(weight_map.values())):
        try:
            held[file] = read_header(folder / file).entries
        except CheckpointError as error:
            names = sorted(name for name, place in weight_map.items() if place == file)
            if not (folder / file).exists():
                problems.append(f"shard {file} does not exist; it should hold {count_of(names)}")
            else:
                problems.append(str(error).replace("\n  - ", " "))
    problems += _disagreements(weight_map, held)
    if problems:
        raise CheckpointError(listing(f"{folder / INDEX}: does not agree with its files", problems))
    return {name: held[file][name] for name, file in weight_map.items()}


def _disagreements(
    weight_map: Mapping[str, str], held: Mapping[str, Mapping[str, Entry]]
) -> Iterator[str]:
    """Yield, file by file, what the index misses and what it makes up."""
    for file, entries in held.items():
        said = {name for name, place in weight_map.items() if place == file}
        if lacking := sorted(said - entries.keys()):
            yield f"shard {file} lacks {count_of(lacking)}, which the index puts there"
        if beyond := sorted(entries.keys() - said):
            yield f"shard {file} holds {count_of(beyond)}, which the index does not put there"
