"""`mergelaw status` in a terminal: it stays, follows the study, and leaves in order."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.status.studies import environment

CURSOR_BACK = b"\x1b[?25h"


def watched(folder, *words: str) -> tuple[subprocess.Popen, int]:
    """Start it in a terminal of its own; the process, and what the terminal is read by."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mergelaw", "status", *words],
        stdout=theirs,
        stderr=theirs,
        cwd=folder.path,
        env=environment(TERM="xterm", LINES="60"),  # or the end may be cut off
    )
    os.close(theirs)
    return process, ours


def read_until(terminal: int, words: bytes) -> bytes:
    """Read what is shown until some words, or the end; not for ever."""
    shown, deadline = b"", time.monotonic() + 60
    while words not in shown:
        assert time.monotonic() < deadline, shown[-2000:].decode(errors="replace")
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the process closed it
            break
    return shown


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_stays_until_it_is_ended_and_gives_the_terminal_back(half, number, status):
    process, terminal = watched(half)
    assert b"report" in read_until(terminal, b"log: failed.log")
    assert process.poll() is None
    process.send_signal(number)
    assert CURSOR_BACK in read_until(terminal, b"no such words")
    assert process.wait() == status
    os.close(terminal)


def test_it_follows_the_study(own_half):
    process, terminal = watched(own_half)
    read_until(terminal, b"2/17")
    shutil.rmtree(own_half.paths.root / "sweep" / "small" / "average")
    assert b"0/17" in read_until(terminal, b"0/17")
    process.send_signal(signal.SIGINT)
    read_until(terminal, b"no such words")
    assert process.wait() == 0
    os.close(terminal)


def test_once_ends_at_once(half):
    process, terminal = watched(half, "--once")
    assert CURSOR_BACK not in read_until(terminal, b"no such words")
    assert process.wait() == 0
    os.close(terminal)


def test_it_loads_no_torch(half):
    program = (
        "import sys; from mergelaw.cli import app\n"
        f"app(['status', {str(half.paths.root)!r}], standalone_mode=False)\n"
        "assert 'rich' in sys.modules; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
