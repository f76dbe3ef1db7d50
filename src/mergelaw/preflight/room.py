"""Room for the output: its place is free, can be written to, and the disk holds what comes."""

import glob
import os
import shutil
from pathlib import Path

from mergelaw.preflight.findings import Findings


def check_room(findings: Findings, out: Path, n_bytes: int) -> None:
    """Refuse an output that exists, cannot be made, or does not fit on its disk.

    Unfinished merges to the same place count as free: they are gone on with, or removed.
    """
    if os.path.lexists(out):
        findings.problem(
            f"{out}: exists already and is never written over; remove it, or give another place "
            "for the output"
        )
        return
    parent = _nearest(out.absolute().parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        what = "cannot be written to" if parent.is_dir() else "is no folder"
        findings.problem(f"{out}: cannot be made there, as {parent} {what}")
        return
    free = shutil.disk_usage(parent).free + _unfinished(out.absolute())
    if n_bytes > free:
        findings.problem(
            f"{out}: needs {amount(n_bytes)}, and its disk has {amount(free)} free; free "
            f"{amount(n_bytes - free)}, or give a place on another disk"
        )


def amount(n_bytes: int) -> str:
    """Return a number of bytes in words: `5.43 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.2f} {unit}"
    return f"{n_bytes} bytes"


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _unfinished(out: Path) -> int:
    """Return the bytes that unfinished merges to this place have on the disk."""
    files = (
        file
        for part in out.parent.glob(f".{glob.escape(out.name)}.*.part")
        for file in part.iterdir()
    )
    return sum(file.stat().st_blocks * 512 for file in files)
