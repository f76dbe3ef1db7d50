"""SIGTERM and Ctrl-C on real processes: words, exit status, nothing left behind, work kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mergelaw.jobs.record import n_scored, read_record
from mergelaw.paths import StudyPaths
from mergelaw.sweep.chunk import run_chunk
from tests.helpers import study_of

RESUMED = ("mask_seeds", list(range(60)))
"""Makes a chunk of 300 merges, a few seconds long."""


def wait_for(condition) -> None:
    while not condition():
        time.sleep(0.005)


def is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def chunk(own_copy, tmp_path, monkeypatch):
    """Start the job of a chunk by the command line; its study, and its paths."""
    from tests.helpers import study_dict

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    study, (_, copied) = study_of(RESUMED), own_copy
    (tmp_path / "results").mkdir()
    copied.root.rename(tmp_path / "results" / "tiny")
    (tmp_path / "tiny.json").write_text(json.dumps(study_dict(RESUMED)))

    def start(**variables: str) -> subprocess.Popen[str]:
        words = "sweep chunk --config tiny.json --size small --method dare --chunk 0"
        return subprocess.Popen(
            [sys.executable, "-m", "mergelaw", *words.split()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )

    return study, StudyPaths.of(study), start


@pytest.mark.parametrize(
    ("number", "variables", "words"),
    [
        (signal.SIGTERM, {}, "ended by SIGTERM (sent by another process)"),
        (
            signal.SIGTERM,
            {"SLURM_JOB_ID": "12"},
            "ended by SIGTERM (Slurm job 12: cancelled, preempted or out of time)",
        ),
        (signal.SIGINT, {}, "interrupted"),
    ],
)
def test_a_chunk_that_is_ended_tells_what_it_keeps_and_goes_on(
    chunk, number, variables, words, tmp_path
):
    study, paths, start = chunk
    progress = paths.chunk_progress("small", "dare", 0)
    process = start(**variables)
    wait_for(lambda: n_scored(progress) >= 3 or process.poll() is not None)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 128 + number
    kept = n_scored(progress)
    assert 3 <= kept < 240
    note = f"{kept} scored merges are kept in {progress}: the same job, run again, goes on after"
    assert f"{words}\n{note} that\n" in told
    assert "Traceback" not in told
    record = read_record(paths.job_record("chunk", "small", "dare", "0"))
    assert (record.state, record.error.splitlines()[0]) == ("failed", words)
    assert not paths.chunk("small", "dare", 0).exists()
    assert not list(tmp_path.rglob("*.part"))

    again = start()
    again.communicate()
    assert again.returncode == 0
    table = paths.chunk("small", "dare", 0)
    resumed = table.read_bytes()
    cost = json.loads(paths.chunk_cost("small", "dare", 0).read_text())
    assert cost["n_resumed"] >= kept
    table.unlink()
    run_chunk(study, paths, "small", "dare", 0)
    assert table.read_bytes() == resumed
    again = read_record(paths.job_record("chunk", "small", "dare", "0"))
    assert (again.state, again.attempt, again.merges_before) == ("done", 2, kept)


def test_a_job_that_keeps_nothing_says_so(chunk, tmp_path):
    _, paths, start = chunk
    process = start()
    record = paths.job_record("chunk", "small", "dare", "0")
    wait_for(record.exists)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 143
    assert told.endswith("nothing of this job is kept: run again, it begins anew\n")
    assert read_record(record).state == "failed"


TEAM = """
import os, sys, time
from mergelaw import cli
from mergelaw.merging.workers import parallel

def work(items):
    for item in items:
        print(os.getpid(), flush=True)
        if item < {slow_from}:
            yield item
        time.sleep(600)

def app():
    for result in parallel(work, [0, 1], 2):
        print("got", result, flush=True)
        time.sleep(600)

