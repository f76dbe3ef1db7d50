"""What a study has cost: sums over hand-made records and cost.json files."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mergelaw.config import Study
from mergelaw.costs.summary import costs_json, costs_text, write_costs
from mergelaw.costs.sums import rows_of, seconds_per_merge, summed
from mergelaw.jobs.record import JobRecord, cost_path, record_path
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.processes import Process
from mergelaw.provenance import fingerprint
from mergelaw.tables import COSTS, read_provenance, read_table
from tests.helpers import study_of

EXPERT = {"size": "small", "expert": "code"}
CHUNK = {"size": "small", "method": "ties", "chunk": "0"}
H100 = "NVIDIA H100 80GB HBM3"
GONE = Process(host="here", machine="another boot", pid=1, started=1, slurm_job=None)


class Jobs:
    """Writes the records and costs of a study's jobs."""

    def __init__(self, study: Study, paths: StudyPaths) -> None:
        self.study, self.paths = study, paths

    def record(self, rule: str, targets: dict[str, str], **more: object) -> Path:
        values = {
            "state": "done",
            "rule": rule,
            "targets": targets,
            "stage": RULES[rule].stage,
            "attempt": 1,
            "failed_attempts": 0,
            "earlier_wall_seconds": 0.0,
            "earlier_gpu_seconds": 0.0,
            "process": GONE,
            "cuda_visible_devices": None,
            "gpus": 0,
            "merges_before": 0,
            "started": datetime.now(UTC),
            "wall_seconds": 5.0,
            "log": None,
        } | more
        if "slice" not in values:
            values["slice"] = fingerprint(self.study, RULES[rule].stage, rule, **targets)
        path = record_path(self.paths, rule, targets)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JobRecord(**values).model_dump_json())
        return path

    def done(self, rule: str, targets: dict[str, str], **cost: object) -> None:
        self.record(rule, targets)
        path = cost_path(self.paths, rule, targets)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"wall_seconds": 4.0, "cpu_seconds": 3.0} | cost))

    def rows(self) -> list[dict]:
        return read_table(write_costs(self.study, self.paths), COSTS).to_dicts()


@pytest.fixture
def jobs(tmp_path) -> Jobs:
    return Jobs(study_of(), StudyPaths(tmp_path / "tiny"))


def test_jobs_of_a_rule_are_summed_by_size_method_and_device(jobs):
    on_gpu = {"device_hours": {H100: 0.5}, "peak_memory_bytes": 10, "peak_device_bytes": 7}
    for chunk in ("0", "1"):
        jobs.done(
            "chunk", CHUNK | {"chunk": chunk}, tokens_read=100, n_tokens=9, flops=1e6, n_merges=4,
            merge_seconds=1.5, prepare_seconds=0.5, energy_joules=20.0, **on_gpu,
        )  # fmt: skip
    jobs.done("chunk", CHUNK | {"method": "dare"}, tokens_read=1, device_hours={"cpu": 0.25})
    ties, dare = jobs.rows()
    assert (ties["stage"], ties["rule"], ties["size"]) == ("sweep", "chunk", "small")
    assert (ties["method"], ties["device"], ties["n_jobs"]) == ("ties", H100, 2)
    assert (ties["wall_seconds"], ties["cpu_seconds"], ties["device_hours"]) == (8.0, 6.0, 1.0)
    assert (ties["n_tokens"], ties["flops"], ties["energy_joules"]) == (200, 2e6, 40.0)
    assert (ties["peak_memory_bytes"], ties["peak_device_bytes"]) == (10, 7)
    assert (ties["n_merges"], ties["merge_seconds"], ties["prepare_seconds"]) == (8, 3.0, 1.0)
    assert (dare["method"], dare["device"], dare["device_hours"]) == ("dare", "cpu", 0.25)
    assert dare["energy_joules"] is dare["flops"] is dare["n_merges"] is None


