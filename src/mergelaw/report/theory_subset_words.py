"""What one merge says of single subsets, in sentences that take every number from the tables."""

from collections.abc import Sequence
from statistics import median

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.report import words
from mergelaw.report.captions.figure import CROSS_CURVATURE, PREDICTED_SUBSETS, RANKINGS
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.theory_choice import ROUTES, main_route, of_main_route
from mergelaw.report.theory_words import K_GROUPS, two_digits

NO_SUBSETS = "No subset is both predicted and measured."
FIXED_K = (3, 4, 5)
"""Numbers of experts at which a choice for one domain is told."""


def theory_subsets(study: Study, tables: Tables) -> list[str]:
    """Give the errors of single subsets, and whether the best of all was named."""
    frame = rows(tables[RANKINGS], domain=MACRO, k=0)
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = of_main_route(study, rows(frame, method=method))
        found = rows(tables[PREDICTED_SUBSETS], domain=MACRO, method=method)
        exact = part.filter(pl.col("chosen") == pl.col("best")).height
        result.append(
            f"{method} ({ROUTES[str(main_route(study, part))]}): of "
            f"{words.span(part['n_subsets'].to_list(), words.whole)} subsets at each size, half "
            f"are predicted within {words.span(part['median_error'].to_list(), two_digits)} and "
            f"95% within {words.span(part['p95_error'].to_list(), two_digits)}; the subset "
            f"predicted to be the best is the best as measured at "
            f"{exact} of {words.plural(part.height, 'size')}{_missed(part)}."
        )
        if found["loss"].null_count():
            result.append(f"{method}: not all predicted subsets were measured.")
    return result or [NO_SUBSETS]


def _missed(part: pl.DataFrame) -> str:
    """Name what a choice loses where it was not the best."""
    lost = part.filter(pl.col("chosen") != pl.col("best")).drop_nulls("regret")
    if lost.is_empty():
        return ""
    return f", elsewhere {words.span(lost['regret'].to_list(), words.small)} nats/token above it"


def theory_rankings(study: Study, tables: Tables) -> list[str]:
    """Give rank correlations by k, and what a choice at fixed k loses beside a random one."""
    method = study.reference_label
    frame = of_main_route(study, rows(tables[RANKINGS], method=method))
    frame = frame.filter(pl.col("k") > 0).drop_nulls("rank_correlation")
    if frame.is_empty():
        return ["No k has three subsets, predicted and measured."]
    macro = frame.filter(pl.col("domain") == MACRO)
    parts = [
        f"{_correlations(macro.filter(test))} at {name}"
        for name, test in K_GROUPS
        if not macro.filter(test).is_empty()
    ]
    result = [
        f"{method}: rank correlation over the subsets of k, macro loss, over sizes: "
        f"{words.joined(parts)}."
    ]
    single = frame.filter(pl.col("domain") != MACRO)
    many = single.filter(pl.col("k") >= 3)
    if not many.is_empty():
        result.append(
            f"Of single domains it is {_correlations(many)} at k ≥ 3, half of them above "
            f"{words.number(median(many['rank_correlation'].to_list()))}."
        )
    return result + _regret(single)


def _correlations(frame: pl.DataFrame) -> str:
    return words.span(frame["rank_correlation"].to_list(), lambda x: words.number(x, 2))


def _regret(frame: pl.DataFrame) -> list[str]:
    """Give the loss of choosing for one domain at fixed k, as a share of a random subset's."""
    known = frame.drop_nulls(["regret", "regret_random"]).filter(pl.col("regret_random") > 0)
    parts = [
        f"{words.percent(max(shares), 0)} at k = {k} (median {words.percent(median(shares), 0)})"
        for k in FIXED_K
        if (shares := _shares(rows(known, k=k)))
    ]
    return [
        "Chosen for one domain, a subset lies above the best of its k by a share of what a random "
        f"one does; over domains and sizes at most {words.joined(parts)}. That is on the text that "
        "derivatives were taken on; what a choice loses on other text is not checked here."
    ] * bool(parts)


def _shares(frame: pl.DataFrame) -> list[float]:
    return [regret / random for regret, random in frame.select("regret", "regret_random").rows()]


def theory_synergy(study: Study, tables: Tables) -> list[str]:
    """Count, at the largest size, gains whose sign is right, and name the largest misses."""
    frame = _gains(study, tables)
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return [NO_GAINS]
    part = rows(frame, size=sizes[-1])
    same = part.filter(pl.col("gain").sign() == pl.col("gain_predicted").sign()).height
    far = part.sort((pl.col("gain") - pl.col("gain_predicted")).abs(), descending=True)
    worst = [
        f"{row['donor']} to {row['receiver']} ({words.number(row['gain_predicted'], 2)} for "
        f"{words.number(row['gain'], 2)} as measured)"
        for row in far.head(2).to_dicts()
    ]
    return [
        f"At {sizes[-1]} the sign is right for {words.share_of(same, part.height, 'gain')} of an "
        f"expert to a domain; furthest off are {words.joined(worst)}."
    ]


NO_GAINS = "No gain of an expert is both predicted and measured."


def theory_synergy_pairs(study: Study, tables: Tables) -> list[str]:
    """Give, by size, how far predicted gains are from measured ones."""
    frame = _gains(study, tables)
    result = []
    for size in present(study.size_names, frame, "size"):
        part = rows(frame, size=size)
        off = _distances(part)
        result.append(
            f"{size}: half of the {part.height} gains are off by at most "
            f"{words.small(median(off))} nats/token, the furthest by {words.small(max(off))}; "
            f"half of them are at least {words.small(median(_magnitudes(part)))} in size."
        )
    return result or [NO_GAINS]


def _gains(study: Study, tables: Tables) -> pl.DataFrame:
    frame = of_main_route(study, rows(tables[CROSS_CURVATURE], method=study.reference_label))
    return frame.drop_nulls(["gain", "gain_predicted"]).filter(pl.col("receiver") != MACRO)


def _distances(part: pl.DataFrame) -> Sequence[float]:
    return [abs(first - second) for first, second in part.select("gain", "gain_predicted").rows()]


def _magnitudes(part: pl.DataFrame) -> Sequence[float]:
    return [abs(gain) for gain in part["gain"].to_list()]
