"""`snakemake --profile slurm`: the smoke study on a real Slurm, to its report."""

import re
import shutil

import pytest

from tests.slurm.cluster import GPU_NODES
from tests.slurm.heads import CHUNK, accounted
from tests.slurm.side_by_side import together
from tests.workflow.workspace import CONFIG, read_json

METHODS = [method["label"] for method in CONFIG["methods"]]
SIZES = [size["name"] for size in CONFIG["sizes"]]
ON_NODES = {
    *("items", "tokenizer", "pretraining", "shards"),
    *("base", "expert", "chunk", "task_vectors"),
}
"""Rules of the plain report whose jobs are for a cluster; the others take seconds at the head."""


def rule_of(job: str) -> str:
    """Rule that a Slurm job is of."""
    comment = accounted(job, "Comment")[0].removeprefix("rule_")
    return comment.partition("_wildcards_")[0]


@pytest.fixture(scope="module")
def by_rule(smoke):
    """Slurm jobs of the study by their rule."""
    jobs: dict[str, list[str]] = {}
    for job in smoke[1].jobs():
        jobs.setdefault(rule_of(job), []).append(job)
    return jobs


def test_the_study_is_complete_with_its_report(smoke):
    study, head = smoke
    assert (study.results / "report" / "report.html").stat().st_size > 10**5
    assert "(100%) done" in head.text()
    assert study.planned(CONFIG) == set()


def test_heavy_rules_are_slurm_jobs_and_light_ones_are_not(by_rule):
    assert set(by_rule) == ON_NODES
    assert len(by_rule["chunk"]) == len(SIZES) * len(METHODS)
    assert len(by_rule["expert"]) == len(SIZES) * len(CONFIG["experts"])


@pytest.mark.parametrize("rule", ["chunk", "expert", "base"])
def test_models_run_on_nodes_with_gpus_that_slurm_granted(by_rule, rule):
    for job in by_rule[rule]:
        node, granted = accounted(job, "NodeList", "AllocTRES")
        assert node in GPU_NODES
        assert "gres/gpu=1" in granted.split(",")


def test_the_granted_gpu_is_in_the_jobs_environment(smoke, by_rule):
    records = [read_json(path) for path in smoke[0].results.glob("jobs/chunk/*.json")]
    assert {record["process"]["slurm_job"] for record in records} == set(by_rule["chunk"])
    for record in records:
        assert re.fullmatch("[0-3]", record["cuda_visible_devices"])
        assert record["gpus"] == 1


def test_a_local_run_makes_the_same_bytes(smoke, tmp_path):
    study, _ = smoke
    local = study.copy(tmp_path / "local")
    made = ["experts/w16/algebra", "sweep/losses.parquet"]
    made += [f"sweep/w16/{method}/0.parquet" for method in METHODS]
    shutil.rmtree(local.results / made[0])
    for name in made[1:]:
        (local.results / name).unlink()
    local.run(CONFIG, *(f"results/smoke/{name}" for name in made))
    made[0] += "/model.safetensors"
    for name in made:
        assert (local.results / name).read_bytes() == (study.results / name).read_bytes(), name


@together
def test_chunks_can_be_one_job_array(scene):
    study = scene.arm("array")
    shutil.rmtree(study.results / "jobs")
    others = [CHUNK.replace("average", method) for method in METHODS[1:]]
    for target in others:
        (study.folder / target).unlink()
    head = scene.start(study, *others, "--slurm-array-jobs", "chunk")
    (array,) = re.findall(r"and SLURM job ID (\d+)", head.succeeds())
    assert head.jobs() == []  # nothing was submitted alone
    assert accounted(f"{array}_{len(METHODS)}", "State") == ["COMPLETED"]
    records = [read_json(path) for path in study.results.glob("jobs/chunk/*.json")]
    assert len(records) == len(METHODS)
    assert all(record["gpus"] == 1 for record in records)
    assert study.chunk.read_bytes() == scene.whole
