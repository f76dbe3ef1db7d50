"""A checkpoint written in any order by any thread, resumed after a kill, there as a whole or not.

The work lies in a hidden folder beside its place; one rename puts it there.
"""

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeGuard

from torch import Tensor

from mergelaw import files
from mergelaw.checkpoints import journal
from mergelaw.checkpoints.destination import Destination
from mergelaw.checkpoints.journal import Facts, Journal, Span, begin_journal, read_journal
from mergelaw.checkpoints.shard_files import ShardFiles, are_there
from mergelaw.checkpoints.shards import OutTensor, plan_shards
from mergelaw.checkpoints.store import INDEX
from mergelaw.errors import CheckpointError

IDENTITY = re.compile(r"[0-9A-Za-z_-]+")
SHOWN = 5
"""Incomplete tensors that an error names."""


class CheckpointWriter:
    """Writes one checkpoint; to be used as a context manager.

    `write` and `record` may be called from many threads, until the block ends. A block that ends
    without `commit` leaves what was recorded in the hidden folder, and the same work goes on there
    next time; without a record nothing is left.

    Parameters
    ----------
    out : Path
        Folder to be made; must not exist.
    tensors : iterable of OutTensor
        All tensors, in any order.
    shard_bytes : int
        Most bytes of tensors in one file.
    metadata : mapping of str to str
        For the header of every file, beside `{"format": "pt"}`.
    identity : str
        Digest of recipe and inputs: letters, digits, `_` and `-`. Unfinished work of the same
        identity is gone on with, that of another one for the same place is removed.

    Attributes
    ----------
    part : Path
        The hidden folder.

    Raises
    ------
    CheckpointError
        If `out` exists, or another process is writing it.
    OSError
        If the disk has no space for all of it.
    ValueError
        If the plan is impossible (see `plan_shards`).
    """

    def __init__(
        self,
        out: Path,
        tensors: Iterable[OutTensor],
        shard_bytes: int,
        metadata: Mapping[str, str],
        identity: str,
    ) -> None:
        if not IDENTITY.fullmatch(identity):
            raise ValueError(f"identity {identity!r}: letters, digits, '_' and '-' only")
        self._plan = plan_shards(tensors, shard_bytes, metadata)
        self._n_entries = {tensor.name: tensor.n_entries for tensor in self._plan.tensors}
        self._identity = identity
        self._destination = Destination(out)
        self.part = self._destination.part(identity)
        with contextlib.ExitStack() as stack:
            stack.callback(self._destination.release)
            self._destination.remove_stale(identity)
            stack.callback(self._remove_unrecorded)
            self._files = self._open_files()
            stack.callback(self._files.close)
            self._journal = Journal(self.part / journal.NAME, identity, self._files.sync)
            stack.callback(self._journal.close)
            self._leave = stack.pop_all().close

    @property
    def done(self) -> Mapping[Span, Facts]:
        """Spans that need not be written again, of this run and of earlier ones, with facts."""
        return self._journal.done

    def write(self, name: str, start: int, data: Tensor | memoryview) -> None:
        """Write entries of a tensor, from any thread and in any order.

        Parameters
        ----------
        name : str
            The tensor.
        start : int
            Entry at which `data` begins.
        data : tensor or memoryview
            Contiguous and on the CPU; a tensor of the planned type, or the bytes of such entries.

        Raises
        ------
        OSError
            If it cannot be written, or what was written before could not be brought to the disk.
        ValueError
            If type or range do not fit the plan, or the block has ended.
        """
        self._journal.check()
        self._files.write(name, start, data)

    def record(self, span: Span, facts: Facts) -> None:
        """Say that all entries of a span were written; it counts once its data are on the disk.

        Raises
        ------
        OSError
            If what was written before could not be brought to the disk.
        TypeError, ValueError
            If the plan has no such span, or the facts are not JSON.
        """
        name, start, stop = span
        if not 0 <= start < stop <= self._n_entries[name]:
            raise ValueError(f"{name}: has no entries {start} to {stop}")
        self._journal.record(span, facts)

    def commit(self, finish: Callable[[Path], None] | None = None) -> None:
        """Put the checkpoint in its place.

        Parameters
        ----------
        finish : callable, optional
            Puts further files (config, tokenizer, card) into the folder that it is given.

        Raises
        ------
        CheckpointError
            If an entry is not recorded, or recorded twice, or the place was taken meanwhile.
        OSError
            If it cannot be brought to the disk.
        """
        self._refuse_incomplete()
        self._journal.close()
        self._files.close()
        self._remove_leftovers()
        if finish is not None:
            finish(self.part)
        if self._plan.index is not None:
            text = json.dumps(self._plan.index, indent=2, sort_keys=True, ensure_ascii=False)
            (self.part / INDEX).write_text(text + "\n", encoding="utf-8")
        for path in (*self.part.rglob("*"), self.part):
            files.publish(path)
        self._destination.take(self.part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._destination.taken:
            return
        failure = error
        try:
            self._leave()
        except OSError as late:
            failure = error or late
        fate = "nothing is left behind"
        if self.part.exists():
            fate = (
                f"what was written is kept in {self.part}: the same merge, run again, goes on "
                "there; with changed inputs it begins anew"
            )
        if _is_full(failure):
            raise _full(failure, self._destination.out, fate) from failure
        if failure is not None:
            failure.add_note(fate)
            if failure is not error:
                raise failure

    def _open_files(self) -> ShardFiles:
        if are_there(self.part, self._plan):
            return ShardFiles(self.part, self._plan, exist=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.part)
        self.part.mkdir()
        try:
            begin_journal(self.part / journal.NAME, self._identity)  # tells whose folder it is
            made = ShardFiles(self.part, self._plan, exist=False)
        except OSError as error:
            if _is_full(error):
                words = f"the checkpoint takes {self._plan.n_bytes:,} bytes"
                raise _full(error, self._destination.out, words) from error
            raise
        for folder in (self.part, self.part.parent):
            files.sync(folder)
        return made

    def _remove_unrecorded(self) -> None:
        """Remove a folder in which there is nothing to go on with."""
        recorded, _ = read_journal(self.part / journal.NAME, self._identity)
        if not recorded:
            shutil.rmtree(self.part, ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Remove what an earlier run put beside the weights before it was stopped."""
        own = {journal.NAME, *(file.name for file in self._plan.files)}
        for path in self.part.iterdir():
            if path.name not in own:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _refuse_incomplete(self) -> None:
        spans: dict[str, list[tuple[int, int]]] = {name: [] for name in self._n_entries}
        for name, start, stop in self.done:
            spans[name].append((start, stop))
        problems = [
            f"{name}: {problem}"
            for name, recorded in sorted(spans.items())
            if (problem := _hole(sorted(recorded), self._n_entries[name]))
        ]
        if problems:
            raise CheckpointError(
                f"{self._destination.out}: {len(problems)} of {len(spans)} tensors are not written "
                f"as planned: {'; '.join(problems[:SHOWN])}"
            )


def _hole(spans: Sequence[tuple[int, int]], n_entries: int) -> str:
    """Return where sorted spans leave entries out or count them twice; "" for nowhere."""
    end = 0
    for start, stop in (*spans, (n_entries, n_entries)):
        if start > end:
            return f"entries {end} to {start} of {n_entries} are not written"
        if start < end:
            return f"entries {start} to {end} of {n_entries} are recorded twice"
        end = stop
    return ""


def _is_full(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _full(error: OSError, out: Path, words: str) -> OSError:
    return OSError(error.errno, f"{error.strerror}; {words}", str(out))
