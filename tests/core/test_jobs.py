"""Records of jobs: real commands, what their records say, and that no record breaks a job."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from mergelaw.config import read_study
from mergelaw.costs import add_work
from mergelaw.errors import BusyError, ConfigError
from mergelaw.jobs import recording
from mergelaw.jobs.record import JobRecord, cost_path, n_scored, read_record
from mergelaw.jobs.recording import recorded
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.provenance import SLICES, fingerprint
from mergelaw.records import record_line
from mergelaw.signals import EndedBySignal

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "config" / "smoke.yaml"
ITEMS = Path("results/smoke/jobs/items/algebra.json")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder without a scheduler's variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def items(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the job that makes the items of one domain, its output in a log."""
    with Path("items.log").open("w") as log:
        words = ["data", "items", "--config", str(SMOKE), "--domain", "algebra"]
        return subprocess.run(
            [sys.executable, "-m", "mergelaw", *words],
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )


def test_every_rule_of_the_workflow_has_a_place():
    assert RULES.keys() == SLICES.keys()


def test_a_finished_job_tells_what_it_was(here):
    before = time.time()
    assert items(SLURM_JOB_ID="77", CUDA_VISIBLE_DEVICES="2,3").returncode == 0
    record = read_record(here / ITEMS)
    assert (record.state, record.rule, record.stage) == ("done", "items", "data")
    assert record.targets == {"domain": "algebra"}
    assert record.slice == fingerprint(read_study(SMOKE), "data", "items", domain="algebra")
    assert (record.attempt, record.failed_attempts, record.earlier_wall_seconds) == (1, 0, 0)
    assert (record.process.slurm_job, record.gpus) == ("77", 2)
    assert record.cuda_visible_devices == "2,3"
    assert record.gpu_used is False
    assert record.process.host == os.uname().nodename
    assert record.log == "items.log"
    assert before < record.started.timestamp() < record.ended.timestamp() < time.time()
    ran = (record.ended - record.started).total_seconds()
    assert record.wall_seconds == pytest.approx(ran, abs=0.1)
    assert sorted(path.name for path in (here / ITEMS).parent.iterdir()) == [ITEMS.name, "costs"]
    cost = json.loads((here / ITEMS.parent / "costs" / ITEMS.name).read_text())
    assert (cost["stage"], cost["domain"], cost["slice"]) == ("data", "algebra", record.slice)
    assert 0 < cost["wall_seconds"] <= record.wall_seconds
    assert cost["device_hours"] == {}


def test_a_failed_job_tells_why_and_the_next_attempt_counts_on(here):
    Path("results/smoke/data").mkdir(parents=True)
    Path("results/smoke/data/items").write_text("in the way")
    assert items(CUDA_VISIBLE_DEVICES="0").returncode == 1
    first = read_record(here / ITEMS)
    assert first.state == "failed"
    assert first.error == "File exists: results/smoke/data/items"
    Path("results/smoke/data/items").unlink()
    assert items().returncode == 0
    second = read_record(here / ITEMS)
    assert (second.state, second.attempt, second.failed_attempts) == ("done", 2, 1)
    assert second.error is None
    assert second.earlier_wall_seconds == second.earlier_gpu_seconds == first.wall_seconds
    assert (second.tries, second.tries_wall_seconds) == (1, first.wall_seconds)
    assert second.tries_gpu_seconds == first.wall_seconds
    assert items().returncode == 0
    third = read_record(here / ITEMS)
    assert (third.failed_attempts, third.tries, third.tries_wall_seconds) == (1, 0, 0)


