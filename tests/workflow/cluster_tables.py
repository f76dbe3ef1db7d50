"""Makes docs/cluster-tables.md; `python -m tests.workflow.cluster_tables` renews it."""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mergelaw.config import Study, parse_study
from mergelaw.costs.inputs import Case, text_length
from mergelaw.costs.job_rows import job_row
from mergelaw.costs.machine_file import MachineFile
from mergelaw.costs.size_models import size_models
from mergelaw.costs.sweep import SweepSize
from mergelaw.design import chunks
from mergelaw.paths import StudyPaths
from tests.workflow import reruns
from tests.workflow.reruns import EDITS, JOBS, TARGETS, kept
from tests.workflow.stand_in import shipped
from tests.workflow.workspace import ROOT, Workspace

FILE = ROOT / "docs" / "cluster-tables.md"
LADDERS = ("smoke", "default")
CHECKPOINTS = ("own-experts", "llama3", "pool16", "qwen2.5", "qwen2.5-10k")
CLUSTER_RULES = (
    *("items", "tokenizer", "pretraining", "shards"),
    *("base", "expert", "chunk", "task_vectors"),
)
HEAD_RULES = ("design", "losses", "curves", "fits", "analysis", "figure", "page")
NODE = MachineFile(device="H100", gpus_per_node=8, node_memory_gb=2000, cpus_per_gpu=8)
JOB_MINUTES = 60.0
TABLE_RULES = {"losses", "curves", "fits", "analysis", "figure", "page"}
MARKS = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str, folder: Path) -> str:
    """The page with its tables made anew; dry runs in a folder."""
    tables = {
        "jobs": lambda: job_rows(folder),
        "sweep": sweep_rows,
        "targets": target_rows,
        "edits": edit_rows,
    }
    return MARKS.sub(lambda found: f"{found[1]}{_table(tables[found[2]]())}{found[3]}", page)


def job_counts(folder: Path, name: str) -> Counter[str]:
    """Jobs of a shipped study by rule, by a dry run where nothing is made."""
    return Counter(job.split()[0] for job in Workspace(folder).jobs(shipped(name)))


def job_rows(folder: Path) -> Iterator[list[str]]:
    """A row per study."""
    yield ["study", *(f"`{rule}`" for rule in CLUSTER_RULES), "of a cluster", "head", "all"]
    for name in (*LADDERS, *CHECKPOINTS):
        counts = job_counts(folder, name)
        remote = [counts[rule] for rule in CLUSTER_RULES]
        head = sum(counts[rule] for rule in HEAD_RULES)
        assert sum(remote) + head == counts.total(), counts
        yield [f"`{name}`", *map(_number, [*remote, sum(remote), head, counts.total()])]


def sweep_rows() -> Iterator[list[str]]:
    """A row per study and size."""
    columns = ("study", "size", "merges", "jobs", "GPUs of a job", "shortest", "median", "longest")
    yield [*columns]
    for name in CHECKPOINTS[1:]:
        study = parse_study(shipped(name))
        for size in study.size_names:
            minutes, gpus = chunk_minutes(study, size)
            merges = len(study.methods) * (sum(len(c.subsets) for c in chunks(study, size)) - 1)
            middle = sorted(minutes)[len(minutes) // 2]
            lengths = (f"{value:.0f}" for value in (min(minutes), middle, max(minutes)))
            yield [f"`{name}`", size, _number(merges), _number(len(minutes)), str(gpus), *lengths]


def chunk_minutes(study: Study, size: str) -> tuple[list[float], int]:
    """Minutes of every chunk job of a size, all methods, on `NODE`; and its GPUs."""
    paths = StudyPaths(Path("nothing-here"))
    text = text_length(study, paths.shard_contents)
    models, _ = size_models(study, paths)
    at = SweepSize(Case(study, NODE.machine(JOB_MINUTES), text, models), size)
    rows = [
        job_row(at, "chunk", {"size": size, "method": label, "chunk": str(chunk.index)})
        for label in study.method_labels
        for chunk in chunks(study, size)
    ]
    return [row.longest_job_seconds / 60 for row in rows], rows[0].devices_per_job


def target_rows() -> Iterator[list[str]]:
    """A row per target."""
    yield ["target, below `results/smoke/`", "jobs that run", "jobs that do not"]
    for name, case in TARGETS.items():
        yield [name, _runs(case), _kept(case)]


def edit_rows() -> Iterator[list[str]]:
    """A row per edit."""
    yield ["edit", "jobs that run", "jobs that do not"]
    for name, case in EDITS.items():
        yield [name, _runs(case) or "none", _kept(case)]


def _runs(case: reruns.Case) -> str:
    """The jobs that a case runs; the tables by one word where all of them do."""
    rules = {pattern.split()[0] for pattern in case.runs}
    in_short = rules >= TABLE_RULES and not case.arguments
    words = [
        _words(*pattern.partition(" ")[::2], count)
        for pattern, count in case.runs.items()
        if not (in_short and pattern.split()[0] in TABLE_RULES)
    ]
    return ", ".join([*words, *["*tables*"] * in_short])


def _words(rule: str, pattern: str, count: int) -> str:
    if not pattern or pattern == "report":
        return rule
    return f"{count} {rule}" + ("" if pattern == "*" else f" `{pattern}`")


def _kept(case: reruns.Case) -> str:
    """The jobs of the study that a case leaves alone."""
    left = kept(case)
    if sum(n for n, _ in left.values()) == len(JOBS):
        return "all"
    parts = [rule if n == total else f"{n} of {total} {rule}" for rule, (n, total) in left.items()]
    return ", ".join(parts) or "none"


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _table(rows: Iterable[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        FILE.write_text(render(FILE.read_text(encoding="utf-8"), Path(empty)), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