def test_what_one_job_does_not_tell_the_sum_does_not_tell(jobs):
    for chunk, joules in (("0", 20.0), ("1", None)):
        jobs.done(
            "chunk", CHUNK | {"chunk": chunk}, tokens_read=1, device_hours={"cpu": 0.25},
            energy_joules=joules,
        )  # fmt: skip
    assert jobs.rows()[0]["energy_joules"] is None
    assert json.loads(costs_json(jobs.paths.costs))["total"]["energy_joules"] is None


def test_light_jobs_have_their_cost_with_their_record(jobs):
    jobs.done("items", {"domain": "code"})
    jobs.done("items", {"domain": "algebra"})
    [row] = jobs.rows()
    assert (row["n_jobs"], row["wall_seconds"], row["cpu_seconds"]) == (2, 8.0, 6.0)
    assert row["size"] is row["device"] is row["device_hours"] is row["n_tokens"] is None


@pytest.mark.parametrize(
    ("rule", "targets"),
    [
        ("items", {"domain": "physics"}),
        ("base", {"size": "huge"}),
        ("expert", {"size": "small", "expert": "physics"}),
        ("chunk", CHUNK | {"chunk": "99"}),
        ("chunk", CHUNK | {"method": "slerp"}),
        ("multitask", {"size": "small"}),
        ("orders", {"size": "small"}),
        ("scales", {"size": "small"}),
        ("cell", {"size": "small", "method": "ties", "subset": "algebra+physics"}),
        ("part", {"part": "huge/ties"}),
    ],
)
def test_jobs_that_the_study_has_no_more_are_left_out(jobs, rule, targets):
    jobs.record(rule, targets, slice="0123456789abcdef")
    assert jobs.rows() == []
    assert read_provenance(jobs.paths.costs)["n_left_out"] == "1"


def test_given_checkpoints_cost_nothing(tmp_path):
    """Their records are of a time when the study trained them."""
    trained = Jobs(study_of(), StudyPaths(tmp_path / "tiny"))
    trained.done("expert", EXPERT, tokens_read=1)
    size = {"name": "small", "base": "/models/base", "experts": {"code": "/models/code"}}
    given = study_of(("tokenizer", {"path": "/models/base"}), ("sizes", [size]))
    assert trained.rows()[0]["n_jobs"] == 1
    assert Jobs(given, trained.paths).rows() == []


def test_jobs_of_another_config_are_left_out_and_told(jobs):
    jobs.done("expert", EXPERT, tokens_read=1)
    jobs.record("shards", {}, slice="0123456789abcdef")
    rows = jobs.rows()
    assert [row["rule"] for row in rows] == ["expert"]
    assert "not counted: 1 job of another config or version" in costs_text(jobs.paths.costs)


def test_failed_attempts_are_counted_apart(jobs):
    jobs.done("expert", EXPERT, tokens_read=50, device_hours={H100: 2.0})
    jobs.record(
        "expert", EXPERT, gpus=2, attempt=5, failed_attempts=4, earlier_wall_seconds=999.0,
        earlier_gpu_seconds=999.0, tries=3, tries_wall_seconds=600.0, tries_gpu_seconds=1200.0,
    )  # fmt: skip
    jobs.record("fits", {}, state="failed", wall_seconds=7.0, tries=1, tries_wall_seconds=3.0)
    expert, fits = jobs.rows()
    assert (expert["n_jobs"], expert["wall_seconds"], expert["device_hours"]) == (1, 4.0, 2.0)
    assert (expert["n_failed"], expert["failed_seconds"]) == (3, 600.0)
    assert expert["failed_device_hours"] == pytest.approx(1200 / 3600)
    assert (fits["n_jobs"], fits["wall_seconds"], fits["cpu_seconds"]) == (0, 0.0, None)
    assert (fits["n_failed"], fits["failed_seconds"], fits["failed_device_hours"]) == (2, 10, None)


