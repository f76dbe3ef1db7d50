"""docs/cluster-tables.md is in step; the ten-thousand-merge study is what a cluster can take."""

import re
import subprocess
import sys

from mergelaw.config import parse_study
from mergelaw.planned import study_counts
from tests.workflow.cluster_tables import FILE, MARKS, chunk_minutes, render
from tests.workflow.stand_in import shipped
from tests.workflow.workspace import ROOT, Workspace, environment

TEN_THOUSAND = "qwen2.5-10k"
PLAN = """
import sys
from snakemake.cli import main
try:
    main(sys.argv[1:])
finally:
    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"torch", "transformers", "tokenizers", "polars", "scipy", "lmfit", "matplotlib", "seaborn"}
"""What no job may load to find out what it is to do; numpy and pandas are Snakemake's own."""


def test_the_page_is_in_step(tmp_path):
    page = FILE.read_text(encoding="utf-8")
    assert page == render(page, tmp_path), "renew it: python -m tests.workflow.cluster_tables"
    assert len(MARKS.findall(page)) == 4


def test_the_ten_thousand_merges_are_about_300_jobs_of_20_to_60_minutes():
    study = parse_study(shipped(TEN_THOUSAND))
    counts = study_counts(study)
    assert counts["merges"] == 10_868
    assert counts["chunks"] <= 300
    minutes = [m for size in study.size_names for m in chunk_minutes(study, size)[0]]
    assert len(minutes) == counts["chunks"]
    assert min(minutes) >= 19
    assert max(minutes) <= 60


def test_above_8b_every_k_is_sampled_and_below_all_subsets_are_in():
    study = parse_study(shipped(TEN_THOUSAND))
    merges = {row["size"]: row["merges"] // 4 for row in study_counts(study)["sizes"]}
    assert [merges[size.name] for size in study.sizes if size.n_params < 8e9] == [511] * 4
    assert all(merges[size.name] < 511 for size in study.sizes if size.n_params > 8e9)


def test_planning_it_on_a_cluster_s_node_loads_nothing_heavy(tmp_path):
    command = Workspace(tmp_path).command(shipped(TEN_THOUSAND), "--dry-run", "--quiet", "rules")
    machine = ["--default-resources", "machine=profiles/slurm/machine.yaml"]
    done = subprocess.run(
        [sys.executable, "-c", PLAN, *command[1:], *machine],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    log, _, loaded = done.stdout.partition("loaded:")
    assert re.search(r"^chunk +300$", log + done.stderr, re.MULTILINE), done.stderr[-2000:]
    assert not re.search(r"^(base|expert) ", log + done.stderr, re.MULTILINE)
    assert "snakemake" in loaded.split()
    assert HEAVY & set(loaded.split()) == set()
