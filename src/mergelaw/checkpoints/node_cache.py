"""Copies of checkpoints on a node's own disk, made once and shared by this user's jobs there.

Each copy is a folder that is complete or not there, named by what identifies its source; beside it
lies a lock that every job holds while it reads the copy. One job at a time copies or removes.
"""

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mergelaw.checkpoints.checked_copy import CopyError, copy_files
from mergelaw.checkpoints.locks import FileLock
from mergelaw.files import sync, write_json
from mergelaw.provenance import digest

MANIFEST = "manifest.json"
FILES = "files"
PART = ".part"
RESERVE = 0.05
"""Share of the disk that is left free."""
BRIEF_SECONDS = 5.0
"""How long a look at a copy, by other jobs, is waited for."""


class CacheError(Exception):
    """Why a checkpoint has no copy; it is read from where it is."""


@dataclass(frozen=True)
class Source:
    """A checkpoint as it can be copied.

    Attributes
    ----------
    label : str
        What messages call it.
    folder : Path
        Where it lies.
    names : tuple of str
        Its files, by their paths below the folder.
    sample : callable
        Returns the sampled digest of these files in a folder.
    """

    label: str
    folder: Path
    names: tuple[str, ...]
    sample: Callable[[Path], str]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Its place, the length and time of change (ns) of each file, and the sampled digest."""
        stats = {name: (self.folder / name).stat() for name in self.names}
        return {
            "source": str(self.folder.resolve()),
            "files": {name: [s.st_size, s.st_mtime_ns] for name, s in stats.items()},
            "sample": self.sample(self.folder),
        }

    @property
    def key(self) -> str:
        """The name of its copy."""
        return digest(self.identity)

    @property
    def n_bytes(self) -> int:
        """Length of all files."""
        return sum(size for size, _ in self.identity["files"].values())

    def is_unchanged(self) -> bool:
        """Tell whether it is still what it was when its identity was taken."""
        now = Source(self.label, self.folder, self.names, self.sample)
        return now.identity == self.identity


class NodeCache:
    """The copies of one user on this node; those in use here are held until closed.

    A copy is believed if its source has the same path, names, lengths, times of change and sampled
    digest as when it was copied, and the copy the same lengths and sampled digest. SHA-256 is
    verified once, when a copy is made: a byte that changes on the node's disk afterwards, outside
    the samples, is not noticed.

    Parameters
    ----------
    place : Path
        A folder on the node's own disk; the copies go into a folder of the user's own in it.
    max_bytes : int, optional
        The most that they may take; what the disk has free, less `RESERVE`, bounds them in any
        case.

    Attributes
    ----------
    folder : Path
        Where the copies are.
    staged_bytes : int
        What was copied by this object.

    Raises
    ------
    CacheError
        If the folder is another user's.
    OSError
        If it cannot be made.
    """

    def __init__(self, place: Path, max_bytes: int | None = None) -> None:
        self.folder = _own_folder(Path(os.path.abspath(place)) / f"mergelaw-{os.geteuid()}")
        self.staged_bytes = 0
        self._max_bytes = max_bytes
        self._held = ExitStack()

    def find(self, source: Source) -> Path | None:
        """Return the folder of a checkpoint's copy, held from now on; None if there is no good one.

        Raises
        ------
        OSError
            If the source cannot be read, or the cache has no locks.
        """
        with ExitStack() as opened:
            lock = opened.enter_context(FileLock(self._lock(source.key)))
            lock.share()
            if not self._is_good(source):
                return None
            lock.touch()
            self._held.push(opened.pop_all())
        return self.folder / source.key / FILES

    def stage(self, source: Source) -> Path:
        """Return the folder of a checkpoint's copy, held from now on; made if there is no good one.

        Jobs that copy wait for each other. What killed jobs left is removed.

        Raises
        ------
        CacheError
            If it does not fit, changes while it is copied, or a broken copy is in use.
        OSError
            If a file cannot be read or written.
        """
        with self._alone():
            found = self.find(source)
            if found is None:
                self._remove_leftovers()
                self._remove_broken(source)
                self._make_room(source)
                self._copy(source)
                found = self.find(source)
        if found is None:
            raise CacheError("its copy changed at once")
        return found

    def close(self) -> None:
        """Let other jobs remove the copies that were in use here."""
        self._held.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the one job that copies and removes; what only such a job makes is then nobody's."""
        with FileLock(self._lock("staging")) as lock:
            if not lock.try_take():
                words = "waiting for another job on this node that copies checkpoints"
                print(f"{words} to {self.folder}", file=sys.stderr, flush=True)
                lock.take()
            yield

    def _is_good(self, source: Source) -> bool:
        entry = self.folder / source.key
        try:
            manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            sizes = {n: (entry / FILES / n).stat().st_size for n in source.names}
            return (
                {key: manifest[key] for key in source.identity} == source.identity
                and sizes == {n: size for n, (size, _) in source.identity["files"].items()}
                and source.sample(entry / FILES) == source.identity["sample"]
            )
        except (OSError, ValueError, KeyError, TypeError):  # not there, or no longer what it was
            return False

    def _remove_leftovers(self) -> None:
        for part in self.folder.glob(f"*{PART}"):
            shutil.rmtree(part)

    def _remove_broken(self, source: Source) -> None:
        entry = self.folder / source.key
        if not entry.exists():
            return
        with FileLock(self._lock(source.key)) as lock:
            if not lock.try_take(BRIEF_SECONDS):
                raise CacheError("its copy is broken, and another job reads it")
            print(f"{entry}: no longer what was copied; made anew", file=sys.stderr)
            shutil.rmtree(entry)

    def _make_room(self, source: Source) -> None:
        """Remove the copies that nobody holds, those used longest ago first, as far as needed.

        None is removed where that would not be enough.
        """
        lack = source.n_bytes - self._room()
        with ExitStack() as held:
            removed = []
            for entry in sorted(self._entries(), key=self._last_use):
                if lack <= 0:
                    break
                if held.enter_context(FileLock(self._lock(entry.name))).try_take():
                    removed.append(entry)
                    lack -= _length(entry)
            if lack > 0:
                raise CacheError("no room beside the copies in use")
            for entry in removed:
                shutil.rmtree(entry)

    def _room(self) -> int:
        """Return the bytes that a further copy may take."""
        disk = os.statvfs(self.folder)
        room = disk.f_frsize * (disk.f_bavail - int(RESERVE * disk.f_blocks))
        if self._max_bytes is None:
            return room
        return min(room, self._max_bytes - sum(map(_length, self._entries())))

    def _copy(self, source: Source) -> None:
        part = self.folder / f"{source.key}{PART}"
        (part / FILES).mkdir(parents=True)
        try:
            files = {name: source.folder / name for name in source.names}
            digests = copy_files(files, part / FILES, source.label)
            if not source.is_unchanged():
                raise CacheError("it changed while it was copied")
            write_json(part / MANIFEST, source.identity | {"sha256": digests})
            for folder in (part, *(path for path in part.rglob("*") if path.is_dir())):
                sync(folder)
            os.rename(part, self.folder / source.key)
        except CopyError as error:
            raise CacheError(str(error)) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        sync(self.folder)
        self.staged_bytes += source.n_bytes

    def _entries(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir() and path.suffix != PART]

    def _lock(self, name: str) -> Path:
        return self.folder / f"{name}.lock"

    def _last_use(self, entry: Path) -> float:
        """Return when a copy was last taken; 0 if nobody knows."""
        try:
            return self._lock(entry.name).stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _length(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _own_folder(path: Path) -> Path:
    """Make a folder that only this user can read; refuse one that another user has made."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = os.geteuid()
    if not path.is_dir() or {path.lstat().st_uid, path.stat().st_uid} != {user}:
        raise CacheError(f"{path} is another user's")
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path
