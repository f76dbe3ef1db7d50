"""What Slurm's queue changes; here a script plays `squeue`, in tests/slurm it is the real one."""

import os
import time
from pathlib import Path

import pytest

from mergelaw.status import queue as queue_module
from mergelaw.status.queue import heads_of, read_queue
from mergelaw.status.states import NO_WORD
from tests.status.studies import change_process, counts


@pytest.fixture
def squeue(tmp_path_factory, monkeypatch):
    """Put a `squeue` of some shell commands first on the path."""
    folder = tmp_path_factory.mktemp("bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(commands: str) -> None:
        (folder / "squeue").write_text(f"#!/bin/sh\n{commands}\n")
        (folder / "squeue").chmod(0o755)

    return put


def lines(*jobs: str) -> str:
    return "\n".join(["cat <<'END'", *jobs, "END"])


def killed_record(folder) -> Path:
    """The record that says `running`, made one of Slurm's job 7 on another node."""
    path = folder.paths.job_record("chunk", "small", "dare", "0")
    change_process(path, slurm_job="7", host="node1", machine="another")
    return path


@pytest.mark.parametrize(
    ("jobs", "running", "failed", "left"),
    [
        (["7|RUNNING|/x|rule_chunk"], 1, 1, 13),
        (["7|COMPLETING|/x|rule_chunk"], 1, 1, 13),
        (["7|PENDING|/x|rule_chunk"], 0, 1, 14),  # preempted, and back in the queue
        (["7|CONFIGURING|/x|rule_chunk"], 0, 1, 14),  # the same, and its new node boots
        (["8|RUNNING|/x|rule_chunk"], 0, 2, 13),
        ([], 0, 2, 13),
    ],
)
def test_slurm_says_whether_a_job_runs(own_half, squeue, jobs, running, failed, left):
    killed_record(own_half)
    squeue(lines(*jobs))
    assert counts(own_half.facts(), "sweep")[2:] == (running, failed, left)


def test_a_killed_process_here_is_dead_though_its_slurm_job_goes_on(own_half, squeue):
    """As a head does, in whose job the light ones run."""
    change_process(own_half.paths.job_record("chunk", "small", "dare", "0"), slurm_job="7")
    squeue(lines("7|RUNNING|/x|(null)"))
    assert counts(own_half.facts(), "sweep")[2:] == (0, 2, 13)


def test_a_job_that_slurm_lost_ended_without_a_word(own_half, squeue):
    killed_record(own_half)
    squeue(lines("8|RUNNING|/x|rule_chunk"))
    assert NO_WORD in [job["error"] for job in own_half.facts()["failed"]]


@pytest.mark.parametrize(
    ("commands", "lack"),
    [
        ("echo 'slurm_load_jobs error: no controller' >&2; exit 1", "squeue failed (slurm_load"),
        ("sleep 60", "squeue did not answer within 0 s"),
    ],
)
def test_where_slurm_does_not_answer_the_records_time_tells(
    own_half, squeue, commands, lack, monkeypatch
):
    monkeypatch.setattr(queue_module, "SQUEUE_SECONDS", 0.2)
    path = killed_record(own_half)
    squeue(commands)
    facts = own_half.facts()
    assert facts["slurm"]["answers"] is False
    assert facts["slurm"]["lack"].startswith(lack)
    assert counts(facts, "sweep")[2:4] == (1, 1)
    os.utime(path, (time.time() - 1000,) * 2)
    assert counts(own_half.facts(), "sweep")[2:4] == (0, 2)


def test_jobs_that_wait_are_those_of_the_folder(own_half, squeue):
    (own_half.path / ".snakemake" / "locks").mkdir(parents=True)
    (own_half.path / ".snakemake" / "locks" / "0.input.lock").touch()
    here = own_half.path
    squeue(
        lines(
            f"1|RUNNING|{here}|rule_chunk_wildcards_small_ties_0",
            f"2|PENDING|{here}|rule_chunk_wildcards_small|with_bar",
            f"3|PENDING|{here}/.|group_chunk",
            f"3|PENDING|{here}|rule_chunk",  # a waiting array's tasks have its number
            f"4|PENDING|{here}|(null)",
            "5|PENDING|/elsewhere|rule_chunk",
        )
    )
    facts = own_half.facts()["slurm"]
    assert (facts["running"], facts["waiting"]) == (1, 3)
    assert (facts["orphans"], facts["head_not_seen"]) == ([], ["1", "2", "3", "3"])
    assert "no snakemake is seen here, though the folder is locked" in own_half.status().stdout


def test_jobs_without_a_head_are_orphans_once_the_folder_is_not_locked(own_half, squeue):
    squeue(lines(f"1|RUNNING|{own_half.path}|rule_chunk"))
    assert own_half.facts()["slurm"]["orphans"] == ["1"]
    told = " ".join(own_half.status().stdout.split())
    assert "no snakemake waits for these Slurm jobs any more: 1; let them end" in told


def test_a_head_that_is_a_job_of_slurms_is_seen(own_half, squeue):
    squeue(lines(f"1|RUNNING|{own_half.path}|rule_chunk", f"2|RUNNING|{own_half.path}|(null)"))
    facts = own_half.facts()["slurm"]
    assert (facts["orphans"], facts["head_not_seen"]) == ([], [])


def test_a_head_on_this_machine_is_seen(tmp_path):
    """By its command line and its folder; jobs' own snakemake processes are none."""
    import subprocess
    import sys

    assert not heads_of(tmp_path, []).seen
    program = "import sys; print(flush=True); sys.stdin.read()"
    script = tmp_path / "snakemake"
    script.write_text(program)
    for words, seen in ((["--cores", "1"], True), (["--mode", "remote"], False)):
        process = subprocess.Popen(
            [sys.executable, str(script), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
        )
        process.stdout.readline()
        assert heads_of(tmp_path, []).seen is seen
        process.communicate()


def test_no_squeue_is_no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_queue().jobs is None
    assert read_queue().lack == ""
