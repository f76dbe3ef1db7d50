"""Profiles: what they hold is known to Snakemake, and each way to name one gives the same jobs."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from snakemake.cli import get_argument_parser

from mergelaw.costs.machine_file import read_machine_file
from tests.workflow.workspace import CONFIG, ROOT, Workspace, environment

PROFILES = {path.parent.name: path for path in sorted((ROOT / "profiles").glob("*/config.yaml"))}
CLUSTERS = [name for name in PROFILES if name != "default"]
RULES = {
    name
    for path in (ROOT / "workflow" / "rules").glob("*.smk")
    for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
}
SUBMIT = ROOT / "profiles" / "slurm" / "submit.sh"
MIN_JOB_AGE = 300
"""Seconds for which Slurm by default remembers a job that has ended (slurm.conf, MinJobAge)."""


def keys(name: str) -> dict[str, Any]:
    return yaml.safe_load(PROFILES[name].read_text(encoding="utf-8"))


def asked(tmp_path: Path, *arguments: str, **variables: str) -> dict[str, dict[str, str]]:
    """What each job of a dry run of the smoke study asks for, by its first output."""
    command = Workspace(tmp_path).command(CONFIG, "--dry-run", *arguments)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**environment(), **variables}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    jobs = re.findall(
        r"^    output: ([^,\n]+).*?^    resources: (.*?)$", done.stdout, re.MULTILINE | re.DOTALL
    )
    return {
        output.removeprefix("results/smoke/"): dict(re.findall(r"(\w+)=([^,]+)", resources))
        for output, resources in jobs
    }


@pytest.fixture(scope="module")
def asked_of_slurm(tmp_path_factory) -> dict[str, dict[str, str]]:
    return asked(tmp_path_factory.mktemp("slurm"), "--profile", "slurm")


CHUNK, STATISTICS = "sweep/w16/ties/0.parquet", "merge/w16/task_vectors.parquet"


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--profile", "profiles/slurm"], {}),
        (["--workflow-profile", "slurm"], {}),
        (["--workflow-profile", "profiles/slurm"], {}),
        ([], {"SNAKEMAKE_PROFILE": "slurm"}),
        (["--profile", "profiles/slurm"], {"SNAKEMAKE_PROFILE": "profiles/slurm-cpu"}),
    ],
    ids=" ".join,
)
def test_each_way_to_name_a_profile_asks_for_the_same(
    tmp_path, asked_of_slurm, arguments, variables
):
    assert asked_of_slurm[CHUNK]["machine"] == "profiles/slurm/machine.yaml"
    assert int(asked_of_slurm[CHUNK]["gpu"]) == 1
    assert asked(tmp_path, *arguments, **variables) == asked_of_slurm


def test_the_default_profile_replaces_nothing_of_a_cluster_profile():
    for name in CLUSTERS:
        both = keys("default").keys() & keys(name).keys()
        assert {key: keys("default")[key] for key in both} == {key: keys(name)[key] for key in both}


def test_a_default_profile_with_resources_would_replace_a_cluster_profile_s(tmp_path):
    """Why the test before this one is there."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.yaml").write_text("default-resources: {mem_mb: 222}\n")
    arguments = ["--profile", "slurm", "--workflow-profile", str(tmp_path / "bad")]
    assert "machine" not in asked(tmp_path, *arguments)[CHUNK]


def test_a_default_profile_alone_asks_for_no_machine(tmp_path):
    assert "gpu" not in asked(tmp_path)[CHUNK]


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option(name):
    options = get_argument_parser()._option_string_actions
    assert [key for key in keys(name) if f"--{key}" not in options] == []


@pytest.mark.parametrize("name", PROFILES)
def test_rules_that_a_profile_names_exist(name):
    text = PROFILES[name].read_text(encoding="utf-8")
    for profile in (keys(name), commented(text)):
        for key in ("set-resources", "set-threads"):
            assert profile.get(key, {}).keys() <= RULES


def commented(text: str) -> dict[str, Any]:
    """The example in a profile's comments."""
    found = re.search(r"^# set-\w+:\n(?:#.*\n?)+", text, re.MULTILINE)
    return yaml.safe_load(re.sub(r"^# ", "", found[0], flags=re.MULTILINE)) if found else {}


@pytest.mark.parametrize("name", CLUSTERS)
def test_profiles_share_what_keeps_a_long_study_running(name):
    differ = {"jobs", "default-resources", "set-resources", "set-threads"}
    assert {k: v for k, v in keys(name).items() if k not in differ} == {
        k: v for k, v in keys("slurm").items() if k not in differ
    }


