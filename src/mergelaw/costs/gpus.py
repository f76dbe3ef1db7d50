"""The GPUs that a job uses, as torch tells them where it is loaded already; never loads it."""

import os
import sys
from typing import Any, NamedTuple


class Gpu(NamedTuple):
    """A GPU of this machine.

    Attributes
    ----------
    name : str
        As its driver tells it, such as "NVIDIA H100 80GB HBM3".
    uuid : str
        Tells it from all others, as NVML writes it; empty where torch does not tell it.
    """

    name: str
    uuid: str


def gpu_used() -> bool:
    """Say whether this process has a GPU in use."""
    return _cuda() is not None


def gpus_of_job(n_processes: int) -> list[Gpu]:
    """Return the GPUs of this machine that count as the job's.

    Where CUDA_VISIBLE_DEVICES grants some, no other job has them, used or not. Elsewhere one for
    each of the job's processes counts, or those that its one process has memory of.
    """
    cuda = _cuda()
    if cuda is None:
        return []
    indices = list(range(cuda.device_count()))
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        used = [index for index in indices if cuda.max_memory_reserved(index)]
        indices = indices[:n_processes] if n_processes > 1 else used
    found = [cuda.get_device_properties(index) for index in indices]
    return [Gpu(one.name, _uuid(getattr(one, "uuid", ""))) for one in found]


def forget_peaks() -> None:
    """Let peaks of memory count from here on."""
    cuda = _cuda()
    for index in range(cuda.device_count() if cuda else 0):
        cuda.reset_peak_memory_stats(index)


def peak_bytes() -> int | None:
    """Return the most memory that torch took of one GPU; None where none is used."""
    cuda = _cuda()
    peaks = [cuda.max_memory_reserved(index) for index in range(cuda.device_count() if cuda else 0)]
    return max(peaks, default=None)


def _cuda() -> Any:
    """Return torch's module of GPUs where this process has one in use; else None."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)
    return cuda if is_initialized and is_initialized() else None


def _uuid(told: object) -> str:
    return f"GPU-{told}" if told else ""
