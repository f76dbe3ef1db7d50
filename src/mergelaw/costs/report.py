"""What a heavy job cost: wall and CPU time, peak memory, and what the job adds; a cost.json."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mergelaw.files import write_json


@contextmanager
def cost_report(path: Path, **facts: Any) -> Iterator[dict[str, Any]]:
    """Measure the block and write `path` when it succeeds.

    Parameters
    ----------
    path : Path
        The cost.json to write.
    **facts
        Further entries, such as `stage` and `n_tokens`; the block may add to the yielded dict.
    """
    report = dict(facts)
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield report
    report["wall_seconds"] = round(time.perf_counter() - wall, 3)
    report["cpu_seconds"] = round(_cpu_seconds() - cpu, 3)
    report["peak_memory_bytes"] = max(usage.ru_maxrss for usage in _usages()) * 1024
    write_json(path, report)


def _usages() -> list[resource.struct_rusage]:
    """Return what this process used, and its workers that have ended (the largest one's memory)."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def _cpu_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in _usages())
