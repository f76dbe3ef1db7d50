"""A sweep whose head process and jobs are killed goes on from the merges that it had scored."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.workflow.workspace import CONFIG, Workspace, edited, environment, read_json

LONG = edited(CONFIG, evaluation=CONFIG["evaluation"] | {"tokens_per_domain": 10**6})
"""The smoke study with all of its held-out text, so that a chunk takes its time."""

TARGET = "results/smoke/sweep/w32/average/0.parquet"


@pytest.fixture
def prepared(first_run, tmp_path):
    """A copy of the trained smoke study with the long text prepared."""
    workspace = Workspace(tmp_path / "copy")
    shutil.copytree(first_run.folder, workspace.folder)
    workspace.run(LONG, "results/smoke/data/shards/contents.parquet")
    return workspace


def n_records(workspace) -> int:
    path = (workspace.folder / TARGET).with_suffix(".progress")
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def kill_half_way(workspace) -> None:
    process = subprocess.Popen(
        workspace.command(LONG, "--cores", "1", TARGET),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while n_records(workspace) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_killed_sweep_equals_an_uninterrupted_one(prepared):
    table = prepared.folder / TARGET
    table.unlink()
    kill_half_way(prepared)
    done = n_records(prepared)
    assert 3 <= done < 16
    assert not table.exists()
    assert prepared.snakemake(LONG, "--unlock").returncode == 0
    prepared.run(LONG, TARGET)
    resumed = table.read_bytes()
    cost = read_json(table.with_suffix(".cost.json"))
    assert cost["n_resumed"] == done
    assert cost["n_merges"] == 16 - done
    assert n_records(prepared) == 0
    table.unlink()
    prepared.run(LONG, TARGET)
    assert read_json(table.with_suffix(".cost.json"))["n_resumed"] == 0
    assert table.read_bytes() == resumed
