"""`mergelaw status` on real runs: every number checked by hand from the records and the design."""

import json
import os
import shutil
import signal
import time

import pytest

from mergelaw.jobs.record import n_scored, record_path
from mergelaw.provenance import fingerprint
from tests.status.studies import Folder, change_process, counts

MERGES = 7
"""Merges of the tiny study with one method: subsets of three experts."""


def test_stages_count_the_reports_jobs(facts):
    assert counts(facts, "data") == (7, 6, 0, 0, 1), "no subset list was made"
    assert counts(facts, "experts") == (8, 8, 0, 0, 0)
    assert counts(facts, "sweep") == (17, 2, 0, 2, 13)
    assert counts(facts, "merge") == (2, 0, 0, 0, 2)
    assert counts(facts, "laws")[:2] == (8, 0)
    assert [row["stage"] for row in facts["stages"]] == [
        *("data", "experts", "sweep", "merge", "laws", "report")
    ]


def test_merges_are_those_of_done_and_begun_chunks(half, facts):
    kept = n_scored(half.paths.chunk_progress("small", "dare", 0))
    assert kept >= 5
    assert facts["merges"]["scored"] == MERGES + kept
    assert facts["merges"]["all"] == 2 * (3 * MERGES + 60 * MERGES)


def test_merges_an_hour_are_counted_over_the_time_that_the_sweep_ran(half, facts):
    """One after the other ran two jobs that are done and the killed one; others scored nothing."""
    done = [half.record("chunk", "small", "average", index).wall_seconds for index in "01"]
    seen = half.paths.job_record("chunk", "small", "dare", "0").stat().st_mtime
    killed = seen - half.record("chunk", "small", "dare", "0").started.timestamp()
    hours, merges = (sum(done) + killed) / 3600, facts["merges"]
    assert merges["per_hour_over_minutes"] == pytest.approx(60 * hours, abs=0.001)
    assert merges["per_hour"] == pytest.approx(merges["scored"] / hours, rel=1e-3)


def test_gpu_hours_are_gpus_times_time_by_all_attempts(half, facts):
    hours = facts["gpu_hours"]
    done = half.record("chunk", "small", "average", "0")
    killed = half.record("chunk", "small", "dare", "0")
    seen = half.paths.job_record("chunk", "small", "dare", "0").stat().st_mtime
    lost = seen - killed.started.timestamp()
    assert hours["spent"] == pytest.approx((2 * done.wall_seconds + lost) / 3600, abs=1e-6)
    assert hours["spent_by_failed_attempts"] == pytest.approx(lost / 3600, abs=1e-6)


def test_job_time_counts_earlier_attempts_too(half, facts):
    ties = half.record("chunk", "large", "ties", "0")
    assert (ties.attempt, ties.failed_attempts) == (2, 1)
    records = [
        half.record("chunk", "small", *name) for name in (("average", "0"), ("average", "1"))
    ]
    whole = sum(record.wall_seconds for record in (*records, ties)) + ties.earlier_wall_seconds
    killed = half.record("chunk", "small", "dare", "0")
    seen = half.paths.job_record("chunk", "small", "dare", "0").stat().st_mtime
    whole += seen - killed.started.timestamp()
    assert facts["job_hours"]["spent"] == pytest.approx(whole / 3600, abs=1e-6)


def test_what_is_left_is_measured_where_jobs_of_its_kind_ran_and_modelled_elsewhere(facts):
    jobs = facts["job_hours"]
    assert 0 < jobs["left_by_model"] < jobs["left"]
    assert jobs["model_of"] == "H100", "jobs were granted GPUs"
    assert facts["time_left_hours"] is None, "nothing runs"


def test_a_failed_and_a_killed_job_are_told_apart(facts):
    failed = {job["targets"]["method"]: job for job in facts["failed"]}
    assert failed.keys() == {"ties", "dare"}
    assert failed["dare"]["error"] == (
        "ended without a word: killed, out of memory, or its node failed"
    )
    assert "model.norm.weight" in failed["ties"]["error"]
    assert failed["ties"]["attempt"] == 2


def test_the_last_error_has_its_log_and_the_logs_last_lines(half, facts):
    last = facts["last_error"]
    assert (last["rule"], last["targets"]["method"]) == ("chunk", "ties")
    assert last["log"] == str(half.path / "failed.log")
    written = (half.path / "failed.log").read_text().splitlines()
    assert last["log_lines"] == [line for line in written if line][-5:]