def test_an_attempt_under_another_config_is_none_of_its_tries(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    for _ in range(2):
        with pytest.raises(ConfigError), recorded(study, paths, "fits"):
            raise ConfigError("wrong")
    assert read_record(paths.job_record("fits")).tries == 1
    other = study.model_copy(update={"seed": 5})
    with recorded(other, paths, "fits"):
        pass
    record = read_record(paths.job_record("fits"))
    assert (record.failed_attempts, record.tries) == (2, 0)


def test_a_failed_job_leaves_no_cost(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    with pytest.raises(ConfigError), recorded(study, paths, "fits"):
        raise ConfigError("wrong")
    assert not cost_path(paths, "fits", {}).exists()


def test_work_of_models_counts_as_the_job_s(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    names = {"size": "w16", "method": "ties", "subset": "algebra+code"}
    with recorded(study, paths, "cell_losses", **names):
        add_work(12, 34.0)
    cost = json.loads(cost_path(paths, "cell_losses", names).read_text())
    assert (cost["tokens_read"], cost["flops"], cost["subset"]) == (12, 34.0, "algebra+code")
    assert cost["device_hours"] == {"cpu": cost["wall_seconds"] / 3600}


def test_jobs_with_a_cost_json_of_their_own_get_no_second_one(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    targets = {"domain": "code", "size": "w16", "method": "ties", "expert": "code", "chunk": "0"}
    targets |= {"subset": "code", "part": "w16/ties"}
    targets |= {"analysis": "gaps", "figure": "gains", "page": "full"}
    own = set()
    for name, rule in RULES.items():
        names = {target: targets[target] for target in rule.targets}
        place = cost_path(paths, name, names)
        if paths.root / "jobs" not in place.parents:
            own.add(name)
            assert place.name.endswith("cost.json")
    training, sweep = {"base", "expert", "multitask"}, {"chunk", "scales", "best_scales", "orders"}
    assert own == training | sweep | {"cell", "task_vectors", "derivatives", "weights"}
    with recorded(study, paths, "task_vectors", size="w16"):
        pass
    assert not list(paths.root.rglob("*cost*"))


def test_a_killed_job_counts_until_its_last_sign_of_life(here):
    items(CUDA_VISIBLE_DEVICES="0,1")
    raw = json.loads(ITEMS.read_text())
    raw |= {"state": "running", "ended": None, "wall_seconds": None}
    ITEMS.write_text(json.dumps(raw))
    seen = datetime.fromisoformat(raw["started"]).timestamp() + 100
    os.utime(ITEMS, (seen, seen))
    items()
    record = read_record(here / ITEMS)
    assert (record.attempt, record.failed_attempts) == (2, 1)
    assert record.earlier_wall_seconds == pytest.approx(100, abs=0.01)
    assert record.earlier_gpu_seconds == pytest.approx(200, abs=0.02)


@pytest.mark.parametrize("content", ["", "{", '{"state": "done"}', "[]"])
def test_a_record_that_cannot_be_read_counts_as_none(here, content):
    ITEMS.parent.mkdir(parents=True)
    ITEMS.write_text(content)
    assert items().returncode == 0
    assert read_record(here / ITEMS).attempt == 1


def test_a_record_that_cannot_be_written_breaks_no_job(here):
    Path("results/smoke").mkdir(parents=True)
    Path("results/smoke/jobs").write_text("in the way")
    done = items()
    assert done.returncode == 0
    assert f"{ITEMS}: `mergelaw status` is not told (" in done.stderr
    assert "Traceback" not in done.stderr
    assert Path("results/smoke/data/items/algebra.parquet").exists()


def test_a_second_process_that_has_to_leave_gives_the_record_back(here):
    """The one that does the job goes on telling of it."""
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    with recorded(study, paths, "shards"):
        path = paths.job_record("shards")
        first = path.read_bytes()
        with pytest.raises(BusyError), recorded(study, paths, "shards"):
            raise BusyError("process 1 does it")
        assert path.read_bytes() == first


@pytest.mark.parametrize("end", [BusyError("taken over"), EndedBySignal(signal.SIGTERM)])
def test_a_process_that_was_taken_over_leaves_its_followers_record(here, end):
    """It was suspended for long, and finds out when it wants to keep a merge."""
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    path = paths.job_record("shards")
    suspended, follower = (recorded(study, paths, "shards") for _ in range(2))
    suspended.__enter__()
    follower.__enter__()
    assert not suspended.__exit__(type(end), end, None)
    assert (read_record(path).state, read_record(path).attempt) == ("running", 2)
    follower.__exit__(None, None, None)
    assert (read_record(path).state, read_record(path).attempt) == ("done", 2)


def test_a_process_that_has_to_leave_before_any_record_was_there_leaves_none(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    with pytest.raises(BusyError), recorded(study, paths, "shards"):
        raise BusyError("process 1 does it")
    assert not paths.job_record("shards").exists()


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("0", 1),
        ("0,1,2", 3),
        ("GPU-8932f937, MIG-1", 2),
        ("", 0),
        ("-1", 0),
        ("0,-1,1", 1),
        ("NoDevFiles", 0),
    ],
)
def test_granted_gpus_are_those_that_cuda_sees(here, monkeypatch, visible, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    study = read_study(SMOKE)
    with recorded(study, StudyPaths.of(study), "fits"):
        assert read_record(StudyPaths.of(study).job_record("fits")).gpus == gpus


def wait_for(condition) -> None:
    """Wait until something holds; a test that waits for ever is ended from outside."""
    while not condition():
        time.sleep(0.01)


def test_a_running_job_shows_signs_of_life(here, monkeypatch):
    monkeypatch.setattr(recording, "BEAT_SECONDS", 0.02)
    study = read_study(SMOKE)
    path = StudyPaths.of(study).job_record("fits")
    with recorded(study, StudyPaths.of(study), "fits"):
        os.utime(path, (0, 0))
        wait_for(lambda: path.stat().st_mtime > 0)
        assert read_record(path).state == "running"


def test_a_running_job_tells_that_it_uses_a_gpu(here, monkeypatch):
    import torch

    monkeypatch.setattr(recording, "BEAT_SECONDS", 0.02)
    study = read_study(SMOKE)
    path = StudyPaths.of(study).job_record("fits")
    with recorded(study, StudyPaths.of(study), "fits"):
        assert read_record(path).gpu_used is False
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)  # GPUs are rare in tests
        wait_for(lambda: read_record(path).gpu_used)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert read_record(path).gpu_used is True, "a GPU that was used stays used"


def test_an_error_is_kept_in_its_first_lines(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    with pytest.raises(ConfigError), recorded(study, paths, "fits"):
        raise ConfigError("\n".join(map(str, range(30))))
    assert read_record(paths.job_record("fits")).error == "\n".join(map(str, range(8)))


def test_a_part_has_one_record_below_its_rule(here):
    study = read_study(SMOKE)
    paths = StudyPaths.of(study)
    with recorded(study, paths, "part", part="w16/ties"):
        pass
    record = read_record(paths.root / "jobs" / "part" / "w16~ties.json")
    assert record.targets == {"part": "w16/ties"}


def test_scored_merges_are_counted_without_base_and_torn_line(tmp_path):
    progress = tmp_path / "0.progress"
    lines = [record_line({"format": "f"})]
    lines += [record_line([0, name, [[1.5]]]) for name in ("base", "a", "a+b")]
    progress.write_bytes(b"".join(lines))
    assert n_scored(progress) == 2
    progress.write_bytes(b"".join(lines)[:-1])
    assert n_scored(progress) == 1
    assert n_scored(tmp_path / "none") == n_scored(None) == 0


def test_the_record_is_json_of_its_fields(here):
    items()
    assert json.loads(ITEMS.read_text()).keys() == JobRecord.model_fields.keys()
