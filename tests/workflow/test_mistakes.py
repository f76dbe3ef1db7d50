"""Mistakes end in words before any job starts."""

import subprocess
import sys
from pathlib import Path

from tests.workflow.workspace import CONFIG, ROOT, Workspace, edited, environment


def refused(tmp_path, config) -> str:
    done = Workspace(tmp_path).snakemake(config, "--dry-run")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_all_problems_of_a_config_are_reported_at_once(tmp_path):
    config = edited(
        CONFIG,
        sede=1,
        design=[{"kind": "exhaustive", "k": [9]}],
        methods=[{"label": "a", "method": "tie"}],
    )
    text = refused(tmp_path, config)
    assert "sede: unknown key; did you mean 'seed'?" in text
    assert "methods[0].method = 'tie': must be one of" in text
    assert "design[0].k = 9: allowed 1 to 4" in text
    assert not (tmp_path / "results").exists()


def test_a_missing_data_file_is_named(tmp_path):
    source = {"kind": "files", "files": ["nowhere.json"]}
    domains = [{"name": "algebra", "source": source}, *CONFIG["domains"][1:]]
    assert "nowhere.json" in refused(tmp_path, edited(CONFIG, domains=domains))


def test_a_failed_job_shows_its_reason_and_leaves_no_output(tmp_path):
    data = tmp_path / "empty.json"
    data.write_text("[]", encoding="utf-8")
    source = {"kind": "files", "files": [str(data)]}
    domains = [{"name": "algebra", "source": source}, *CONFIG["domains"][1:]]
    workspace = Workspace(tmp_path)
    target = "results/smoke/data/items/algebra.parquet"
    done = workspace.snakemake(edited(CONFIG, domains=domains), "--cores", "1", target)
    assert done.returncode != 0
    assert f"error: {data}: holds an empty list" in done.stdout + done.stderr
    assert not (tmp_path / target).exists()


def test_the_slurm_profile_plans_from_the_root(tmp_path):
    binary = Path(sys.executable).with_name("snakemake")
    for profile in ("slurm", "profiles/slurm"):
        done = subprocess.run(
            [str(binary), "--profile", profile, "--dry-run", "--forceall", "--quiet", "rules"],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "chunk" in done.stdout + done.stderr
