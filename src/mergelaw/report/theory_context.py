"""What the theory page says at its head and of its ways: what one merge tells, how, and limits."""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.config.data import ProceduralSource
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.laws.schemas.theory import LARGEST_RESIDUAL
from mergelaw.paths import StudyPaths
from mergelaw.report import words
from mergelaw.report.captions.figure import (
    DERIVATIVES,
    PREDICTED_CURVES,
    PREDICTED_LAWS,
    RANKINGS,
    UPDATES,
    WEIGHTS,
)
from mergelaw.report.context import TINY
from mergelaw.report.inputs import Tables, n_by_size, present, rows
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
from mergelaw.report.theory_weights_words import CLEAR, cells
from mergelaw.report.theory_words import checked, errors, inside
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
    return [
        "Weights found from it by Newton's method change the macro loss on other text by "
        f"{words.joined(parts)}, over the sizes."
    ] * bool(parts)


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
    each = one.group_by("domain").agg(pl.col("n_items", "n_tokens").sum(), pl.len())
    items, tokens, folds = (
        words.span(each[name].to_list(), words.whole) for name in ("n_items", "n_tokens", "len")
    )
    routes = [ROUTES[route] for route in present(ROUTES, frame, "route")]
    result = [
        f"Where: at the merge of all {len(study.experts)} experts with equal weights, at the scale "
        f"{scales}, once for each of {words.plural(frame['size'].n_unique(), 'size')}.",
        f"On what: the study's own evaluation text, {items} items and {tokens} scored tokens of "
        f"each domain, dealt into {folds} folds, which are resampled for standard errors.",
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


def limits(study: Study, tables: Tables) -> list[str]:
    """List where the prediction fails or cannot be checked, each with its numbers."""
    frame = of_main_route(study, checked(study, tables))
    return [
        *_small_k(frame),
        *_coverage(frame),
        *_not_identified(study, tables),
        *_refusals(study, tables),
        *_unclear_weights(study, tables),
        "Intervals for other text are not checked here: all merges were scored on one text, the "
        "one that derivatives were taken on. Read them as standard errors of that choice of items.",
        *_models(study, tables),
    ]


def _small_k(frame: pl.DataFrame) -> list[str]:
    """Say that few experts are far from the whole pool, by the errors there."""
    macro = frame.filter(pl.col("domain") == MACRO)
    if macro.is_empty():
        return []
    single = frame.filter(pl.col("domain") != MACRO)
    return [
        "Few experts are far from the whole pool. Largest errors over methods and sizes: macro "
        f"loss {errors(macro)}; single domains {errors(single) or words.MISSING}."
    ]


def _coverage(frame: pl.DataFrame) -> list[str]:
    """Give the share of measured means inside their intervals, which promise none."""
    known = frame.drop_nulls(["low", "high"])
    if known.is_empty():
        return ["Predictions have no interval: the third order was not measured."]
    return [
        "Intervals on this text are made from the size of higher orders and promise no rate. They "
        f"hold {words.percent(inside(known) / known.height)} of {known.height:,} measured means, "
        "which share experts and text: they are not so many independent checks."
    ]


def _not_identified(study: Study, tables: Tables) -> list[str]:
    frame = of_main_route(study, tables[PREDICTED_LAWS])
    lost = frame.filter(pl.col("best_scale").is_null()).height
    below = frame.filter(pl.col("tail") <= 0)
    result = []
    if lost:
        result.append(
            f"A best scale is not identified for {words.share_of(lost, frame.height, 'curve')} of "
            "a domain or macro: the loss does not curve upwards along the merged task vector."
        )
    if below.height:
        result.append(
            f"The tail is not above 0 for {words.share_of(below.height, frame.height, 'curve')} "
            "of a domain or macro: there one merge says that more experts do not help, and k for "
            "85% and 90% have no meaning."
        )
    return result


def _refusals(study: Study, tables: Tables) -> list[str]:
    """Name the methods and k that are not predicted."""
    frame = tables[UPDATES].drop_nulls("residual").filter(pl.col("residual") > LARGEST_RESIDUAL)
    predicted = set(tables[PREDICTED_CURVES]["method"].to_list())
    result = [
        f"{method} is refused at k = {_ks(rows(frame, method=method))}: its merges there are no "
        f"mean of updates that one merge could tell (share above {LARGEST_RESIDUAL:g}; table "
        "of the section on the theorem's terms)."
        for method in present(study.method_labels, frame, "method")
    ]
    never = [name for name in study.method_labels if name not in predicted]
    if never:
        result.append(f"Nothing is predicted of {words.joined(never)}.")
    return result


def _ks(frame: pl.DataFrame) -> str:
    return words.joined([str(k) for k in sorted(set(frame["k"].to_list()))])


def _unclear_weights(study: Study, tables: Tables) -> list[str]:
    """Count the searches whose gain the other text does not tell from 0."""
    frame = rows(tables[WEIGHTS], way=NEWTON).drop_nulls("heldout_stderr")
    full = rows(tables[WEIGHTS], way="full_average").select(
        "size", "objective", pl.col("heldout").alias("full")
    )
    both = frame.join(full, on=["size", "objective"])
    change = pl.col("full") - pl.col("heldout")
    unclear = both.filter(change < CLEAR * pl.col("heldout_stderr")).height
    return [
        f"Of searches for weights {unclear} of {both.height} gain less on other text than "
        f"{CLEAR:g} standard errors of the difference: that text does not tell them from the full "
        "average."
    ] * bool(unclear)


def _models(study: Study, tables: Tables) -> list[str]:
    """Say that the models and texts are small and made up, where they are."""
    n_params = n_by_size(tables[CURVES.file])
    result = []
    if n_params and max(n_params.values()) < TINY:
        result.append(
            f"All models are tiny, at most {words.count(max(n_params.values()) * 1e9)} "
            "parameters: what holds for them need not hold for large models."
        )
    if any(isinstance(domain.source, ProceduralSource) for domain in study.domains):
        result.append("Text drawn by seeded generators is no natural text.")
    return result


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
