"""The full page's further sections: figures with their sentences and tables, in order."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mergelaw.config import Study
from mergelaw.report import (
    balanced_words,
    capacity_words,
    check_words,
    cost_words,
    doubt_grids,
    doubt_words,
    merge_times,
    multitask_words,
    published_words,
    scale_words,
    subset_words,
    synergy_words,
    training_words,
)
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, why_nothing
from mergelaw.report.registry import FIGURES

Words = Callable[[Study, Tables], list[str]]


class Finding(NamedTuple):
    """What a section says of one figure: sentences, and a table where numbers are to be read.

    Attributes
    ----------
    figure
        Its name, a key of `FIGURES`; the figure's title heads it.
    words, grid
        Functions of the study and its tables.
    kind
        Class of the table: "text" where its cells are sentences, which wrap.
    """

    figure: str
    words: Words
    grid: Callable[[Study, Tables], Grid] | None = None
    kind: str = ""


class Section(NamedTuple):
    """A section: its anchor, its title, a paragraph that opens it, and its findings."""

    anchor: str
    title: str
    opening: str
    findings: tuple[Finding, ...]


SECTIONS = (
    Section(
        "trust",
        "How far the fits can be trusted",
        "A fit that goes through its points may still say nothing about others. Here the law is "
        "set against other forms, other ways of fitting, other pools and other text.",
        (
            Finding("in_domain", doubt_words.in_domain, doubt_grids.in_domain),
            Finding("intervals", doubt_words.intervals, doubt_grids.intervals),
            Finding("rivals", doubt_words.rivals, doubt_grids.rivals),
            Finding("null_r2", doubt_words.null_r2),
            Finding("two_stage", doubt_words.two_stage),
            Finding("pools", doubt_words.pools),
        ),
    ),
    Section(
        "forecasts",
        "Forecasts, checked",
        "All k were measured here, so that forecasts from few of them can be checked.",
        (
            Finding(
                "forecast_intervals",
                check_words.forecast_intervals,
                doubt_grids.forecast_intervals,
            ),
            Finding("triples", check_words.triples, doubt_grids.triples),
            Finding("transfer", check_words.transfer),
        ),
    ),
    Section(
        "more",
        "What one more expert buys",
        "The law's tail falls as 1/k, so the gain of one more expert falls as 1/k².",
        (
            Finding("gains", check_words.gains),
            Finding("near_floor", check_words.near_floor),
        ),
    ),
    Section(
        "subsets",
        "What single subsets say",
        "A curve is a mean over subsets. How far they spread, which of them are better, and how "
        "few would have done.",
        (
            Finding("variance_forms", subset_words.variance_forms),
            Finding("dispersion", subset_words.dispersion),
            Finding("order", subset_words.order),
            Finding("synergy_estimators", synergy_words.synergy_estimators),
            Finding("synergy_strengths", synergy_words.synergy_strengths),
            Finding("synergy_blocks", synergy_words.synergy_blocks),
            Finding("mixing", subset_words.mixing),
            Finding("designs", subset_words.designs),
            Finding("balanced", balanced_words.balanced, balanced_words.grid),
        ),
    ),
    Section(
        "scales",
        "The scale of the merged task vector",
        "For a nearly quadratic loss the best scale grows with k, and the law keeps its form "
        "there, with an offset. Real merges at several scales check both.",
        (
            Finding("scale_curves", scale_words.scale_curves),
            Finding("best_scales", scale_words.best_scales),
            Finding("scale_gains", scale_words.scale_gains),
        ),
    ),
    Section(
        "training",
        "Training of the experts",
        "How the experts were trained, what more training brings, and what one model learns that "
        "is trained on all their items together: the other way to one model of all domains.",
        (
            Finding("training_curves", training_words.training_curves),
            Finding("post_training", training_words.post_training),
            Finding("post_training_domains", training_words.post_training_domains),
            Finding("multitask", multitask_words.multitask, multitask_words.grid),
        ),
    ),
    Section(
        "capacity",
        "Other ways of training the experts",
        "One base, and its experts trained in several ways: for more or fewer steps, at another "
        "rate, with low-rank adapters. Each pool is merged and scored alike.",
        (Finding("capacity", capacity_words.capacity, capacity_words.grid),),
    ),
    Section(
        "costs",
        "What it cost",
        "Every job measures what it takes: wall time, processor time, memory, devices, and the "
        "tokens that its models read. Here they are summed over the jobs of this config.",
        (
            Finding("costs", cost_words.costs, cost_words.costs_grid),
            Finding("merge_seconds", merge_times.merge_seconds, merge_times.merge_grid),
        ),
    ),
    Section(
        "published",
        "From published numbers",
        "What follows is not this study's data: it is drawn and computed from numbers that Wang et "
        "al. print in “Model Merging Scaling Laws in Large Language Models” (arXiv 2509.24244), "
        "and it is the same in every study's report.",
        (
            Finding("published_laws", published_words.published_laws),
            Finding(
                "published_curves", published_words.published_curves, published_words.fits_grid
            ),
            Finding("published_downstream", published_words.published_downstream),
            Finding(
                "published_checks",
                published_words.published_checks,
                published_words.checks_grid,
                "text",
            ),
        ),
    ),
)
"""Every further section, in the page's order."""


class Said(NamedTuple):
    """A finding of a study: the figure's name, sentences and a table, None where it has none."""

    figure: str
    sentences: list[str]
    grid: Grid | None
    kind: str = ""


def say(study: Study, tables: Tables, reasons: Mapping[str, str], section: Section) -> list[Said]:
    """Return what a section says; the reason alone where the data do not allow an analysis.

    Parameters
    ----------
    reasons : mapping of str to str
        From `mergelaw.report.inputs.not_made`.
    """
    result = []
    for finding in section.findings:
        reason = why_nothing(FIGURES[finding.figure].tables, reasons)
        if reason:
            result.append(Said(finding.figure, [f"Not made: {reason}."], None))
            continue
        grid = finding.grid(study, tables) if finding.grid else None
        shown = grid if grid and grid.rows else None
        result.append(Said(finding.figure, finding.words(study, tables), shown, finding.kind))
    return result
