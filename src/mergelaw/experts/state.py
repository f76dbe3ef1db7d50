"""What a killed training goes on from: weights, optimizer, random numbers, of every process.

A folder `state-{step}` with a safetensors file per process: tensors, and everything else as JSON in
its header. No pickle: a folder of results that others may write to runs nothing when it is read.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mergelaw.checkpoints.store import read_json
from mergelaw.errors import TrainingError
from mergelaw.files import publish, sync, write_json

NAME = re.compile(r"state-(\d+)")
FACTS = "state.json"
MARK = "//tensor"
"""Key of the JSON object that stands for a tensor, by its number."""


def state_folder(progress: Path, step: int) -> Path:
    """Return where the state after a step lies."""
    return progress / f"state-{step}"


def last_state(progress: Path) -> int | None:
    """Return the step of the newest whole state; None where there is none."""
    found = [NAME.fullmatch(path.name) for path in progress.glob("state-*") if path.is_dir()]
    return max((int(match[1]) for match in found if match), default=None)


def check_identity(
    progress: Path, step: int, identity: Mapping[str, str], n_processes: int
) -> dict[str, Any]:
    """Return the facts of a state that this training can go on from.

    Raises
    ------
    TrainingError
        If it is of another training, or of another number of processes; says what differs.
    """
    folder = state_folder(progress, step)
    facts = read_json(folder / FACTS)
    if not isinstance(facts, dict) or "identity" not in facts:
        raise TrainingError(f"{folder}: is no state of a training; delete {progress}")
    former = facts["identity"]
    other = [
        f"{key} was {former.get(key, 'absent')} and is {identity.get(key, 'absent')}"
        for key in sorted(identity.keys() | former.keys())
        if former.get(key) != identity.get(key)
    ]
    if other:
        raise TrainingError(
            f"{progress}: holds {step} steps of another training: {'; '.join(other)}. Put that "
            "back to go on with it, or delete the folder to begin anew"
        )
    if facts["n_processes"] != n_processes:
        raise TrainingError(
            f"{progress}: holds {step} steps of {facts['n_processes']} processes, and these are "
            f"{n_processes}: go on with the same launch file, or delete that folder to begin anew"
        )
    return facts


def write_process(folder: Path, process: int, state: object) -> None:
    """Write what one process holds.

    Parameters
    ----------
    state : nested dicts and lists
        Of tensors, numbers, texts, None; keys of dicts may be whole numbers.
    """
    tensors: list[Tensor] = []
    plan = json.dumps(_without_tensors(state, tensors))
    path = folder / f"{process}.safetensors"
    named = {str(number): tensor.contiguous().cpu() for number, tensor in enumerate(tensors)}
    save_file(named, path, {"plan": plan})
    publish(path)


def read_process(folder: Path, process: int) -> Any:
    """Return what `write_process` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or broken.
    """
    path = folder / f"{process}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            plan = json.loads(file.metadata()["plan"])
            return _with_tensors(plan, file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path}: cannot be read ({error}); delete {folder.parent} to begin anew"
        ) from error


def make_anew(folder: Path) -> None:
    """Make an empty folder, whatever an earlier attempt left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def finish(part: Path, folder: Path, facts: Mapping[str, Any]) -> None:
    """Put a state whose files all processes have written in its place, and remove older ones."""
    write_json(part / FACTS, facts)
    sync(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    sync(folder.parent)
    for path in older(folder):
        shutil.rmtree(path, ignore_errors=True)


def older(folder: Path) -> Iterator[Path]:
    """Yield other states of the same training, whole or not."""
    for path in folder.parent.glob("*state-*"):
        if path != folder:
            yield path


def random_state() -> dict[str, Any]:
    """Return the state of torch's random numbers on the processor and on this process's GPU."""
    on_gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {"cpu": torch.get_rng_state(), "gpu": on_gpu}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Set what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if state["gpu"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["gpu"])


def _without_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Return a value as JSON takes it: dicts as lists of pairs, tensors as their numbers."""
    if isinstance(value, Tensor):
        tensors.append(value.detach())
        return {MARK: len(tensors) - 1}
    if isinstance(value, Mapping):
        return {"//dict": [[k, _without_tensors(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(entry, tensors) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept in a state")


def _with_tensors(plan: Any, file: Any) -> Any:
    if isinstance(plan, dict) and MARK in plan:
        return file.get_tensor(str(plan[MARK]))
    if isinstance(plan, dict):
        return {key: _with_tensors(value, file) for key, value in plan["//dict"]}
    if isinstance(plan, list):
        return [_with_tensors(entry, file) for entry in plan]
    return plan
