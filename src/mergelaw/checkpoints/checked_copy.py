"""Copies of files whose SHA-256 is known and was found again in what the disk holds."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mergelaw.progress import progress

CHUNK = 8 * 2**20


class CopyError(Exception):
    """A copy that does not hold what was read."""


def copy_files(files: Mapping[str, Path], folder: Path, label: str) -> dict[str, str]:
    """Copy files, read the copies back, and return the SHA-256 of each in hexadecimal digits.

    Parameters
    ----------
    files : mapping of str to Path
        By the name below `folder`; links are followed.
    folder : Path
        Where the copies go; they are on the disk when this returns.
    label : str
        What the display of progress calls them.

    Raises
    ------
    CopyError
        If a copy, read back, differs from what was read of its file.
    OSError
        If a file cannot be read or written, or the disk is full.
    """
    n_bytes = sum(path.stat().st_size for path in files.values())
    read: dict[str, str] = {}
    for _ in progress(_copied(files, folder, read), n_bytes, f"copy {label}", "B", _itself):
        pass
    found: dict[str, str] = {}
    for _ in progress(_read_back(read, folder, found), n_bytes, f"verify {label}", "B", _itself):
        pass
    if bad := [name for name in read if found[name] != read[name]]:
        raise CopyError(f"{', '.join(bad)} in {folder} differs from what was written")
    return read


def _itself(n_bytes: int) -> int:
    return n_bytes


def _copied(files: Mapping[str, Path], folder: Path, digests: dict[str, str]) -> Iterator[int]:
    """Copy, yielding the bytes of each piece; the digests are of what was read."""
    for name, path in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = hashlib.sha256()
        with path.open("rb", buffering=0) as source, target.open("wb") as copy:
            for piece in _pieces(source.fileno()):
                whole.update(piece)
                copy.write(piece)
                yield len(piece)
            copy.flush()
            os.fsync(copy.fileno())
            _forget(copy.fileno())
        digests[name] = whole.hexdigest()


def _read_back(names: Mapping[str, str], folder: Path, digests: dict[str, str]) -> Iterator[int]:
    """Read the copies, yielding the bytes of each piece."""
    for name in names:
        whole = hashlib.sha256()
        with (folder / name).open("rb", buffering=0) as copy:
            for piece in _pieces(copy.fileno()):
                whole.update(piece)
                yield len(piece)
        digests[name] = whole.hexdigest()


def _pieces(descriptor: int) -> Iterator[memoryview]:
    """Yield a file's bytes in pieces, each valid until the next."""
    view = memoryview(bytearray(CHUNK))
    while n := os.readv(descriptor, [view]):
        yield view[:n]


def _forget(descriptor: int) -> None:
    """Drop a file's pages from the memory, so that it is read from the disk."""
    if hasattr(os, "posix_fadvise"):  # macOS has none
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
