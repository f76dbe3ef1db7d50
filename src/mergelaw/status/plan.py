"""The jobs that make a study's report, and what they write."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergelaw.config import Study
from mergelaw.design import BASE, chunks
from mergelaw.jobs.rules import RULES
from mergelaw.laws.registry import REPORT_ANALYSES
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from mergelaw.report.registry import figures_of

STAGES = ("data", "experts", "sweep", "merge", "laws", "report")
"""Stages in the order in which they run; the subset list counts as data."""


@dataclass(frozen=True)
class PlannedJob:
    """A job of the report.

    Attributes
    ----------
    rule : str
        Its rule's name.
    targets : dict of str to str
        What its wildcards name.
    output : Path
        What is there when it is done.
    slice : str
        Digest of the config that decides its output.
    n_merges : int
        Merges that it scores; the base counts as none.
    """

    rule: str
    targets: dict[str, str]
    output: Path
    slice: str
    n_merges: int = 0

    @property
    def stage(self) -> str:
        """The stage that it is counted in."""
        return "data" if self.rule == "design" else RULES[self.rule].stage


def planned_jobs(study: Study, paths: StudyPaths) -> list[PlannedJob]:
    """Return the jobs of the report, in the order in which they can run."""
    found = [*_data(study, paths), *_experts(study, paths), *_sweep(study, paths)]
    return [_job(study, *job) for job in [*found, *_after(study, paths)]]


_Job = tuple[str, dict[str, Any], Path, int]


def _job(
    study: Study, rule: str, targets: dict[str, Any], output: Path, n_merges: int
) -> PlannedJob:
    digest = fingerprint(study, RULES[rule].stage, rule, **targets)
    names = {name: str(target) for name, target in targets.items()}
    return PlannedJob(rule, names, output, digest, n_merges)


def _data(study: Study, paths: StudyPaths) -> Iterator[_Job]:
    yield "design", {}, paths.subsets, 0
    for domain in study.domain_names:
        yield "items", {"domain": domain}, paths.items(domain), 0
    yield "tokenizer", {}, paths.tokenizer, 0
    if any(size.architecture for size in study.sizes):
        yield "pretraining", {}, paths.pretraining, 0
    yield "shards", {}, paths.shard_contents, 0


def _experts(study: Study, paths: StudyPaths) -> Iterator[_Job]:
    for size in study.sizes:
        if size.architecture and not size.setting:
            yield "base", {"size": size.name}, paths.trained(size.name, BASE), 0
        for expert in study.expert_names:
            if expert not in size.experts:
                names = {"size": size.name, "expert": expert}
                yield "expert", names, paths.trained(size.name, expert), 0


def _sweep(study: Study, paths: StudyPaths) -> Iterator[_Job]:
    for size in study.size_names:
        for method in study.methods:
            n_seeds = len(study.mask_seeds_of(method))
            for chunk in chunks(study, size):
                names = {"size": size, "method": method.label, "chunk": chunk.index}
                n_merges = n_seeds * sum(subset.k > 0 for subset in chunk.subsets)
                yield "chunk", names, paths.chunk(size, method.label, chunk.index), n_merges
    yield "losses", {}, paths.losses, 0


def _after(study: Study, paths: StudyPaths) -> Iterator[_Job]:
    for size in study.size_names:
        yield "task_vectors", {"size": size}, paths.task_vectors(size), 0
    yield "curves", {}, paths.law_table("curves"), 0
    yield "fits", {}, paths.law_table("fits"), 0
    for analysis in REPORT_ANALYSES:
        yield "analysis", {"analysis": analysis}, paths.law_table(analysis), 0
    for figure in figures_of("report"):
        yield "figure", {"figure": figure}, paths.figures / f"{figure}.svg", 0
    yield "page", {"page": "report"}, paths.page("report"), 0
