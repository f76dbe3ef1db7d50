"""What the theory page says at its head: what one merge tells, and how; and the jobs' notes."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.paths import StudyPaths
from mergelaw.report import words
from mergelaw.report.captions.figure import DERIVATIVES, RANKINGS, WEIGHTS
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import table_paths
from mergelaw.report.theory_choice import (
    BEST_SCALE,
    BEST_SUBSET,
    NEWTON,
    ROUTES,
    main_route,
    measured_merges,
    of_main_route,
    own_scale,
    searched,
)
from mergelaw.report.theory_weights_words import cells, minimised
from mergelaw.report.theory_words import checked, errors
from mergelaw.tables import read_provenance


def title(study: Study, tables: Tables) -> str:
    """Return the page's title, with the number of merges of a curve."""
    return f"Predicted from one merge, measured with {measured_merges(study, tables):,}"


def headline(study: Study, tables: Tables) -> list[str]:
    """Say in a few sentences what the one merge told of all others, for the reference method."""
    method = study.reference_label
    frame = rows(checked(study, tables), method=method, domain=MACRO)
    part = of_main_route(study, frame)
    if part.is_empty():
        return ["No curve of the reference method was predicted and measured."]
    first = (
        f"The study {study.name} merged {measured_merges(study, tables):,} subsets of "
        f"{len(study.experts)} experts at each of {words.plural(part['size'].n_unique(), 'size')}. "
        f"Of each size one merge, the whole pool's ({method}), with the loss's derivatives "
        f"there by {ROUTES[str(main_route(study, part))]}, predicts the mean macro loss of all "
        f"others within {errors(part)}."
    )
    return [first, *_subsets(study, tables, method), *_weights(study, tables)]


def _subsets(study: Study, tables: Tables, method: str) -> list[str]:
    frame = of_main_route(study, rows(tables[RANKINGS], method=method, domain=MACRO))
    many = frame.filter(pl.col("k") >= 3).drop_nulls("rank_correlation")
    every = rows(frame, k=0)
    if many.is_empty() or every.is_empty():
        return []
    exact = every.filter(pl.col("chosen") == pl.col("best")).height
    correlation = words.span(many["rank_correlation"].to_list(), lambda x: words.number(x, 2))
    return [
        f"It ranks the subsets of each k ≥ 3 with a rank correlation of {correlation}, and names "
        f"the best of all at {exact} of {words.plural(every.height, 'size')}."
    ]


def _weights(study: Study, tables: Tables) -> list[str]:
    """Set Newton's weights beside the best subset and the best scale, on other text."""
    objectives = searched(study, rows(tables[WEIGHTS], way=NEWTON))
    found = cells(study, tables[WEIGHTS], objectives[0]) if objectives else {}
    parts = []
    for way, name in ((BEST_SUBSET, "the best subset"), (BEST_SCALE, "the best scale alone")):
        changes = [
            cell[NEWTON]["heldout"] / cell[way]["heldout"] - 1
            for cell in found.values()
            if {NEWTON, way} <= cell.keys()
        ]
        if changes:
            parts.append(f"{words.span(changes, _signed)} from {name}")
    if not parts:
        return []
    known = [
        cell[NEWTON]["heldout_stderr"] / cell[NEWTON]["heldout"]
        for cell in found.values()
        if NEWTON in cell and cell[NEWTON]["heldout_stderr"] is not None
    ]
    told = f" (standard errors {words.span(known, words.percent)})" if known else ""
    return [
        f"Weights found from it by Newton's method change {minimised(study, objectives[0])} on "
        f"other text by {words.joined(parts)}, over the sizes. Their errors are known against the "
        f"full average alone{told}."
    ]


def _signed(share: float) -> str:
    return words.percent(share, 2, signed=True)


def how(study: Study, tables: Tables) -> list[str]:
    """Say what was measured: where, on which text, by which routes, with which settings."""
    frame = tables[DERIVATIVES]
    if frame.is_empty() or study.theory is None:
        return ["No derivatives were taken."]
    cell = ["size", "method", "route", "mask_seed"]
    one = frame.join(frame.select(cell).head(1), on=cell)
    methods = present(study.method_labels, frame, "method")
    scales = words.joined([f"{own_scale(study.method(m)):g} ({m})" for m in methods])
    each = one.group_by("domain").agg(pl.col("n_items", "n_tokens").sum())
    items, tokens = (words.span(each[n].to_list(), words.whole) for n in ("n_items", "n_tokens"))
    folds = words.span(frame.group_by(*cell, "domain").len()["len"].to_list(), words.whole)
    routes = [ROUTES[route] for route in present(ROUTES, frame, "route")]
    result = [
        f"Where: at the merge of all {len(study.experts)} experts with equal weights, at the scale "
        f"{scales}, once for each of {words.plural(frame['size'].n_unique(), 'size')}.",
        f"On what: the study's own evaluation text, {items} items and {tokens} scored tokens of "
        f"each domain, dealt into folds, {folds} by route, few where passes go backward; those of "
        "the route with most are resampled for standard errors.",
        f"How: by {words.joined(routes)}. Where one way is shown alone it is the first of these.",
    ]
    if rows(frame, route="differences").height or rows(frame, route="pairs").height:
        result.append(
            f"Differences step by {study.theory.step:g} of a task vector, or more where the loss "
            "is too noisy for that."
        )
    return result + _masks(study, frame)


def _masks(study: Study, frame: pl.DataFrame) -> list[str]:
    """Say how masks are met, where a method draws them."""
    masked = frame.drop_nulls("mask_spread")
    if masked.is_empty() or study.theory is None:
        return []
    methods = words.joined(present(study.method_labels, masked, "method"))
    return [
        f"{methods}: derivatives are along the task vectors as this study's masks leave them, so "
        "that predictions are of merges with these masks. What other masks would change is "
        f"estimated from {study.theory.mask_probes} random ones."
    ]


def notes(study: Study, paths: StudyPaths, files: Sequence[str]) -> list[str]:
    """Return what the theory's jobs noted, each note once, with what it is about.

    A note is `where: text`, with where a size, or a size and more after a comma.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for path in table_paths(study, paths, file):
            for note in json.loads(read_provenance(path).get("notes", "[]")):
                where, _, text = note.partition(": ")
                size, _, rest = where.partition(", ") if text else ("", "", "")
                sizes = found.setdefault(text or where, {}).setdefault(rest, [])
                sizes += [size] if size and size not in sizes else []
    return [f"{text}{_about(places)}" for text, places in found.items()]


def _about(places: Mapping[str, Sequence[str]]) -> str:
    """Return what a note is about, sizes of the same case together."""
    parts = [
        f"{rest} at {words.joined(sizes)}" if rest else words.joined(sizes)
        for rest, sizes in places.items()
        if sizes
    ]
    return f" ({'; '.join(parts)})" if parts else ""
