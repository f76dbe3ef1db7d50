"""What a target or an edit of a finished study runs: the cases of docs/cluster-tables.md."""

import fnmatch
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mergelaw.config import Study, parse_study
from mergelaw.design import chunks
from mergelaw.laws.registry import REPORT_ANALYSES
from mergelaw.report.registry import figures_of
from tests.workflow.workspace import CONFIG, edited

SMALL, LARGE = CONFIG["sizes"]
SMALL = {**SMALL, "chunk_size": 8}
LARGE = {**LARGE, "chunk_size": 6}


def sampled(**design: Any) -> dict[str, Any]:
    """The size w32, whose subsets are drawn."""
    part = {"kind": "uniform", "k": [1, 2, 4], "subsets_per_k": 2}
    return {**LARGE, "design": [{**part, **design}]}


FINISHED = edited(CONFIG, sizes=[SMALL, sampled()])
"""The smoke study, cut so that chunks are full: w16 all 16 subsets, 8 a chunk; w32 5 drawn and the
base, in a chunk of 6."""

ALGEBRA_2 = {"name": "algebra2", "domain": "algebra"}
CHEMISTRY = {
    "name": "chemistry",
    "source": {"kind": "procedural", "generator": "chemistry", "items": 400},
    "block": "science",
}
HALF = {"label": "half", "method": "task_arithmetic", "parameters": {"scale": 0.5}}
W64 = {"name": "w64", "architecture": {**SMALL["architecture"], "hidden_size": 64}}

LAWS = {"curves": 1, "fits": 1, "analysis *": 6, "page report": 1}
ALL_FIGURES = {"figure *": len(figures_of("report"))}
TABLES = {"losses": 1, **LAWS, **ALL_FIGURES}
"""The tables and the report: seconds, and no job of a cluster."""
OF_LOSSES = TABLES | {"figure *": len(figures_of("report")) - 2}
"""The same without the two figures of task vectors."""
TEXT = {"items *": 4, "tokenizer": 1}


class Case(NamedTuple):
    """A target of a study that nothing is made of, or an edit of a finished one.

    Attributes
    ----------
    runs
        Jobs by pattern, and how many there are of each; nothing else may run.
    changes
        Top-level keys of the config that are replaced.
    arguments
        Targets, or options of Snakemake's.
    """

    runs: Mapping[str, int]
    changes: Mapping[str, Any] = {}
    arguments: tuple[str, ...] = ()


def _target(path: str, runs: Mapping[str, int]) -> Case:
    return Case(runs, arguments=(f"results/smoke/{path}",))


def _edit(runs: Mapping[str, int], **changes: Any) -> Case:
    return Case(runs, changes)


def _training(kind: str, steps: int) -> dict[str, Any]:
    training = CONFIG["training"]
    return {**training, kind: {**training[kind], "steps": steps}}


BASE_W16 = {**TEXT, "pretraining": 1, "base w16": 1}
SCORED_W16 = {**BASE_W16, "expert w16/*": 4, "shards": 1}

