"""The processes of a training: this one, or those that `accelerate launch` starts."""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mergelaw.config.launch import LaunchFile, read_launch_file
from mergelaw.errors import ConfigError, TrainingError
from mergelaw.experts import worker
from mergelaw.experts.run import TrainingRun
from mergelaw.files import write_json
from mergelaw.provenance import digest
from mergelaw.signals import EndedBySignal, end_in_order

END_SECONDS = 300
"""How long processes may take to write their state once they are told to end."""

OPERATORS = "TORCH_EXTENSIONS_DIR"
"""Environment variable: where torch keeps what it compiles."""


def execute(run: TrainingRun, launch: str | None) -> dict[str, Any]:
    """Do a training, and return what it tells of itself.

    Parameters
    ----------
    run : TrainingRun
        The training.
    launch : str or None
        Launch file; None: in this process.

    Raises
    ------
    ConfigError
        If the launch file has problems, or asks for more devices than there are.
    EndedBySignal, TrainingError
        As `mergelaw.experts.worker.train`.
    """
    if launch is None:
        return worker.train(run)
    path = Path(launch).expanduser()
    file = read_launch_file(path)
    _check_devices(file, path)
    progress = Path(run.progress)
    for name in (worker.ERROR, worker.FACTS):
        (progress / name).unlink(missing_ok=True)
    write_json(progress / "run.json", run.model_dump(mode="json"))
    with environment(file):
        build_operators(file)
        _start(path, progress / "run.json", run)
    facts: dict[str, Any] = json.loads((progress / worker.FACTS).read_text(encoding="utf-8"))
    return facts


def _check_devices(file: LaunchFile, path: Path) -> None:
    """Refuse a launch file that asks for more GPUs than this job sees."""
    import torch

    if file.use_cpu:
        return
    seen = torch.cuda.device_count()
    if seen < file.num_processes:
        granted = os.environ.get("CUDA_VISIBLE_DEVICES")
        by = "" if granted is None else f" (CUDA_VISIBLE_DEVICES={granted})"
        raise ConfigError(
            f"{path}: num_processes = {file.num_processes}: each process needs a GPU, and this job "
            f"sees {seen}{by}; give it as many, lower num_processes in a copy of the file, or set "
            "use_cpu: true there to train on processors"
        )


def build_operators(file: LaunchFile) -> None:
    """Let DeepSpeed build what it compiles when it is first used, once and not in each process.

    Raises
    ------
    TrainingError
        If DeepSpeed is not installed, or cannot build its AdamW for processors.
    """
    try:
        from deepspeed.accelerator import get_accelerator
    except ImportError as error:
        raise TrainingError(
            "a launch file needs the package deepspeed: pip install 'mergelaw[train]'"
        ) from error
    names = ["CPUAdamBuilder"] * file.offload_optimizer + ["ShareMemCommBuilder"] * file.use_cpu
    folder = Path(os.environ[OPERATORS])
    folder.mkdir(parents=True, exist_ok=True)
    print(f"DeepSpeed's operators: {folder}; compiled there once, for a minute or more", flush=True)
    with (folder / "building").open("w") as own:
        fcntl.flock(own, fcntl.LOCK_EX)
        for left in folder.glob("*/lock"):  # of a build that was killed: torch would wait for ever
            left.unlink()
        for name in names:
            try:
                get_accelerator().create_op_builder(name).load(verbose=False)
            except Exception as error:  # ninja's, the compiler's and DeepSpeed's own
                raise TrainingError(
                    f"DeepSpeed cannot build {name.removesuffix('Builder')} ({error}); it needs a "
                    "C++ compiler and ninja, or offload_optimizer_device: none in the launch file"
                ) from error


@contextmanager
def environment(file: LaunchFile) -> Iterator[None]:
    """Set what launched processes find in their environment."""
    own = {
        OPERATORS: os.environ.get(OPERATORS) or str(_operators_folder()),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(END_SECONDS),
        "HF_HUB_OFFLINE": "1",
        # Beside this Python lies `ninja`, by which DeepSpeed builds its AdamW for processors.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    if file.use_cpu:
        own["DS_ACCELERATOR"] = "cpu"
    former = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _operators_folder() -> Path:
    """Return where this Python's compiled operators lie; another one's may not fit."""
    import torch

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mergelaw" / f"operators-{digest([sys.prefix, sys.version, torch.__version__])}"


def _start(launch: Path, told: Path, run: TrainingRun) -> None:
    """Run `accelerate launch` to its end; its processes write to this one's output."""
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = ["--config_file", str(launch), "--main_process_port", "0"]
    arguments += ["-m", worker.__name__, str(told)]
    print(f"accelerate launch {' '.join(arguments)}", flush=True)
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except SignalException as ended:
        raise EndedBySignal(int(ended.sigval)) from None
    except ChildFailedError as failed:
        raise TrainingError(_words(failed, Path(run.progress), run)) from None
    finally:
        end_in_order()  # the launcher has put handlers of its own in place


def _words(failed: Any, progress: Path, run: TrainingRun) -> str:
    """Return why processes failed: in their own words, or by how they ended."""
    error = progress / worker.ERROR
    if error.exists():
        return error.read_text(encoding="utf-8")
    ends = (f"process {rank} {_end(f.exitcode)}" for rank, f in sorted(failed.failures.items()))
    return (
        f"{run.title}: {', '.join(ends)}; what went wrong stands above, if anything does; run "
        "again, it goes on from its last state"
    )


def _end(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"failed with status {status}"
