"""submit.sh: Snakemake's head as a job of its own, which may die, be cancelled or run out of time.

Without it a dead head leaves its jobs and its lock behind, and the next one refuses to start.
"""

import re
import subprocess
from dataclasses import dataclass

from tests.slurm.cluster import ask
from tests.slurm.heads import (
    CHUNK,
    LONG,
    QUICK,
    SOME,
    Study,
    all_half_way,
    fact,
    hold,
    processes_of,
    state,
    until,
)
from tests.slurm.side_by_side import together
from tests.workflow.workspace import ROOT, environment

SECOND = CHUNK.replace("average", "ties")


@dataclass
class Submitted:
    """A head that is a Slurm job."""

    number: str
    study: Study

    def text(self) -> str:
        log = self.study.folder / f"mergelaw-head-{self.number}.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def jobs(self) -> list[str]:
        return re.findall(r"submitted with SLURM jobid (\d+)", self.text())

    def half_way(self) -> str:
        """Hold its job once it has scored some merges; the job's number."""
        until(lambda: self.study.n_scored() >= SOME, f"merges\n{self.text()[-2000:]}")
        (job,) = self.jobs()
        hold(job)
        return job

    def becomes(self, expected: str) -> None:
        """Wait until the head is in a state."""
        until(
            lambda: state(self.number) == expected,
            f"{expected} of {self.number}, a head\n{self.text()[-3000:]}",
        )

    def kill(self) -> None:
        """Kill its processes without a word."""
        for process in processes_of(self.number):
            process.kill()


def submit(study: Study, *arguments: str) -> Submitted:
    """Run `sbatch submit.sh` for a study's chunks, on the node without a GPU."""
    command = ["sbatch", "--parsable", "-p", "cpu", "-t", "10", "--mem=2G", "--cpus-per-task=1"]
    command += [f"--chdir={study.folder}", str(ROOT / "profiles" / "slurm" / "submit.sh")]
    command += ["--snakefile", str(ROOT / "Snakefile"), *arguments, *QUICK]
    command += ["--configfile", str(study.write_config(LONG))]
    variables = environment() | {"SNAKEMAKE_PROFILE": str(ROOT / "profiles" / "slurm")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return Submitted(done.stdout.strip(), study)


@together
def test_what_a_dead_head_left_is_cleared_up_by_the_next_one_which_goes_on(scene):
    cured, bare = scene.arm("cured"), scene.arm("bare")
    dead, alone = submit(cured, CHUNK), scene.start(bare)
    orphan, _ = all_half_way(dead, alone)
    dead.kill()
    alone.end()
    dead.becomes("FAILED")
    assert state(orphan) == "RUNNING"
    follower = submit(cured, CHUNK)
    second = scene.start(bare)
    assert second.wait() == 1
    assert "cannot be locked" in second.text()
    follower.becomes("COMPLETED")
    assert state(orphan) == "CANCELLED"
    assert f"head {dead.number} has ended without clearing up" in follower.text()
    assert cured.chunk.read_bytes() == scene.whole
    assert cured.cost["n_resumed"] >= SOME


@together
def test_a_second_head_is_refused_and_a_cancelled_one_takes_its_jobs_along(scene):
    study = scene.arm("cured")
    first = submit(study, CHUNK)
    job = first.half_way()
    second = submit(study, CHUNK)
    second.becomes("FAILED")
    assert fact(second.number, "ExitCode") == "3:0"
    assert f"head {first.number} runs in this folder" in second.text()
    assert state(job) == "RUNNING"
    ask("scancel", first.number)
    until(lambda: state(job) == "CANCELLED", "the end of the head's job")
    first.becomes("CANCELLED")


@together
def test_a_head_whose_time_ends_queues_itself_again_and_goes_on(scene):
    study = scene.arm("cured")
    (study.folder / SECOND).unlink()
    head = submit(study, "--jobs", "1", CHUNK, SECOND)
    until(lambda: head.jobs(), "a job")
    # What Slurm sends some minutes before the time limit (`--signal`).
    ask("scancel", "--signal=USR1", "--batch", head.number)
    until(lambda: fact(head.number, "Restarts") == "1", f"a restart\n{head.text()[-2000:]}")
    assert study.chunk.exists() != (study.folder / SECOND).exists()
    head.becomes("COMPLETED")
    assert study.chunk.read_bytes() == scene.whole
    assert (study.folder / SECOND).exists()
    assert len(head.jobs()) == 2