TARGETS = {
    "one expert: `experts/w16/physics`": _target(
        "experts/w16/physics", {**BASE_W16, "expert w16/physics": 1}
    ),
    "one merge: `merge/w16/ties/algebra+code`": _target(
        "merge/w16/ties/algebra+code",
        {**BASE_W16, "expert w16/algebra": 1, "expert w16/code": 1, "cell w16/ties/*": 1},
    ),
    "one chunk: `sweep/w16/ties/0.parquet`": _target(
        "sweep/w16/ties/0.parquet",
        {
            **BASE_W16,
            "shards": 1,
            **{
                f"expert w16/{name}": 1 for name in ("algebra", "physics", "biology")
            },  # those in it
            "chunk w16/ties/0": 1,
        },
    ),
    "one method at one size: `sweep/w16/ties/losses.parquet`": _target(
        "sweep/w16/ties/losses.parquet", {**SCORED_W16, "chunk w16/ties/*": 2, "part w16/ties": 1}
    ),
    "one curve: `laws/curves/w16/ties.parquet`": _target(
        "laws/curves/w16/ties.parquet",
        {**SCORED_W16, "chunk w16/ties/*": 2, "part w16/ties": 1, "part_curves w16/ties": 1},
    ),
    "one size: `laws/curves/w16.parquet`": _target(
        "laws/curves/w16.parquet",
        {**SCORED_W16, "chunk w16/*": 8, "part w16": 1, "part_curves w16": 1},
    ),
    "one figure: `report/figures/synergy.svg`": _target(
        "report/figures/synergy.svg",
        {
            **TEXT,
            "pretraining": 1,
            "base *": 2,
            "expert *": 8,
            "shards": 1,
            "chunk *": 12,
            "losses": 1,
            "analysis synergy": 1,
            "figure synergy": 1,
        },
    ),
    "derivatives at one merge: `theory/w16/derivatives.parquet`": _target(
        "theory/w16/derivatives.parquet", {**SCORED_W16, "derivatives w16": 1}
    ),
    "the best weights: `theory/w16/weights.parquet`": _target(
        "theory/w16/weights.parquet", {**SCORED_W16, "weights w16": 1}
    ),
    "what derivatives predict, beside the measured: `theory/curves.parquet`": _target(
        "theory/curves.parquet",
        {
            **TEXT,
            "pretraining": 1,
            "base *": 2,
            "expert *": 8,
            "shards": 1,
            "chunk *": 12,
            "losses": 1,
            "curves": 1,
            "fits": 1,
            "scales *": 2,
            "analysis scale_fits": 1,
            "analysis scale_curves": 1,
            "task_vectors *": 2,
            "derivatives *": 2,
            "predictions": 1,
        },
    ),
    "the planner: `planning/planner.html`": _target(
        "planning/planner.html",
        {
            **TEXT,
            "pretraining": 1,
            "base *": 2,
            "expert *": 8,
            "multitask *": 2,
            "multitask_losses *": 2,
            "shards": 1,
            "chunk *": 12,
            "losses": 1,
            "curves": 1,
            "fits": 1,
            "analysis multitask": 1,
            "law_file": 1,
            "planner": 1,
        },
    ),
}
"""Targets of a study that nothing is made of yet; all below `results/smoke/`."""

