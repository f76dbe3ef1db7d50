"""Work shared between forked processes: threads would hand the interpreter's lock to and fro."""

import contextlib
import multiprocessing
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

import torch

from mergelaw.errors import MergeLawError

Item = TypeVar("Item")
Result = TypeVar("Result")

FORK = multiprocessing.get_context("fork")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, as workers do: sums then do not depend on the number of cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def parallel(
    work: Callable[[Iterable[Item]], Iterator[Result]], items: Sequence[Item], n_workers: int
) -> Iterator[Result]:
    """Yield what `work` yields over all items, as it comes, in no order.

    Parameters
    ----------
    work : callable
        Takes an iterable of items and yields results that can be pickled; every process calls it
        once, over items that it draws one by one.
    items : sequence
        The work; large items first balance best.
    n_workers : int
        Processes; with 1, or a single item, `work` runs in this one.

    Raises
    ------
    Exception
        The first error of a worker.
    MergeLawError
        If a worker was killed.
    """
    n_workers = min(n_workers, len(items))
    if n_workers <= 1:
        with one_thread():
            yield from work(items)
        return
    taken = FORK.Value("q", 0)
    team: list[tuple[BaseProcess, Connection]] = []
    for _ in range(n_workers):
        team.append(_start(work, items, taken, [connection for _, connection in team]))
    try:
        yield from _results(team)
    finally:
        for process, connection in team:
            process.terminate()
            process.join()
            connection.close()


def _start(
    work: Callable[[Iterable[Item]], Iterator[Result]],
    items: Sequence[Item],
    taken: Any,
    others: Sequence[Connection],
) -> tuple[BaseProcess, Connection]:
    receiver, sender = FORK.Pipe(duplex=False)
    job = (work, items, taken, sender, [*others, receiver])
    process = FORK.Process(target=_serve, args=job, daemon=True)
    with warnings.catch_warnings():
        # Workers run torch and NumPy on one thread and take no lock that a thread here may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    return process, receiver


def _results(team: Sequence[tuple[BaseProcess, Connection]]) -> Iterator[Any]:
    processes: dict[Any, BaseProcess] = {connection: process for process, connection in team}
    while processes:
        for ready in wait(processes):
            connection = cast(Connection, ready)
            try:
                kind, value = connection.recv()
            except EOFError:
                process = processes.pop(connection)
                process.join()
                raise MergeLawError(
                    f"a worker process ended with exit code {process.exitcode}; "
                    "-9 is most often the system's answer to too little memory"
                ) from None
            if kind == "error":
                raise value
            if kind == "end":
                processes.pop(connection)
            else:
                yield value


def _serve(
    work: Callable[[Iterable[Item]], Iterator[Result]],
    items: Sequence[Item],
    taken: Any,
    connection: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Run in a worker: send each result, then the end or the error."""
    for reader in inherited:  # or a write would wait for ever for a parent that was killed
        reader.close()
    torch.set_num_threads(1)
    try:
        for result in work(_drawn(items, taken, os.getppid())):
            connection.send(("result", result))
        connection.send(("end", None))
    except BaseException as error:
        with contextlib.suppress(OSError):  # the parent is gone: nobody is to be told
            connection.send(("error", _sendable(error)))
    connection.close()


def _drawn(items: Sequence[Item], taken: Any, parent: int) -> Iterator[Item]:
    """Yield items that no other worker has drawn, while the parent lives."""
    while os.getppid() == parent:
        with taken.get_lock():
            index = taken.value
            taken.value += 1
        if index >= len(items):
            return
        yield items[index]


def _sendable(error: BaseException) -> BaseException:
    """Return the error, or its text where the error itself cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own object
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
