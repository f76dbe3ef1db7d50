"""Files and folders that are either complete or not there: temporary name, fsync, rename."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    Raises
    ------
    OSError
        If the disk is full, also where a library wraps the system's error in its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        publish(part)
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        _raise_if_full(error, path)
        raise
    sync(path.parent)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`.

    Raises
    ------
    OSError
        If the disk is full, also where a library wraps the system's error in its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    former = part.with_suffix(".former")
    part.mkdir()
    try:
        yield part
        for file in part.rglob("*"):
            publish(file)
        if path.exists():
            os.replace(path, former)
        os.replace(part, path)
    except BaseException as error:
        if former.exists():
            os.replace(former, path)
        shutil.rmtree(part, ignore_errors=True)
        _raise_if_full(error, path)
        raise
    shutil.rmtree(former, ignore_errors=True)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically.

    Raises
    ------
    ValueError
        If a number is NaN or infinite: JSON has no word for them.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _raise_if_full(error: BaseException, path: Path) -> None:
    reason = os.strerror(errno.ENOSPC)
    if reason in str(error):
        raise OSError(errno.ENOSPC, reason, str(path)) from error


def publish(path: Path) -> None:
    """Give the permissions that the user's umask asks for (libraries write 0600) and sync."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, (0o777 if path.is_dir() else 0o666) & ~umask)
    sync(path)


def sync(path: Path) -> None:
    """Bring a file's data, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