def test_a_job_with_gpus_that_used_none_is_named(half, facts):
    named = [job["targets"] for job in facts["on_cpu_despite_gpu"]]
    assert named == [{"size": "small", "method": "average", "chunk": "0"}]
    assert "had GPUs and used none: chunk small average 0" in half.status().stdout


def test_a_launched_training_uses_its_gpus_in_other_processes(own_half):
    """Its own process has used none; it would have refused to go on without them."""
    targets = {"size": "small", "expert": "code"}
    raw = own_half.record("chunk", "small", "average", "0").model_dump(mode="json")
    raw |= {"rule": "expert", "targets": targets, "stage": "experts"}
    raw["slice"] = fingerprint(own_half.study, "experts", "expert", **targets)
    path = record_path(own_half.paths, "expert", targets)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))

    def named() -> list[str]:
        return [job["rule"] for job in own_half.facts()["on_cpu_despite_gpu"]]

    assert named() == ["expert", "chunk"]
    own_half.config["sizes"][0]["launch"] = "workflow/launch/zero3.yaml"
    own_half.write_config()
    assert named() == ["chunk"]


def test_a_resumed_job_counts_once(own_half):
    before = own_half.facts()["gpu_hours"]
    running = own_half.chunk("small", "dare", 0)
    progress = own_half.paths.chunk_progress("small", "dare", 0)
    kept = n_scored(progress)
    while n_scored(progress) < kept + 3:
        time.sleep(0.005)
    facts = own_half.facts()
    assert counts(facts, "sweep") == (17, 2, 1, 1, 13)
    [job] = facts["running"]
    assert (job["attempt"], job["host"]) == (2, os.uname().nodename)
    assert job["merges_scored"] >= kept + 3
    assert facts["time_left_hours"] == pytest.approx(facts["job_hours"]["left"]), "one at once"
    assert running.wait() == 0
    facts = own_half.facts()
    assert counts(facts, "sweep") == (17, 3, 0, 1, 13)
    assert facts["merges"]["scored"] == MERGES + 60 * 5 - 60, "a chunk of five, with the base"
    record = own_half.record("chunk", "small", "dare", "0")
    assert record.merges_before == kept
    lost = before["spent_by_failed_attempts"]
    assert facts["gpu_hours"]["spent_by_failed_attempts"] == pytest.approx(lost, abs=1e-4)
    assert facts["gpu_hours"]["spent"] == pytest.approx(before["spent"], abs=1e-4)


def test_a_job_that_was_ended_has_failed_with_that_reason(own_half):
    running = own_half.chunk("large", "dare", 0, log="ended.log")
    progress = own_half.paths.chunk_progress("large", "dare", 0)
    while not n_scored(progress):
        time.sleep(0.005)
    running.send_signal(signal.SIGTERM)
    assert running.wait() == 143
    last = own_half.facts()["last_error"]
    assert last["error"].startswith("ended by SIGTERM (sent by another process)\n")
    assert last["log"] == str(own_half.path / "ended.log")


def test_an_edited_config_leaves_its_chunks_to_be_made_again(own_half):
    own_half.config["methods"][2]["parameters"]["density"] = 0.5
    own_half.config["mask_seeds"] = [0]
    own_half.write_config()
    facts = own_half.facts()
    assert counts(facts, "sweep") == (17, 2, 0, 0, 15), "neither failure is of this config"
    assert facts["merges"] | {"scored": MERGES, "all": 2 * 4 * MERGES} == facts["merges"]


def test_a_table_of_another_config_is_not_done(own_half):
    average = own_half.paths.chunk("small", "average", 0)
    shutil.copy(average, own_half.paths.chunk("small", "average", 1))
    assert counts(own_half.facts(), "sweep")[1] == 1


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_broken_table_is_not_done(own_half, content):
    own_half.paths.chunk("small", "average", 1).write_bytes(content)
    assert counts(own_half.facts(), "sweep")[1] == 1


def test_a_broken_record_stops_nothing(own_half):
    own_half.paths.job_record("chunk", "large", "ties", "0").write_text("{")
    assert counts(own_half.facts(), "sweep") == (17, 2, 0, 1, 14)


def test_jobs_that_the_report_does_not_need_are_counted_beside_it(own_half):
    words = "merge-cell checkpoint --size small --method average --subset algebra+code --config"
    assert own_half.start(*words.split(), str(own_half.paths.config)).wait() == 0
    facts = own_half.facts()
    assert counts(facts, "others") == (1, 1, 0, 0, 0)
    assert counts(facts, "sweep") == (17, 2, 0, 2, 13)