def test_squeue_remembers_jobs_for_as_long_as_the_plugin_wants():
    slurm = keys("slurm")
    assert slurm["slurm-status-command"] == "squeue"
    assert 3 * slurm["slurm-init-seconds-before-status-checks"] < MIN_JOB_AGE


def test_a_controller_that_is_away_for_half_an_hour_is_waited_for():
    slurm = keys("slurm")
    assert slurm["slurm-status-attempts"] / slurm["max-status-checks-per-second"] >= 1800


def test_snakemake_ends_without_waiting_for_its_rate_of_submission():
    """A timer of that length is started at every submission, and Snakemake ends after it."""
    assert re.fullmatch(r"\d+/\d\d?s", keys("slurm")["max-jobs-per-timespan"])


def test_retries_are_the_profile_s_so_that_each_is_a_submission_of_its_own():
    assert keys("slurm")["retries"] > 0
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert "retries:" not in path.read_text(encoding="utf-8")


def test_the_commented_example_is_one_that_works(tmp_path):
    text = PROFILES["slurm"].read_text(encoding="utf-8")
    profile = tmp_path / "mine"
    profile.mkdir()
    (profile / "config.yaml").write_text(yaml.safe_dump({**keys("slurm"), **commented(text)}))
    job = asked(tmp_path, "--profile", str(profile))[CHUNK]
    assert job["gpu_model"] == "h100"
    assert job["slurm_partition"] == "gpu"
    assert (job["runtime"], job["mem_mb"]) == ("90", "64000")


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_machine_is_named_and_read(name):
    read_machine_file(ROOT / keys(name)["default-resources"]["machine"])


def test_the_h100_example_sends_jobs_with_gpus_and_those_without_to_their_partitions(tmp_path):
    jobs = asked(tmp_path, "--profile", "profiles/slurm-h100")
    assert jobs[CHUNK]["slurm_partition"] == "gpu"
    assert jobs[CHUNK]["gpu_model"] == "h100"
    assert jobs[STATISTICS]["slurm_partition"] == "cpu"
    assert {job["slurm_account"] for job in jobs.values()} == {"my-group"}
    with_gpu = {name for name, job in jobs.items() if int(job.get("gpu", 0))}
    assert with_gpu == {name for name, job in jobs.items() if "gpu_model" in job}


def test_the_h100_example_sends_the_largest_models_elsewhere(tmp_path):
    sizes = [{**size, "name": name} for size, name in zip(CONFIG["sizes"], ("7b", "72b"), strict=1)]
    command = Workspace(tmp_path).command({**CONFIG, "sizes": sizes}, "--dry-run")
    command += ["--profile", "profiles/slurm-h100"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    of_chunks = re.findall(
        r"^rule chunk:.*?size=(\w+),.*?slurm_partition=([\w-]+)", done.stdout, re.M | re.S
    )
    assert set(of_chunks) == {("7b", "gpu"), ("72b", "gpu-long")}


def test_the_cpu_example_asks_for_no_gpu(tmp_path):
    jobs = asked(tmp_path, "--profile", "profiles/slurm-cpu")
    assert {job["gpu"] for job in jobs.values() if "gpu" in job} == {"0"}
    assert not any("gpu_model" in job for job in jobs.values())


def test_only_the_profile_of_the_short_command_is_linked_in_the_root():
    links = {path.name: os.readlink(path) for path in ROOT.iterdir() if path.is_symlink()}
    assert links == {"slurm": "profiles/slurm"}


def test_submit_is_valid_bash_and_its_options_stand_before_its_commands():
    subprocess.run(["bash", "-n", SUBMIT], check=True)
    assert os.access(SUBMIT, os.X_OK)
    lines = SUBMIT.read_text(encoding="utf-8").splitlines()
    commands = [n for n, line in enumerate(lines) if line and not line.startswith("#")]
    options = [n for n, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert max(options) < commands[0]


def test_submit_outside_of_a_job_says_how_to_call_it(tmp_path):
    variables = {k: v for k, v in environment().items() if k != "SLURM_JOB_ID"}
    done = subprocess.run([SUBMIT], capture_output=True, text=True, cwd=tmp_path, env=variables)
    assert done.returncode == 2
    assert "sbatch profiles/slurm/submit.sh" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_cluster_environment_holds_all_that_the_project_and_its_slurm_extra_require():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["slurm"]]
    path = ROOT / "envs" / "cluster.yaml"
    [pip] = [
        entry["pip"]
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
        if isinstance(entry, dict)
    ]
    pinned = {canonicalize_name(pin.partition("==")[0]) for pin in pip}
    assert {canonicalize_name(Requirement(text).name) for text in wanted} <= pinned
