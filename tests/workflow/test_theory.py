"""The theory stage in the workflow: its jobs, and which edits of a finished one make what anew."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from mergelaw.laws.schemas.theory import SIZE_TABLES, TABLES, UPDATES
from mergelaw.tables import read_table
from tests.workflow.reruns import FINISHED, SMALL, sampled
from tests.workflow.test_reruns import assert_exactly
from tests.workflow.workspace import CONFIG, GROWN, ROOT, Workspace, edited, environment, read_json

JOBS = ("derivatives", "weights", "predictions")
TARGETS = [
    f"results/smoke/theory/{name}.parquet" for name in ("w16/weights", "w32/weights", "curves")
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Workspace:
    """The study of the cases, its theory recorded as made."""
    workspace = Workspace(tmp_path_factory.mktemp("theory"))
    workspace.pretend(FINISHED, *TARGETS)
    done = workspace.snakemake(FINISHED, "--touch", "--forceall", "--cores", "2", *TARGETS)
    assert done.returncode == 0, done.stderr[-4000:]
    return workspace


def theory(**changes):
    return {"theory": {**CONFIG["theory"], **changes}}


OF_LAWS = {"curves": 1, "fits": 1, "analysis scale_*": 2, "predictions": 1}
OF_TEXT = {"shards": 1, "chunk *": 12, "losses": 1, "scales *": 2, **OF_LAWS}
OF_TIES = [
    {**m, "parameters": {**m["parameters"], "density": 0.5}} if m["label"] == "ties" else m
    for m in CONFIG["methods"]
]
OBJECTIVES = [*CONFIG["theory"]["objectives"], {"label": "worst", "target": "worst"}]

EDITS = {
    "nothing": ({}, {}),
    "an objective": (theory(objectives=OBJECTIVES), {"weights *": 2}),
    "held-out tokens": (theory(heldout_tokens=300), {"weights *": 2}),
    "a route": (theory(routes=["hvp", "pairs"]), {"derivatives *": 2, "predictions": 1}),
    "random masks": (theory(mask_probes=3), {"derivatives *": 2, "predictions": 1}),
    "the step": (theory(step=0.3), {"derivatives *": 2, "weights *": 2, "predictions": 1}),
    "laws": ({"laws": {**CONFIG["laws"], "resamples": 50}}, OF_LAWS),
    "notes": ({"notes": ["another"]}, {}),
    "batches": ({"evaluation": {**CONFIG["evaluation"], "batch_tokens": 512}}, {}),
    "tokens of evaluation": (
        {"evaluation": {**CONFIG["evaluation"], "tokens_per_domain": 400}},
        {**OF_TEXT, "derivatives *": 2, "weights *": 2},
    ),
    "more subsets": (
        {"sizes": [SMALL, sampled(subsets_per_k=3)]},
        {"chunk w32/*": 4, "losses": 1, "curves": 1, "fits": 1, "predictions": 1},
    ),
    "density of TIES": (
        {"methods": OF_TIES},
        {
            "chunk */ties/*": 3,
            "losses": 1,
            "scales *": 2,
            **OF_LAWS,
            "task_vectors *": 2,
            "derivatives *": 2,
        },
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_makes_anew_what_it_decides(made, name):
    changes, runs = EDITS[name]
    assert_exactly(made.jobs(edited(FINISHED, **changes), *TARGETS), runs)


def test_the_full_report_comes_with_theory_where_the_study_asks_for_it(tmp_path):
    workspace, without = Workspace(tmp_path), {**FINISHED, "theory": None}
    jobs = workspace.jobs(FINISHED, "full")
    wanted = ["derivatives w16", "derivatives w32", "weights w16", "weights w32", "predictions"]
    assert {*wanted, "page theory"} <= set(jobs)
    for plain in (workspace.jobs(without, "full"), workspace.jobs(FINISHED)):
        assert not [job for job in plain if job.split()[0] in JOBS or "theory" in job]


def test_the_rule_makes_every_table_of_the_study():
    text = (ROOT / "workflow" / "rules" / "theory.smk").read_text(encoding="utf-8")
    names = re.findall(r'"(\w+)"', re.search(r"^PREDICTED = \[(.*)\]", text, re.MULTILINE)[1])
    assert names == [Path(table.file).stem for table in TABLES]


TABLE_NAMES = [*(table.file for table in TABLES), *(f"w16/{t.file}" for t in SIZE_TABLES)]
REAL = [f"results/smoke/theory/{name}" for name in TABLE_NAMES]


@pytest.fixture(scope="module")
def finished(grown_run) -> Workspace:
    """The smoke study with its theory, really made."""
    workspace, _, _ = grown_run
    workspace.run(GROWN, *REAL)
    return workspace


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_the_study_s_tables_are_made(finished, table):
    frame = read_table(finished.results / "theory" / table.file, table.schema)
    assert not frame.is_empty()
    assert frame.select(table.key).is_unique().all()
    assert set(frame["size"]) == {size["name"] for size in CONFIG["sizes"]}
    assert set(frame["method"]) <= {method["label"] for method in CONFIG["methods"]}


@pytest.mark.parametrize("table", SIZE_TABLES, ids=lambda table: table.file)
def test_a_size_s_tables_are_made_with_what_they_cost(finished, table):
    path = finished.results / "theory" / "w16" / table.file
    frame = read_table(path, table.schema)
    assert frame.select(table.key).is_unique().all()
    assert set(frame["size"]) == {"w16"}
    if table is not UPDATES:  # which derivatives' job makes
        cost = read_json(path.with_suffix(".cost.json"))
        assert cost["tokens_read"] > 0
        assert cost["device_hours"] == {"cpu": cost["wall_seconds"] / 3600}


def test_derivatives_are_made_again_to_the_bit_and_alone(finished):
    """The losses at the merge are the sweep's, and the third derivatives are told."""
    path = finished.results / "theory" / "w16" / "derivatives.parquet"
    before = path.read_bytes()
    frame = pl.read_parquet(path).filter(method="average", route="hvp")
    found = frame.group_by("domain").agg(pl.col("nll_sum", "n_tokens").sum())
    swept = pl.read_parquet(finished.results / "sweep" / "losses.parquet")
    swept = swept.filter(pl.col("k") == len(CONFIG["experts"]), size="w16", method="average")
    both = found.join(swept, "domain")
    assert both.height == len(CONFIG["domains"])
    assert both["nll_sum"].to_list() == pytest.approx(both["nll_sum_right"].to_list(), rel=1e-6)
    path.unlink()
    assert finished.jobs(GROWN, REAL[-3]) == ["derivatives w16"]
    finished.run(GROWN, REAL[-3])
    assert path.read_bytes() == before


def test_an_objective_more_makes_weights_again_and_nothing_else(finished):
    wanted = [{"label": "macro"}, {"label": "code", "target": "code"}]
    changed = edited(GROWN, **theory(objectives=wanted))
    assert finished.jobs(changed, *REAL) == ["weights w16"]


def test_a_killed_job_leaves_no_part_of_a_table_and_is_made_again(finished, tmp_path):
    copy, path = Workspace(tmp_path / "copy"), Path("theory/w16/derivatives.parquet")
    shutil.copytree(finished.folder, copy.folder)
    (copy.results / path).unlink()
    target = f"results/smoke/{path}"
    process = subprocess.Popen(
        copy.command(GROWN, "--cores", "2", target),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    owner = copy.results / path.with_suffix(".owner")
    while not owner.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert owner.exists(), "the job was on its way"
    assert not (copy.results / path).exists()
    assert copy.snakemake(GROWN, "--unlock").returncode == 0
    copy.run(GROWN, target)
    assert (copy.results / path).read_bytes() == (finished.results / path).read_bytes()
