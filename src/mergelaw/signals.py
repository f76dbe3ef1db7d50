"""SIGTERM and SIGINT end a process in order: its blocks are left, so that temporary files go."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)


class EndedBySignal(BaseException):
    """Raised where the signal finds the main thread; no `except Exception` holds it up.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(_words(number))
        self.number = number

    @property
    def status(self) -> int:
        """Exit status of the process, as a shell tells it: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self.number


def end_in_order() -> None:
    """Let both signals raise `EndedBySignal` in this process, and end forked ones at once.

    A signal that is ignored, as SIGINT in a shell's background jobs, stays so.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_begin)
    sys.unraisablehook = _lost


@contextmanager
def held_back() -> Iterator[Callable[[], int | None]]:
    """Hold both signals back in the block, so that work in it can end where it chooses to.

    Yields
    ------
    callable
        Returns the first signal that has come, None while none has. Later ones change nothing: a
        scheduler and a launcher may each send theirs. What has come is not raised at the end.
    """
    come: list[int] = []
    former = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in former.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: come.append(number))
    try:
        yield lambda: come[0] if come else None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    for each in ENDING:  # a second one would cut the cleaning short
        signal.signal(each, signal.SIG_IGN)
    raise EndedBySignal(number)


AGAIN_SECONDS = 0.05
"""When a signal is raised anew that Python could raise nowhere."""


def _lost(lost: "sys.UnraisableHookArgs") -> None:
    """Raise a signal anew that found the main thread where Python drops errors: while it forks.

    In a while, as this function is such a place, too.
    """
    if not isinstance(lost.exc_value, EndedBySignal):
        sys.__unraisablehook__(lost)
        return
    number = lost.exc_value.number

    def anew(_: int, frame: FrameType | None) -> None:
        _raise(number, frame)

    signal.signal(signal.SIGALRM, anew)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def _hold() -> None:
    """Let a signal wait while a process forks: Python forgets what comes to the new one there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _begin() -> None:
    """Begin a forked process: signals end it at once, also one that has come already."""
    _as_usual()
    _let_go()


def _as_usual() -> None:
    for number in ENDING:
        if signal.getsignal(number) in (_raise, signal.SIG_IGN):
            signal.signal(number, signal.SIG_DFL)


def _words(number: int) -> str:
    if number == signal.SIGINT:
        return "interrupted"
    job = os.environ.get("SLURM_JOB_ID")
    why = (
        f"Slurm job {job}: cancelled, preempted or out of time"
        if job
        else "sent by another process"
    )
    return f"ended by {signal.Signals(number).name} ({why})"