cli.app = app
cli.main()
"""


@pytest.mark.parametrize("slow_from", [0, 2], ids=["waiting for workers", "between two results"])
@pytest.mark.parametrize("of_group", [False, True], ids=["the process", "its group"])
def test_an_ended_process_leaves_no_workers(slow_from, of_group):
    process = subprocess.Popen(
        [sys.executable, "-c", TEAM.format(slow_from=slow_from)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = [process.stdout.readline() for _ in range(3 if slow_from else 2)]
    workers = [int(line) for line in lines if line.strip().isdigit()]
    assert all(map(is_there, workers))
    if of_group:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    _, told = process.communicate()
    assert process.returncode == 143
    assert told.startswith("ended by SIGTERM")
    wait_for(lambda: not any(map(is_there, workers)))


def test_a_signal_in_the_middle_of_a_fork_is_not_lost():
    """Python drops what is raised there; workers begin while their parent still forks."""
    program = (
        "import os, signal, time; from mergelaw import cli\n"
        "def app():\n"
        "    os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "    os.fork() or os._exit(0)\n"
        "    time.sleep(600)\n"
        "cli.app = app; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 143
    assert done.stderr.startswith("ended by SIGTERM")


CLEANING = """
import multiprocessing, os, sys, time
from pathlib import Path
from mergelaw import cli
from mergelaw.files import atomic_directory

def app():
    with atomic_directory(Path("made")) as part:
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        child.start()
        print(child.pid, flush=True)
        time.sleep(600)

cli.app = app
cli.main()
"""


def test_temporary_files_go_and_only_their_process_removes_them(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", CLEANING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    child = int(process.stdout.readline())
    os.kill(child, signal.SIGTERM)  # at times before it has begun: it ends all the same
    wait_for(lambda: not is_there(child))
    assert process.poll() is None, process.communicate()
    assert list(tmp_path.glob(".made.*.part")), "a forked process has nothing to clean"
    process.terminate()
    assert process.wait() == 143
    assert not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_so():
    """A shell's background jobs ignore Ctrl-C."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from mergelaw.signals import end_in_order; end_in_order()\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n"


# --- held back ---

HELD = """
import os, signal, time
from mergelaw.signals import EndedBySignal, end_in_order, held_back

end_in_order()
print(os.getpid(), flush=True)
with held_back() as come:
    while not come():
        time.sleep(0.01)
    time.sleep(0.3)  # further signals change nothing
    print("finished", come(), flush=True)
print("waits", flush=True)
try:
    time.sleep(60)
except EndedBySignal as end:
    print("ended", end.number, flush=True)
"""


def test_signals_held_back_let_work_end_where_it_chooses_to():
    process = subprocess.Popen(
        [sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    lines = iter(process.stdout.readline, "")
    pid = int(next(lines))
    time.sleep(0.2)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
        time.sleep(0.05)
    assert next(lines).split() == ["finished", "15"]
    assert next(lines).strip() == "waits"
    os.kill(pid, signal.SIGINT)
    assert next(lines).split() == ["ended", "2"]
    assert process.wait(timeout=10) == 0


def test_a_training_ended_by_sigterm_keeps_its_steps_and_goes_on(own_copy, tmp_path, monkeypatch):
    """By the command line, in one process; what it goes on to is tested in tests/experts."""
    from tests.helpers import study_dict

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    (tmp_path / "results").mkdir()
    own_copy[1].root.rename(tmp_path / "results" / "tiny")
    paths = StudyPaths(tmp_path / "results" / "tiny")
    (tmp_path / "tiny.json").write_text(json.dumps(study_dict(("training.expert.steps", 3000))))
    log = paths.training_progress("small", "code") / "log.jsonl"

    def start() -> subprocess.Popen[str]:
        words = "experts expert --config tiny.json --size small --expert code"
        return subprocess.Popen(
            [sys.executable, "-m", "mergelaw", *words.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    done = 0
    for _ in range(2):
        job = start()
        wait_for(lambda: log.is_file() and log.read_bytes().count(b"\n") > done + 20)  # noqa: B023
        job.send_signal(signal.SIGTERM)
        printed, _ = job.communicate(timeout=60)
        assert job.returncode == 143, printed
        kept = log.read_bytes().count(b"\n")
        assert f"{kept} of 3000 steps are kept in" in printed
        assert (f"goes on after {done} of 3000 steps" in printed) == (done > 0)
        assert kept > done + 20
        assert "Traceback" not in printed
        done = kept
    record = read_record(paths.job_record("expert", "small", "code"))
    assert (record.state, record.attempt) == ("failed", 2)
