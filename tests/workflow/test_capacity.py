"""The study of training settings: its jobs and targets; a tiny one from data to its table."""

import polars as pl
import pytest

from mergelaw.cells import cell
from mergelaw.config import parse_study
from mergelaw.evaluation.cell import score_cell
from mergelaw.experts.logs import join_logs
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.laws.schemas.capacity import CAPACITY
from mergelaw.laws.stage import write_analysis, write_curves, write_fits
from mergelaw.merging.stage import write_cell, write_pool_statistics
from mergelaw.paths import StudyPaths
from mergelaw.status.plan import planned_jobs
from mergelaw.sweep.collect import collect
from mergelaw.tables import LOSSES, read_provenance, read_table
from tests.helpers import METHODS, run_data, run_experts, run_sweep, study_of
from tests.workflow.stand_in import shipped
from tests.workflow.workspace import Workspace

CONFIG = shipped("capacity")
ROOT = "results/capacity"


@pytest.fixture
def jobs(tmp_path):
    """Jobs of a target, by a dry run where nothing is made."""
    workspace = Workspace(tmp_path)
    return lambda *arguments: workspace.jobs(CONFIG, "--", *arguments)


def named(found, rule):
    return [job.removeprefix(f"{rule} ") for job in found if job.startswith(f"{rule} ")]


def test_one_base_serves_every_setting(jobs):
    study = parse_study(CONFIG)
    found = jobs("full")
    assert len(study.size_names) == len(study.ladder) * (1 + len(study.training.settings))
    assert named(found, "base") == list(study.ladder)
    n_experts = len(study.experts)
    assert len(named(found, "expert")) == n_experts * len(study.size_names)
    chunks = {job.rpartition("/")[0] for job in named(found, "chunk")}
    assert chunks == {f"{s}/{m}" for s in study.size_names for m in study.method_labels}
    assert {"capacity", "capacity_fits"} <= set(named(found, "analysis"))


def test_targets_of_one_setting(jobs):
    found = jobs(
        f"{ROOT}/experts/w48@s20/code",
        f"{ROOT}/merge/w48@rank2/average/code+physics",
        f"{ROOT}/laws/curves/w48@s160/average.parquet",
    )
    pool = [f"w48@s160/{name}" for name in sorted(parse_study(CONFIG).expert_names)]
    assert named(found, "base") == ["w48"]
    assert named(found, "expert") == sorted(
        [*pool, "w48@rank2/code", "w48@rank2/physics", "w48@s20/code"]
    )
    assert named(found, "cell") == ["w48@rank2/average/code+physics"]


def test_no_base_is_trained_under_a_setting(tmp_path):
    done = Workspace(tmp_path).snakemake(CONFIG, "-n", "--", f"{ROOT}/experts/w48@s20/base")
    assert done.returncode != 0
    assert "experts/w48@s20/base" in done.stdout + done.stderr


def test_status_plans_the_same_jobs(jobs):
    study = parse_study(CONFIG)
    planned = planned_jobs(study, StudyPaths.of(study))
    ours = set(jobs("all"))
    theirs = {" ".join([job.rule, "/".join(job.targets.values())]).strip() for job in planned}
    assert theirs == ours


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """One size with one setting, run from its data to the table of settings."""
    study = study_of(
        ("sizes.1", None),
        ("methods", METHODS[:1]),
        ("training.settings", [{"name": "long", "steps": 9}]),
        ("laws.resamples", 20),
    )
    paths = StudyPaths(tmp_path_factory.mktemp("tiny"))
    for run in (run_data, run_experts, run_sweep, collect):
        run(study, paths)
    for size in study.size_names:
        join_logs(study, paths, size)
        write_pool_statistics(study, paths, size)
    write_curves(study, paths)
    write_fits(study, paths)
    for name in ("capacity", "capacity_fits"):
        write_analysis(study, paths, name)
    return study, paths


def test_experts_of_a_setting_have_the_base_of_their_size(tiny):
    study, paths = tiny
    assert study.size_names == ("small", "small@long")
    made = {folder.name for folder in (paths.root / "experts" / "small@long").iterdir()}
    assert set(study.expert_names) <= made
    assert "base" not in made
    base = read_table(paths.law_table("curves"), CURVES.schema).filter(k=0, domain=MACRO)
    assert base["loss"].n_unique() == 1
    assert base["n_params_billions"].n_unique() == 1


def test_the_table_tells_how_each_was_trained(tiny):
    study, paths = tiny
    table = read_table(paths.law_table("capacity"), CAPACITY.schema)
    short, long = (
        table.filter(size=size, domain=MACRO, quantity="loss_pool").row(0, named=True)
        for size in study.size_names
    )
    assert (short["steps"], long["steps"]) == (3, 9)
    assert long["training_tokens"] > 2.5 * short["training_tokens"] > 0
    assert long["task_vector_norm"] > short["task_vector_norm"] > 0
    assert long["change"] == pytest.approx(long["value"] - short["value"])
    assert long["change_text_se"] > 0


def test_two_lengths_are_no_law_and_the_reason_is_kept(tiny):
    _, paths = tiny
    path = paths.law_table("capacity_fits")
    assert pl.read_parquet(path).is_empty()
    assert "needs 3 settings" in read_provenance(path)["not_made"]


def test_a_cell_of_a_setting_is_what_the_sweep_scored(tiny):
    study, paths = tiny
    merge = cell(study, "small@long", "average", "algebra+code")
    write_cell(study, paths, merge)
    scored = read_table(score_cell(study, paths, merge), LOSSES)
    swept = read_table(paths.losses, LOSSES).filter(
        size="small@long", method="average", subset="algebra+code"
    )
    key = ["domain", "nll_sum"]
    assert scored.sort("domain").select(key).equals(swept.sort("domain").select(key))
