"""Progress of long work: a bar on a terminal, a line every so often in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

LOG_SECONDS = 10.0
"""Time between two lines in a log."""


def progress(work: Iterable[T], total: int, label: str, unit: str) -> Iterator[T]:
    """Yield from `work` while showing the count, the rate and the time left on standard error."""
    if sys.stderr.isatty():
        yield from tqdm(work, total=total, desc=label, unit=unit, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for done, thing in enumerate(work):
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            print(_line(done, total, now - start, label, unit), file=sys.stderr, flush=True)
            last = now
        yield thing
    print(_line(total, total, time.monotonic() - start, label, unit), file=sys.stderr, flush=True)


def _line(done: int, total: int, elapsed: float, label: str, unit: str) -> str:
    return str(tqdm.format_meter(done, total, elapsed, prefix=label, unit=unit, ncols=0))
