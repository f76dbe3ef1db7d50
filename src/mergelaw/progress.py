"""Progress of long work: a bar on a terminal, a line every so often in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

LOG_SECONDS = 10.0
"""Time between two lines in a log."""
SCALED_FROM = 10**6
"""Totals from here on are shown in thousands, millions and so on."""


def progress(
    work: Iterable[T],
    total: int,
    label: str,
    unit: str,
    weigh: Callable[[T], int] | None = None,
    start: int = 0,
) -> Iterator[T]:
    """Yield from `work` while showing the count, the rate and the time left on standard error.

    Parameters
    ----------
    work : iterable
        What is done, one by one.
    total : int
        What `work` counts for in all.
    label, unit : str
        For the display.
    weigh : callable, optional
        What one piece counts for; 1 without it.
    start : int
        What was done before: it counts, and is no part of the rate.
    """
    if sys.stderr.isatty():
        yield from _bar(work, total, label, unit, weigh, start)
        return
    begun = last = time.monotonic()
    done = start
    for thing in work:
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            _print(_line(done, total, now - begun, label, unit, start))
            last = now
        yield thing
        done += weigh(thing) if weigh else 1
    _print(_line(total, total, time.monotonic() - begun, label, unit, start))


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _bar(
    work: Iterable[T],
    total: int,
    label: str,
    unit: str,
    weigh: Callable[[T], int] | None,
    start: int,
) -> Iterator[T]:
    scaled = total >= SCALED_FROM
    with tqdm(
        total=total,
        desc=label,
        unit=unit,
        unit_scale=scaled,
        dynamic_ncols=True,
        initial=start,
    ) as bar:
        for thing in work:
            yield thing
            bar.update(weigh(thing) if weigh else 1)


def _line(done: int, total: int, elapsed: float, label: str, unit: str, start: int) -> str:
    scaled = total >= SCALED_FROM
    return str(
        tqdm.format_meter(
            done,
            total,
            elapsed,
            prefix=label,
            unit=unit,
            unit_scale=scaled,
            ncols=0,
            initial=start,
        )
    )