def test_a_killed_job_failed_and_one_that_may_run_is_told(jobs):
    killed = Process.own().model_copy(update={"pid": 2**22 - 1, "started": 1})
    path = jobs.record(
        "base", {"size": "small"}, state="running", wall_seconds=None, process=killed,
        started=datetime.fromtimestamp(1000, UTC),
    )  # fmt: skip
    os.utime(path, (1060, 1060))
    jobs.record("expert", EXPERT, state="running", wall_seconds=None)
    [row] = jobs.rows()
    assert (row["rule"], row["n_jobs"], row["n_failed"]) == ("base", 0, 1)
    assert row["failed_seconds"] == pytest.approx(60)
    assert row["failed_device_hours"] == pytest.approx(60 / 3600)
    assert "the last attempt of 1 job that run" in costs_text(jobs.paths.costs)


@pytest.mark.parametrize("content", ["", "[]", '{"cpu_seconds": 1}', '{"wall_seconds": NaN}'])
def test_a_job_without_a_readable_cost_has_its_wall_time_alone(jobs, content):
    jobs.done("expert", EXPERT)
    cost_path(jobs.paths, "expert", EXPERT).write_text(content)
    [row] = jobs.rows()
    assert (row["n_jobs"], row["wall_seconds"], row["cpu_seconds"]) == (1, 5.0, None)
    assert "of 1 job only the wall time is known" in costs_text(jobs.paths.costs)


def test_rows_are_in_the_order_of_the_study(jobs):
    for size in ("large", "small"):
        jobs.done("base", {"size": size}, tokens_read=1)
        for method in ("dare", "average"):
            jobs.done("chunk", {"size": size, "method": method, "chunk": "0"}, tokens_read=1)
    jobs.done("items", {"domain": "code"})
    assert [(row["rule"], row["size"], row["method"]) for row in jobs.rows()] == [
        ("items", None, None),
        ("base", "small", None),
        ("base", "large", None),
        ("chunk", "small", "average"),
        ("chunk", "small", "dare"),
        ("chunk", "large", "average"),
        ("chunk", "large", "dare"),
    ]


def test_the_text_has_a_line_per_row_and_sums_by_stage(jobs):
    jobs.done("base", {"size": "small"}, tokens_read=1000, device_hours={"cpu": 0.5})
    jobs.done("training_logs", {"size": "small"})
    jobs.rows()
    lines = costs_text(jobs.paths.costs).splitlines()
    assert [line.split("  ")[0] for line in lines[:5]] == [
        *("rule", "base", "training_logs", "experts: all", "total"),
    ]
    assert lines[3].split()[:6] == ["experts:", "all", "2", "8.0", "s", "6.0"]
    content = json.loads(costs_json(jobs.paths.costs))
    assert [part["stage"] for part in content["stages"]] == ["experts"]
    # a job without a model has no tokens to tell
    assert content["stages"][0]["n_tokens"] == content["total"]["n_tokens"] == 1000
    assert (content["total"]["n_jobs"], content["n_left_out"]) == (2, 0)


def test_sums_that_sections_take(jobs):
    jobs.done("expert", EXPERT, tokens_read=5, device_hours={"cpu": 1.0})
    jobs.done("expert", EXPERT | {"expert": "algebra"}, tokens_read=7, device_hours={"cpu": 2.0})
    jobs.done("expert", EXPERT | {"size": "large"}, tokens_read=9, device_hours={"cpu": 4.0})
    jobs.done(
        "chunk", CHUNK, tokens_read=3, n_merges=4, merge_seconds=2.0, prepare_seconds=1.0
    )  # fmt: skip
    frame = pl.DataFrame(jobs.rows(), schema=dict(COSTS))
    at_small = summed(rows_of(frame, "expert", size="small"))
    assert (at_small["n_jobs"], at_small["n_tokens"], at_small["device_hours"]) == (2, 12, 3.0)
    assert summed(rows_of(frame, "expert", "multitask"))["device_hours"] == 7.0
    assert summed(rows_of(frame, "multitask"))["device_hours"] is None
    assert seconds_per_merge(rows_of(frame, "chunk")) == (0.5, 0.75)
    assert seconds_per_merge(rows_of(frame, "expert")) is None
