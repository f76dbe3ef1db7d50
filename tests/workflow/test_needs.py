"""Needs of jobs as Snakemake sees them: from a machine's file, over it, and mistakes in words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.workspace import CONFIG, ROOT, Workspace, edited, environment

NODE = "device: h100\ngpus_per_node: 4\nnode_memory_gb: 500\ncpus_per_gpu: 3\n"
MERGES = [
    "results/smoke/sweep/w16/ties/0.parquet",
    "results/smoke/merge/w16/task_vectors.parquet",
    "results/smoke/merge/w16/ties/algebra+code.parquet",
]


def machine(tmp_path, text=NODE):
    path = tmp_path / "machine.yaml"
    path.write_text(text)
    return f"machine={path}"


def asked(tmp_path, *arguments, config=CONFIG) -> dict[str, str]:
    """What a dry run says that each job asks for, by its rule."""
    done = Workspace(tmp_path).snakemake(config, "--dry-run", *MERGES, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = re.split(r"^(?:local)?rule (\w+):$", done.stdout, flags=re.MULTILINE)[1:]
    found = dict(zip(jobs[::2], jobs[1::2], strict=True))
    return {
        rule: " ".join(re.findall(r"^    (?:threads|resources): (.*)$", text, re.MULTILINE))
        for rule, text in found.items()
    }


def test_without_a_machine_jobs_ask_for_nothing(tmp_path):
    found = asked(tmp_path, "--cores", "8")
    assert {"chunk", "cell", "base", "task_vectors", "cell_losses"} <= found.keys()
    for rule in ("chunk", "base", "expert", "task_vectors", "cell", "cell_losses"):
        words = found[rule].replace("tmpdir=", "")
        assert "=" not in words, "no mem_mb, runtime, gpu"
    assert found["cell"].startswith("4 ")
    assert not found["chunk"].startswith("1 ")


def test_with_a_machine_each_job_asks_for_its_own(tmp_path):
    options = ("--cores", "64", "--default-resources", machine(tmp_path))
    found = asked(tmp_path, *options)
    for rule in ("chunk", "base", "expert", "cell_losses"):
        assert re.match(r"3 .*\bmem_mb=\d+,.*\bruntime=10\b.*\bgpu=1\b", found[rule]), found[rule]
    for rule in ("cell", "task_vectors"):
        assert re.match(r"4 .*\bmem_mb=1300,.*\bgpu=0\b", found[rule]), found[rule]
    over = ("--set-resources", "chunk:mem_mb=123", "chunk:gpu=2", "--set-threads", "chunk=5")
    found = asked(tmp_path, *options, *over)
    assert re.match(r"5 .*\bmem_mb=123,.*\bruntime=10\b.*\bgpu=2\b", found["chunk"]), "these win"


def test_the_shipped_profile_asks_for_a_gpu_for_each_chunk(tmp_path):
    done = subprocess.run(
        [str(Path(sys.executable).with_name("snakemake")), "--profile", "slurm", "--dry-run",
         "--forceall", "--configfile", "config/smoke.yaml"],
        cwd=ROOT, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    jobs = done.stdout.split("\nrule ")
    chunks = [job for job in jobs if job.startswith("chunk:")]
    assert len(chunks) > 5
    assert all(re.search(r"resources: .*mem_mb=.*gpu=1", job) for job in chunks)


def refused(tmp_path, *arguments, config=CONFIG) -> str:
    done = Workspace(tmp_path).snakemake(config, *arguments)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_mistakes_in_the_machine_s_file_end_in_words(tmp_path):
    bad = machine(tmp_path, NODE + "cpus_per_job: 4\nnodes: 3\n")
    text = refused(tmp_path, "--dry-run", "--default-resources", bad)
    assert "machine.yaml: 2 problems" in text
    assert "nodes: unknown key" in text
    assert "cpus_per_job = 4: is not for device H100" in text
    text = refused(tmp_path, "--dry-run", "--default-resources", "machine=nowhere.yaml")
    assert "nowhere.yaml: cannot be read" in text


LARGE = edited(
    CONFIG, training=CONFIG["training"] | {"expert": {"steps": 10**9, "batch_rows": 10**6}}
)


@pytest.mark.parametrize("arguments", [("--dry-run",), ("--cores", "1")])
def test_a_job_that_no_node_can_run_is_told_before_any_other_runs(tmp_path, arguments):
    text = refused(tmp_path, *arguments, "--default-resources", machine(tmp_path), config=LARGE)
    assert "machine.yaml: cannot run jobs of rule expert: 2 problems" in text
    for size in ("w16", "w32"):
        assert re.search(rf"size {size}: it needs [\d,.]+ GB of each H100, which has 80", text)
    assert not (tmp_path / "results" / "smoke" / "data").exists()


def test_jobs_find_the_node_s_cache_and_what_slurm_grants(tmp_path):
    """A stand-in for python on the path tells what a job's shell has; then it runs the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    told = '"$MERGELAW_CACHE|$MERGELAW_CACHE_GB|$MERGELAW_SLURM_MEMORY|$PYTHONPATH"'
    (folder / "python").write_text(
        f'#!/bin/sh\necho {told} > "{tmp_path}/told"\nexec "{sys.executable}" "$@"\n'
    )
    (folder / "python").chmod(0o755)
    node = machine(tmp_path, NODE + 'cache: "$NODE_DISK/a b/${USER}"\ncache_gb: 300\n')
    command = Workspace(tmp_path).command(
        CONFIG, "--cores", "1", "--default-resources", node, "--forcerun", "design"
    )
    done = subprocess.run(
        [*command, "--until", "design"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment()
        | {"PATH": f"{folder}{os.pathsep}{environment()['PATH']}", "NODE_DISK": "/disk"}
        | {"USER": "me", "SLURM_JOB_ID": "12", "SLURM_MEM_PER_NODE": "3456"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = (tmp_path / "told").read_text().strip()
    assert found == f"/disk/a b/me|300|12:3456|{ROOT}/src"
