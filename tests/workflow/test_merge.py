"""Cells of the sweep as checkpoints through Snakemake: the same sums, partial runs, words."""

import os
import shutil
import signal
import subprocess
import time

import polars as pl
import pytest
from transformers import AutoModelForCausalLM

from mergelaw.tables import LOSSES_KEY
from tests.workflow.workspace import CONFIG, GROWN, Workspace, edited, environment

CELL = "merge/w16/ties/algebra+code"


@pytest.fixture(scope="module")
def merged_run(grown_run, tmp_path_factory):
    """A copy of the finished study, with cells as checkpoints and their losses."""
    workspace, _, _ = grown_run
    copy = Workspace(tmp_path_factory.mktemp("merged"))
    shutil.copytree(workspace.folder, copy.folder, dirs_exist_ok=True)
    targets = [f"results/smoke/{name}.parquet" for name in (CELL, "merge/w16/dare/base")]
    copy.run(GROWN, *targets)
    return copy


def test_one_cell(tmp_path):
    assert Workspace(tmp_path).planned(CONFIG, f"results/smoke/{CELL}") == {
        *(f"data/items/{domain['name']}.parquet" for domain in CONFIG["domains"]),
        "data/tokenizer",
        "data/pretraining.safetensors",
        "experts/w16/base",
        "experts/w16/algebra",
        "experts/w16/code",
        CELL,
        f"{CELL}.cost.json",
    }


def test_a_cell_has_the_sums_of_the_sweep(merged_run):
    swept = pl.read_parquet(merged_run.results / "sweep" / "losses.parquet")
    for place, subset in ((CELL, "algebra+code"), ("merge/w16/dare/base", "base")):
        method = place.split("/")[2]
        rows = swept.filter(size="w16", method=method, subset=subset)
        assert rows.height == len(CONFIG["domains"])
        found = pl.read_parquet(merged_run.results / f"{place}.parquet")
        assert found.sort(LOSSES_KEY).equals(rows.sort(LOSSES_KEY))
    model = AutoModelForCausalLM.from_pretrained(merged_run.results / CELL)
    assert model.config.model_type == "qwen2"


def test_the_study_has_nothing_more_to_do(merged_run):
    assert merged_run.planned(GROWN, "all", f"results/smoke/{CELL}.parquet") == set()


def test_an_edit_of_its_method_makes_a_cell_again(merged_run):
    targets = [f"results/smoke/{name}.parquet" for name in (CELL, "merge/w16/dare/base")]
    methods = [dict(method) for method in CONFIG["methods"]]
    methods[2] = {**methods[2], "parameters": {**methods[2]["parameters"], "density": 0.5}}
    planned = merged_run.planned(edited(GROWN, methods=methods), *targets)
    assert planned == {CELL, f"{CELL}.cost.json", f"{CELL}.parquet"}
    more = edited(GROWN, evaluation={**CONFIG["evaluation"], "batch_tokens": 64})
    assert merged_run.planned(more, *targets) == set()


def test_a_wrong_name_is_answered_with_the_right_one(tmp_path):
    target = "results/smoke/merge/w16/ties/code+algebra"
    done = Workspace(tmp_path).snakemake(CONFIG, "--dry-run", target)
    assert done.returncode != 0
    assert "cell w16/ties/code+algebra: 1 problem" in done.stdout + done.stderr
    assert "its name is algebra+code" in done.stdout + done.stderr


def test_a_killed_merge_is_made_by_the_next_run(merged_run):
    name = "merge/w16/average/algebra+biology+code"
    target, place = f"results/smoke/{name}.parquet", (merged_run.results / name).parent
    process = subprocess.Popen(
        merged_run.command(GROWN, "--cores", "2", target),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(place.glob(".*.part/journal")) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(place.glob(".*.part"))
    assert not (merged_run.results / name).exists()
    assert merged_run.snakemake(GROWN, "--unlock").returncode == 0
    merged_run.run(GROWN, target)
    assert not list(place.glob(".*"))
    swept = pl.read_parquet(merged_run.results / "sweep" / "losses.parquet")
    rows = swept.filter(size="w16", method="average", subset="algebra+biology+code")
    found = pl.read_parquet(merged_run.results / f"{name}.parquet")
    assert found.sort(LOSSES_KEY).equals(rows.sort(LOSSES_KEY))
