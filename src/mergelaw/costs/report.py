"""What a job cost: time, memory, devices, work of models and energy; a cost.json."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mergelaw.costs.energy import EnergyMeter
from mergelaw.costs.gpus import Gpu, forget_peaks, gpus_of_job, peak_bytes
from mergelaw.files import write_json

CPU = "cpu"
"""Device of a job that runs models on the processor."""

_RUNNING: ContextVar[dict[str, Any] | None] = ContextVar("report", default=None)


@contextmanager
def cost_report(path: Path, **facts: Any) -> Iterator[dict[str, Any]]:
    """Measure the block and write `path` when it succeeds.

    Parameters
    ----------
    path : Path
        The cost.json to write; `mergelaw.jobs.record.cost_path` says where a job's lies.
    **facts
        Further entries, such as `stage`; the block may add to the yielded dict. See `measured`.
    """
    with measured(**facts) as report:
        yield report
    write_json(path, report)


@contextmanager
def measured(**facts: Any) -> Iterator[dict[str, Any]]:
    """Measure the block, and add what it cost to the yielded dict when it succeeds.

    What is added: `wall_seconds`, `cpu_seconds`, `peak_memory_bytes` on the host, `device_hours` by
    device, `peak_device_bytes` of a GPU, `tokens_read` by models, their `flops`, `energy_joules`
    and `energy_told_by`; None where it is not known, or does not apply.

    The block tells `tokens_read` and `flops`, or `add_work` does; where it tells `n_tokens` alone,
    models read these. A block that tells no tokens ran no model, and has no device. One whose
    models ran in other processes tells `n_processes`, and what `gpus_of_job` and `peak_bytes` found
    there as `gpus` and `peak_device_bytes`.
    """
    report = dict(facts)
    token = _RUNNING.set(report)
    forget_peaks()
    wall, cpu, energy = time.perf_counter(), _cpu_seconds(), EnergyMeter()
    try:
        with energy.watching():
            yield report
    finally:
        _RUNNING.reset(token)
    report["wall_seconds"] = round(time.perf_counter() - wall, 3)
    report["cpu_seconds"] = round(_cpu_seconds() - cpu, 3)
    report["peak_memory_bytes"] = max(usage.ru_maxrss for usage in _usages()) * 1024
    report.setdefault("tokens_read", report.get("n_tokens"))
    report.setdefault("flops", None)
    report |= _devices(report, energy)


def add_work(n_tokens: int, flops: float) -> None:
    """Add to what the models of the running job have done; where none is measured, to nothing."""
    report = _RUNNING.get()
    if report is not None:
        report["tokens_read"] = report.get("tokens_read", 0) + n_tokens
        report["flops"] = report.get("flops", 0.0) + flops


def _devices(report: dict[str, Any], energy: EnergyMeter) -> dict[str, Any]:
    """Return what a job took of devices: a GPU counts as long as the job has it."""
    ran_model, told = report["tokens_read"] is not None, report.pop("gpus", None)
    found = gpus_of_job(report.get("n_processes", 1)) if told is None else told
    gpus = [Gpu(*gpu) for gpu in found] if ran_model else []
    hours: dict[str, float] = {}
    for name in [gpu.name for gpu in gpus] or [CPU] * ran_model:
        hours[name] = hours.get(name, 0.0) + report["wall_seconds"] / 3600
    used = energy.used([gpu.uuid for gpu in gpus], report["cpu_seconds"])
    return {
        "device_hours": hours,
        "peak_device_bytes": report.get("peak_device_bytes", peak_bytes() if gpus else None),
        "energy_joules": used and round(used.joules, 3),
        "energy_told_by": used and used.told_by,
    }


def _usages() -> list[resource.struct_rusage]:
    """Return what this process used, and its workers that have ended (the largest one's memory)."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def _cpu_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in _usages())
