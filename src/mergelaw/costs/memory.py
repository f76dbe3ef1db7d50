"""Memory of a sweep's job: three ways of holding the pool, and what this process may still use."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Literal

Holding = Literal["float32", "stored", "streamed"]
"""How base and experts are held: as float32 task vectors, as stored, or read for each merge."""

HOLDINGS: tuple[Holding, ...] = ("float32", "stored", "streamed")
"""From the fastest to the thriftiest."""

GRANT = "MERGELAW_SLURM_MEMORY"
"""Environment variable: number of a Slurm job and the MiB that it has on a node, with ':'."""

FIXED_BYTES = 600_000_000
"""A process with torch and transformers loaded and no model (measured: 0.5 to 0.6 GB resident)."""


def holding_bytes(
    kind: Holding, n_params: int, n_experts: int, stored_bytes_per_param: float
) -> int:
    """Return the bytes that base and experts take while a job merges them.

    Parameters
    ----------
    kind : Holding
        float32: the base and one task vector per expert, 4 bytes an entry; stored: their tensors
        as the checkpoints have them; streamed: nothing is held between merges.
    n_params : int
        Entries of one checkpoint.
    n_experts : int
        Experts that occur in the job's chunk.
    stored_bytes_per_param : float
        Bytes of an entry in the checkpoints: 2 for bfloat16.
    """
    per_param = {"float32": 4.0, "stored": stored_bytes_per_param, "streamed": 0.0}[kind]
    return round(per_param * n_params * (n_experts + 1))


def other_bytes(
    n_params: int, dtype_bytes: int, *, incremental: bool = False, working_bytes: int = 0
) -> int:
    """Return the host memory of a sweep's job beside the pool.

    The live weights: on a CPU the model's own; with a GPU, whose memory holds the model, the host's
    staging copy, which is as large. Then the running sum of incremental merges (float32), the
    process itself and `working_bytes`: the logits chunk, and tensors in the making.
    """
    running = 4 * n_params if incremental else 0
    return dtype_bytes * n_params + running + FIXED_BYTES + working_bytes


def choose_holding(
    n_params: int,
    n_experts: int,
    stored_bytes_per_param: float,
    *,
    other_bytes: int,
    available_bytes: int,
) -> Holding:
    """Return the fastest way of holding the pool that fits; `streamed` where none does.

    Parameters
    ----------
    n_params, n_experts, stored_bytes_per_param
        As in `holding_bytes`.
    other_bytes : int
        What the job needs beside the pool, from the function of this name, less what it already
        has: the fixed part, for a process that asks about itself after its imports.
    available_bytes : int
        What the job may use; from the function of this name, or a host's memory.
    """
    for kind in HOLDINGS:
        held = holding_bytes(kind, n_params, n_experts, stored_bytes_per_param)
        if held + other_bytes <= available_bytes:
            return kind
    return "streamed"


def tell_grant(environ: MutableMapping[str, str] = os.environ) -> None:
    """Put what Slurm grants this job where processes below find it, as `GRANT`.

    A job's own command runs in a step of it, whose environment Snakemake's plugin for steps clears
    of most of Slurm's variables. The job's number stays, and tells a grant that was inherited from
    another job: from that of the head, which submits jobs with its own environment.
    """
    if {"SLURM_JOB_ID", "SLURM_MEM_PER_NODE"} <= environ.keys():
        environ[GRANT] = f"{environ['SLURM_JOB_ID']}:{environ['SLURM_MEM_PER_NODE']}"


def available_bytes(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> int:
    """Return the bytes of memory that this process may still use.

    The least of the system's MemAvailable, what the cgroups of the process (version 2 and 1, and
    all above them) leave under their limits, and what Slurm grants the job on this node. Page cache
    counts as free, as the kernel gives it back. Where the system tells none, its physical memory.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` are.
    environ : mapping of str to str
        The environment: Slurm's SLURM_MEM_PER_NODE, in MiB, where it is set, or what `tell_grant`
        made of it.
    """
    told = [*_system(root), *_cgroup_rooms(root), *_slurm(root, environ)]
    return max(0, min(told)) if told else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _system(root: Path) -> Iterator[int]:
    """Yield MemAvailable."""
    kib = _fields(root / "proc" / "meminfo").get("MemAvailable")
    if kib is not None:
        yield 1024 * kib


def _slurm(root: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """Yield what Slurm grants, less what this process has; 0 grants the whole node."""
    job, _, told = environ.get(GRANT, "").partition(":")
    told = told if job and job == environ.get("SLURM_JOB_ID") else ""
    granted = environ.get("SLURM_MEM_PER_NODE", told)
    if granted.isdecimal() and int(granted):
        yield int(granted) * 2**20 - 1024 * _fields(root / "proc/self/status").get("VmRSS", 0)


def _cgroup_rooms(root: Path) -> Iterator[int]:
    """Yield what each cgroup of the process, and each one above it, leaves."""
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            yield from _rooms(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
            yield from _rooms(root / "sys/fs/cgroup/memory", path, limit, usage, "total_")


def _rooms(mount: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[int]:
    """Yield limit - usage + page cache on the way from the mount to a cgroup.

    In a container the path may be that of the host, which is not there: the mount itself is.
    """
    folder = mount
    for part in ("", *Path(path).parts):
        folder = folder / part.strip("/")
        most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
        if most.isdecimal() and used.isdecimal():
            cache = _fields(folder / "memory.stat")
            files = (cache.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
            yield int(most) - int(used) + sum(files)


def _fields(path: Path) -> dict[str, int]:
    """Return `name value` or `name: value kB` lines whose value is a whole number."""
    words = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) > 1 and pair[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