def test_records_of_another_machine_live_as_long_as_they_are_renewed(own_half):
    """Without Slurm, the time of the record is all that tells."""
    path = own_half.paths.job_record("chunk", "small", "dare", "0")
    change_process(path, machine="another")
    assert counts(own_half.facts(), "sweep")[2:4] == (1, 1)
    os.utime(path, (time.time() - 1000,) * 2)
    assert counts(own_half.facts(), "sweep")[2:4] == (0, 2)


def test_a_process_of_the_same_number_is_another(own_half):
    path = own_half.paths.job_record("chunk", "small", "dare", "0")
    change_process(path, pid=os.getpid())
    assert counts(own_half.facts(), "sweep")[2] == 0


def test_an_estimate_that_cannot_be_made_is_said(own_half):
    own_half.config["tokenizer"] = {"path": "org/unknown"}
    own_half.config["sizes"].append({"name": "given", "base": "org/unknown"})
    own_half.config["sizes"][-1]["experts"] = {
        name: f"org/{name}" for name in ("algebra", "biology", "code")
    }
    own_half.write_config()
    facts = own_half.facts()
    assert facts["job_hours"]["left"] is None
    assert "n_params" in facts["job_hours"]["lack"]
    assert "what is left is not known:" in own_half.status().stdout


def test_the_text_tells_it_all_within_80_columns(half):
    done = half.status()
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for words in (
        "of 882 scored",
        "sweep    ━",
        "GPU-hours",
        "by the model of costs for H100",
        "last of 2 failed: chunk large ties 0 (attempt 2)",
        "log: failed.log",
    ):
        assert words in done.stdout
    assert "\x1b" not in done.stdout


def test_the_json_has_these_keys(facts):
    assert list(facts) == [
        *("study", "folder", "time", "stages", "merges", "gpu_hours", "job_hours"),
        *("time_left_hours", "slurm", "running", "failed", "on_cpu_despite_gpu", "last_error"),
    ]
    assert list(facts["merges"]) == ["scored", "all", "per_hour", "per_hour_over_minutes"]
    assert list(facts["gpu_hours"]) == ["spent", "spent_by_failed_attempts", "left"]
    assert list(facts["failed"][0]) == [
        *("rule", "targets", "attempt", "started", "seconds", "host", "slurm_job", "gpus"),
        *("merges_scored", "merges", "log", "ended", "error"),
    ]


def test_a_study_is_found_by_folder_config_or_as_the_only_one(half, facts, tmp_path):
    once = facts["stages"]
    for words in (["results/tiny"], ["--config", "results/tiny/study.json"]):
        assert json.loads(half.status(*words, "--json").stdout)["stages"] == once
    elsewhere = Folder(tmp_path, half.config).status(str(half.paths.root), "--json")
    assert json.loads(elsewhere.stdout)["stages"] == once
    here = json.loads(half.status("--json").stdout)["last_error"]
    assert (here["log"], here["log_lines"]) == ("failed.log", facts["last_error"]["log_lines"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "error: status: results/ holds 2 studies; name one (mergelaw status results/other, "),
        (["nowhere"], "error: nowhere: holds no study.json"),
        (["results/tiny", "--config", "x.yaml"], "error: status: give results/tiny or --config"),
        (["--config", "x.yaml"], "error: x.yaml: cannot be read"),
    ],
)
def test_mistakes_end_in_words(own_half, words, told):
    (own_half.path / "results" / "other").mkdir()
    shutil.copy(own_half.paths.config, own_half.path / "results" / "other")
    done = own_half.status(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr


def test_no_study_at_all_is_said(tmp_path):
    done = Folder(tmp_path, {"name": "none"}).status()
    assert done.returncode == 1
    assert done.stderr.startswith("error: status: results/ holds no studies; ")


def test_a_study_of_another_seed_is_found(tmp_path, half):
    folder = Folder(tmp_path, half.config | {"seed": 2})
    root = tmp_path / "results" / "tiny" / "seed2"
    root.mkdir(parents=True)
    (root / "study.json").write_text(json.dumps(folder.config))
    facts = json.loads(folder.status("--json").stdout)
    assert facts["folder"] == "results/tiny/seed2"
    assert counts(facts, "sweep")[1] == 0