EDITS = {
    "a new method": _edit(
        {"chunk */half/*": 3, "task_vectors *": 2, **TABLES},
        methods=[*CONFIG["methods"], HALF],
    ),
    "a method's parameter": _edit(
        {"chunk */ties/*": 3, "task_vectors *": 2, **TABLES},
        methods=[
            {**m, "parameters": {**m["parameters"], "density": 0.5}} if m["label"] == "ties" else m
            for m in CONFIG["methods"]
        ],
    ),
    "a method left out": _edit(
        {"task_vectors *": 2, **TABLES},
        methods=CONFIG["methods"][:3],
    ),
    "a new size": _edit(
        {
            "design": 1,
            "base w64": 1,
            "expert w64/*": 4,
            "chunk w64/*": 4,
            "task_vectors w64": 1,
            **TABLES,
        },
        sizes=[*FINISHED["sizes"], W64],
    ),
    "a new expert of a domain that is there (w16 exhaustive, w32 sampled)": (
        _edit(
            {
                "design": 1,
                "expert w16/algebra2": 1,
                "expert w32/algebra2": 1,
                "chunk w16/*/2": 4,
                "chunk w16/*/3": 4,
                "chunk w32/*": 8,  # drawn from another pool
                "task_vectors *": 2,
                **TABLES,
            },
            experts=[*CONFIG["experts"], ALGEBRA_2],
        )
    ),
    "the same, `chunk_size: 9` (a last chunk that is not full is filled)": _edit(
        {
            "design": 1,
            "expert w16/algebra2": 1,
            "expert w32/algebra2": 1,
            "chunk w16/*": 16,
            "chunk w32/*": 8,
            "task_vectors *": 2,
            **TABLES,
        },
        experts=[*CONFIG["experts"], ALGEBRA_2],
        sizes=[{**SMALL, "chunk_size": 9}, sampled()],
    ),
    "more subsets of each k: `subsets_per_k: 3` at w32": _edit(
        {"design": 1, "chunk w32/*/1": 4, **OF_LOSSES},
        sizes=[SMALL, sampled(subsets_per_k=3)],
    ),
    "more subsets: a part is appended to the design of w32": _edit(
        {"design": 1, "chunk w32/*/1": 4, "chunk w32/*/2": 4, **OF_LOSSES},
        sizes=[SMALL, {**LARGE, "design": [*sampled()["design"], {"kind": "exhaustive"}]}],
    ),
    "a new k, as a part of its own": _edit(
        {"design": 1, "chunk w32/*/1": 4, **OF_LOSSES},
        sizes=[
            SMALL,
            {**LARGE, "design": [*sampled()["design"], {"kind": "exhaustive", "k": [3]}]},
        ],
    ),
    "a new k within a sampled part (rounds go through all k)": _edit(
        {"design": 1, "chunk w32/*": 8, **OF_LOSSES},
        sizes=[SMALL, sampled(k=[1, 2, 4, 3])],
    ),
    "another length of the chunks of w16: `chunk_size: 4`": _edit(
        {"design": 1, "chunk w16/*": 16, **OF_LOSSES},
        sizes=[{**SMALL, "chunk_size": 4}, sampled()],
    ),
    "a longer `chunk_size` that cuts the subsets as before": _edit(
        {"page report": 1}, sizes=[SMALL, {**sampled(), "chunk_size": 512}]
    ),
    "a new domain (the study's tokenizer is trained on the text of all)": _edit(
        {
            "items chemistry": 1,
            "tokenizer": 1,
            "pretraining": 1,
            "shards": 1,
            "base *": 2,
            "expert *": 8,
            "chunk *": 12,
            "task_vectors *": 2,
            **TABLES,
        },
        domains=[*CONFIG["domains"], CHEMISTRY],
    ),
    "steps of the experts' training": _edit(
        {"expert *": 8, "chunk *": 12, "task_vectors *": 2, **TABLES},
        training=_training("expert", 21),
    ),
    "steps of the bases' training": _edit(
        {
            "pretraining": 1,
            "base *": 2,
            "expert *": 8,
            "chunk *": 12,
            "task_vectors *": 2,
            **TABLES,
        },
        training=_training("base", 61),
    ),
    "`evaluation.tokens_per_domain`": _edit(
        {"shards": 1, "chunk *": 12, **OF_LOSSES},
        evaluation={**CONFIG["evaluation"], "tokens_per_domain": 400},
    ),
    "`laws`": _edit({**LAWS, **ALL_FIGURES}, laws={**CONFIG["laws"], "resamples": 50}),
    "`notes`": _edit({"page report": 1}, notes=["another"]),
    "`evaluation.batch_tokens`": _edit(
        {}, evaluation={**CONFIG["evaluation"], "batch_tokens": 512}
    ),
    "a profile: another executor, its machine, memory and time": Case(
        {},
        arguments=(
            *("--workflow-profile", "profiles/slurm"),
            *("--set-resources", "chunk:mem_mb=64000", "chunk:runtime=600", "expert:mem_mb=9000"),
        ),
    ),
}
"""Edits of the finished study."""


def all_jobs(study: Study) -> list[str]:
    """Every job of a study, as `Workspace.jobs` names them."""
    chunk_jobs = [
        f"{size}/{label}/{chunk.index}"
        for size, label in itertools.product(study.size_names, study.method_labels)
        for chunk in chunks(study, size)
    ]
    targets: dict[str, Iterable[str]] = {
        "items": study.domain_names,
        "base": study.size_names,
        "expert": [f"{s}/{e}" for s in study.size_names for e in study.expert_names],
        "chunk": chunk_jobs,
        "task_vectors": study.size_names,
        "analysis": REPORT_ANALYSES,
        "figure": figures_of("report"),
        "page": ["report"],
    }
    single = ("design", "tokenizer", "pretraining", "shards", "losses", "curves", "fits")
    named = [f"{rule} {name}" for rule, names in targets.items() for name in names]
    return sorted([*single, *named])


JOBS = all_jobs(parse_study(FINISHED))


def matching(jobs: Iterable[str], pattern: str) -> list[str]:
    """The jobs that a pattern means; a star goes beyond a slash."""
    return [job for job in jobs if fnmatch.fnmatchcase(job, pattern)]


def kept(case: Case) -> dict[str, tuple[int, int]]:
    """How many of the study's own jobs of each rule a case does not run, and how many there are."""
    run = {job for pattern in case.runs for job in matching(JOBS, pattern)}
    total = Counter(job.split()[0] for job in JOBS)
    left = Counter(job.split()[0] for job in JOBS if job not in run)
    return {rule: (n, total[rule]) for rule, n in left.items()}
