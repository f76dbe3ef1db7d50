"""Processes are told from each other: real ones, that end, wait to be reaped, or are hidden."""

import os
import subprocess
import sys

import pytest

from mergelaw import processes
from mergelaw.processes import Process

TELL = "from mergelaw.processes import Process; print(Process.own().model_dump_json(), flush=True)"


@pytest.fixture
def child():
    """A process that waits, and what it says of itself."""
    program = f"{TELL}; input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        yield started, Process.model_validate_json(started.stdout.readline())
        started.kill()


def test_a_process_lives_until_it_is_killed_also_before_it_is_reaped(child):
    started, told = child
    assert (told.pid, told.host) == (started.pid, os.uname().nodename)
    assert told.is_here
    assert told.lives()
    started.kill()
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert not told.lives(), "nobody has asked yet how it ended"
    started.wait()
    assert not told.lives()


def test_a_process_is_told_from_another_of_its_number(child):
    _, told = child
    assert told.started > Process.own().started
    assert not told.model_copy(update={"pid": os.getpid()}).lives()


def test_a_process_that_the_system_hides_lives_while_its_number_is_taken(child, monkeypatch):
    """/proc may hide those of other users (hidepid); a signal tells that they are there."""
    started, told = child
    monkeypatch.setattr(processes, "_stat", lambda pid: None)
    assert told.lives()
    started.kill()
    started.wait()
    assert not told.lives()


def test_a_process_of_another_container_is_not_here():
    done = subprocess.run(
        ["unshare", "--user", "--pid", "--fork", sys.executable, "-c", TELL],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no process namespace may be made here: {done.stderr.strip()}")
    assert not Process.model_validate_json(done.stdout).is_here


def test_messages_name_the_slurm_job(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    own = Process.own().model_copy(update={"host": "gpu1", "pid": 99})
    assert own.title == "Slurm job 12 on gpu1 (process 99)"
    assert own.model_copy(update={"slurm_job": None}).title == "process 99 on gpu1"
