"""What goes wrong on a cluster: noticed, tried again, gone on with; and what happens otherwise.

Each test has two arms: the profile, and the profile with what helps taken away.
"""

import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import ask
from tests.slurm.heads import (
    N_MERGES,
    SOME,
    Study,
    accounted,
    all_half_way,
    fact,
    record,
    state,
    until,
)
from tests.slurm.side_by_side import together
from tests.workflow.workspace import ROOT

NO_RETRY = ("--retries", "0")


def partition(name: str) -> tuple[str, ...]:
    return ("--set-resources", f"chunk:slurm_partition={name}")


def leave_the_queue(job: str) -> None:
    """Make of a job what it is where jobs do not ask to be queued again."""
    ask("scontrol", "update", f"JobId={job}", "Requeue=0")


@together
def test_a_cancelled_job_is_noticed_by_squeue_and_goes_on_from_what_it_had(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    head = scene.start(cured)
    blind = scene.start(bare, "--slurm-status-command", "sacct", *NO_RETRY)
    scored, _ = all_half_way(head, blind)
    for one in (head, blind):
        ask("scancel", one.job())
    head.succeeds()
    assert cured.chunk.read_bytes() == scene.whole
    assert scored <= cured.cost["n_resumed"] < N_MERGES
    assert len(head.jobs()) == 2
    assert record(cured)["failed_attempts"] == 1  # it saw its signal and ended in good order
    # What sacct says of it is no state that the plugin knows: the head waits for the job for ever.
    assert accounted(blind.job(), "State")[0].startswith("CANCELLED by")
    assert blind.process.poll() is None
    assert "Error in rule" not in blind.text()


@together
def test_a_preempted_job_goes_back_into_the_queue_and_goes_on(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    head, stuck = (scene.start(arm, *partition("spot")) for arm in (cured, bare))
    all_half_way(head, stuck)
    leave_the_queue(stuck.job())
    command = ["sbatch", "--parsable", "-p", "urgent", "--exclusive", "-o", "/dev/null"]
    urgent = ask(*command, "--wrap", "sleep 2").strip()
    until(lambda: state(urgent) == "COMPLETED", "the urgent job")
    head.succeeds()
    assert fact(head.job(), "Restarts") == "1"
    assert len(head.jobs()) == 1
    assert record(cured)["failed_attempts"] == 1
    assert cured.chunk.read_bytes() == scene.whole
    assert cured.cost["n_resumed"] >= SOME
    # The plugin takes the state for one that Slurm ends by itself.
    assert state(stuck.job()) == "PREEMPTED"
    assert stuck.process.poll() is None
    assert not bare.chunk.exists()


@together
def test_a_job_of_a_broken_node_goes_on_at_another_one(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    head = scene.start(cured, *partition("frail"))
    stuck = scene.start(bare, *partition("frail"))
    all_half_way(head, stuck)
    leave_the_queue(stuck.job())
    (node,) = {fact(one.job(), "NodeList") for one in (head, stuck)}
    scene.cluster.break_node(node)
    head.succeeds()
    assert fact(head.job(), "NodeList") != node
    assert fact(head.job(), "Restarts") == "1"
    assert cured.chunk.read_bytes() == scene.whole
    assert cured.cost["n_resumed"] >= SOME
    # The plugin trusts that Slurm queues it again.
    assert state(stuck.job()) == "NODE_FAIL"
    assert stuck.process.poll() is None
    assert not bare.chunk.exists()


@together
def test_a_job_that_met_its_time_limit_asks_for_more_time_and_goes_on(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    head, lost = scene.start(cured), scene.start(bare, *NO_RETRY)
    all_half_way(head, lost)
    for one in (head, lost):
        # Not "now": in the next second that is a time that is past, and refused.
        ask("scontrol", "update", f"JobId={one.job()}", "EndTime=now+5")
    head.succeeds()
    assert lost.wait() == 1
    first, second = head.jobs()
    assert accounted(first, "State") == ["TIMEOUT"]
    assert minutes(second) > minutes(first)
    assert cured.chunk.read_bytes() == scene.whole
    assert cured.cost["n_resumed"] >= SOME
    assert "TIMEOUT" in lost.text()


def minutes(job: str) -> int:
    """Time limit of a job."""
    return int(accounted(job, "TimelimitRaw")[0])


@together
def test_a_job_that_wanted_too_much_memory_is_killed_and_asks_for_more(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    little = ("--set-resources", "chunk:mem_mb=250 + 1500 * (attempt - 1)")
    head = scene.start(cured, *little)
    # Retries of the rule: the inner Snakemake's, in the job that has too little.
    lost = scene.start(
        bare, *little, *NO_RETRY, project=project_with_retries(scene.folder / "project")
    )
    head.succeeds()
    assert lost.wait() == 1
    assert [accounted(job, "ReqMem") for job in head.jobs()] == [["250M"], ["1750M"]]
    assert [accounted(job, "ReqMem") for job in lost.jobs()] == [["250M"]]
    assert "exceeded memory limit" in head.job_log()
    assert cured.chunk.read_bytes() == scene.whole


def project_with_retries(folder: Path) -> Path:
    """A copy of the project whose rule has the retries instead of the profile."""
    folder.mkdir()
    for name in ("workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "slurm"):
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    (folder / "src").symlink_to(ROOT / "src")
    rules = folder / "workflow" / "rules" / "sweep.smk"
    text = rules.read_text(encoding="utf-8")
    line = '    threads: threads_of("chunk")\n'
    assert line in text
    rules.write_text(text.replace(line, f"    retries: 2\n{line}"), encoding="utf-8")
    return folder


@together
def test_files_that_another_node_shows_late_are_waited_for(scene):
    if not can_mount(scene.folder):
        pytest.skip("a folder that is shown late needs the right to mount one: unshare --mount")
    cured, bare = scene.arm("cured"), scene.arm("bare")
    seen = [show_late(arm, scene.folder / f"late_{arm.folder.name}") for arm in (cured, bare)]
    head = scene.start(cured, prefix=seen[0])
    lost = scene.start(bare, "--latency-wait", "1", *NO_RETRY, prefix=seen[1])
    head.succeeds()
    assert lost.wait() == 1
    assert cured.chunk.read_bytes() == scene.whole
    assert state(lost.job()) == "COMPLETED"
    assert bare.chunk.read_bytes() == scene.whole
    assert "latency" in lost.text()


def can_mount(folder: Path) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "mount", "--bind", str(folder), str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def show_late(study: Study, late: Path, seconds: float = 45) -> tuple[str, ...]:
    """Let a head see the chunk's folder in a state some seconds old; what to start the head with.

    Jobs of other nodes have the folder itself. The time is longer than between two looks at the
    queue, and shorter than the profile's patience.
    """
    late.mkdir()
    folder = study.chunk.parent

    def follow() -> None:
        until(study.chunk.exists, "the chunk")
        time.sleep(seconds)
        shutil.copytree(folder, late, dirs_exist_ok=True)

    threading.Thread(target=follow, daemon=True).start()
    bind = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return ("unshare", "--mount", "bash", "-c", bind, str(late), str(folder))
