"""The smoke study through Snakemake: complete, reproducible, readable without mergelaw."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workflow.workspace import CONFIG, GROWN, Workspace, environment, read_json

EXPERTS = [expert["name"] for expert in CONFIG["experts"]]
DOMAINS = [domain["name"] for domain in CONFIG["domains"]]
N_SUBSETS = 2 ** len(EXPERTS)  # with the base


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_cell_is_measured_once(grown_run):
    workspace, _, _ = grown_run
    losses = pl.read_parquet(workspace.results / "sweep" / "losses.parquet")
    cells = losses.group_by("size", "method").agg(pl.len(), pl.col("subset").n_unique())
    assert cells.height == len(CONFIG["sizes"]) * len(CONFIG["methods"])
    assert set(cells["len"]) == {N_SUBSETS * len(DOMAINS)}
    assert set(cells["subset"]) == {N_SUBSETS}


def test_the_report_stands_alone(grown_run):
    workspace, _, _ = grown_run
    page = (workspace.results / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 9
    assert 'src="http' not in page


def test_checkpoints_load_without_mergelaw(grown_run):
    workspace, _, _ = grown_run
    folder = workspace.results / "experts" / "w16" / "code"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "qwen2"
    assert len(tokenizer) == model.get_input_embeddings().weight.shape[0]
    cost = read_json(folder / "cost.json")
    assert cost["wall_seconds"] > 0
    assert cost["peak_memory_bytes"] > 2**20


def test_a_finished_study_has_nothing_to_do(grown_run):
    workspace, _, _ = grown_run
    assert workspace.planned(GROWN) == set()


def test_training_is_bit_identical_at_one_job_in_flight(grown_run, tmp_path):
    workspace, _, _ = grown_run
    again = Workspace(tmp_path)
    again.run(GROWN, "results/smoke/experts/w16/algebra", "--cores", "1")
    for name in ("base", "algebra"):
        path = Path("experts") / "w16" / name / "model.safetensors"
        assert digest(again.results / path) == digest(workspace.results / path)


@pytest.fixture
def killed(grown_run, tmp_path) -> tuple[Workspace, Workspace]:
    """A copy of the study whose sweep was killed, with everything that Snakemake started."""
    workspace, _, _ = grown_run
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.folder, copy.folder)
    shutil.rmtree(copy.results / "sweep")
    command = copy.command(GROWN, "--cores", "2", "results/smoke/sweep/losses.parquet")
    process = subprocess.Popen(
        command,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(copy.results.glob("sweep/*/*/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return workspace, copy


def test_a_killed_run_goes_on_from_what_is_complete(killed):
    workspace, copy = killed
    finished = {path: digest(path) for path in copy.results.glob("sweep/*/*/*.parquet")}
    n_chunks = len(list(workspace.results.glob("sweep/*/*/*.parquet")))
    assert 0 < len(finished) < n_chunks
    assert copy.snakemake(GROWN, "--unlock").returncode == 0
    copy.run(GROWN, "results/smoke/sweep/losses.parquet")
    original = workspace.results / "sweep" / "losses.parquet"
    assert digest(copy.results / "sweep" / "losses.parquet") == digest(original)


def test_a_deleted_chunk_is_made_again_and_equal(grown_run):
    workspace, _, _ = grown_run
    chunk = workspace.results / "sweep" / "w16" / "dare" / "0.parquet"
    before = digest(chunk)
    chunk.unlink()
    planned = workspace.planned(GROWN)
    assert {name for name in planned if name.startswith("sweep/w")} == {
        "sweep/w16/dare/0.parquet",
        "sweep/w16/dare/0.cost.json",
    }
    assert not any(name.startswith(("experts", "data", "design")) for name in planned)
    assert {"sweep/losses.parquet", "laws/fits.json", "report/report.html"} <= planned
    workspace.run(GROWN)
    assert digest(chunk) == before


def test_snakemakes_own_report_has_categories(grown_run):
    workspace, _, _ = grown_run
    workspace.run(GROWN, "--report", str(workspace.folder / "own.html"))
    text = (workspace.folder / "own.html").read_text(encoding="utf-8")
    assert "Figures" in text
    assert "loss_by_k" in text
