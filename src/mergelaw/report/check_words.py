"""How forecasts do and what more experts buy, in sentences with numbers from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import (
    FORECAST_INTERVALS,
    GAINS,
    NEAR_FLOOR,
    TRANSFER,
    TRIPLE_ERRORS,
)
from mergelaw.report import words
from mergelaw.report.inputs import Tables, present, rows

TARGETS = {"pool": "for this pool", "text": "for new text", "experts": "for new experts"}


def forecast_intervals(study: Study, tables: Tables) -> list[str]:
    """Give widths of the forecast's intervals at the pool, and how often they hold the loss."""
    frame, pool = tables[FORECAST_INTERVALS.file], len(study.experts)
    at_pool = frame.filter(pl.col("k") == pool).drop_nulls(["low", "high"])
    result = []
    for target, what in TARGETS.items():
        macro = rows(at_pool, target=target, domain=MACRO)
        if macro.is_empty():
            continue
        widths = [high - low for low, high in macro.select("low", "high").iter_rows()]
        result.append(
            f"The interval {what} of the forecast macro loss at k = {pool} is "
            f"{words.span(widths)} nats/token wide, over methods and sizes."
        )
    known = at_pool.drop_nulls("loss").filter(pl.col("domain") != MACRO)
    held = [
        f"{words.share_of(_n_held(part), part.height, 'curve')} {what}"
        for target, what in TARGETS.items()
        if (part := rows(known, target=target)).height
    ]
    if held:
        result.append(
            f"The measured loss at k = {pool} lies inside the interval in {words.joined(held)} "
            "(single domains). The forecast misses by the law's lack of fit, which no interval "
            "has in it; new text and new experts move the measured loss as well."
        )
    return result or ["No forecast of the whole pool's loss has an interval."]


def _n_held(frame: pl.DataFrame) -> int:
    return frame.filter(pl.col("loss").is_between("low", "high")).height


def triples(study: Study, tables: Tables) -> list[str]:
    """Compare {1,2,4} and {1,3,6}, and name the best triple up to their largest k."""
    frame = tables[TRIPLE_ERRORS.file].drop_nulls("median_error")
    largest = pl.col("points").str.split(",").list.last().cast(pl.Int64)
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        errors = dict(part.select("points", "median_error").iter_rows())
        named = [
            f"{words.triple_words(points)} {_two_digits(errors[points])}"
            for points in ("1,2,4", "1,3,6")
            if points in errors
        ]
        best = []
        for k in (4, 6):
            points, error = min(
                part.filter(largest <= k).select("points", "median_error").iter_rows(),
                key=lambda found: found[1],
                default=(None, None),
            )
            if points:
                best.append(f"up to k = {k}, {words.triple_words(points)} {_two_digits(error)}")
        refused = part.filter(pl.col("n_refused") > 0).height
        text = f"{method}, median error at the whole pool: {words.joined(named + best)}"
        if refused:
            text += f"; {words.plural(refused, 'triple')} gave no forecast for some curve"
        result.append(f"{text}.")
    return result or ["No triple of k has a forecast with an error."]


def _two_digits(share: float) -> str:
    return words.percent(share, 2)


def transfer(study: Study, tables: Tables) -> list[str]:
    """Give the errors with another size's offset, with the own one and with none."""
    frame = rows(tables[TRANSFER.file], domain=MACRO).drop_nulls("relative_error")
    sized = pl.col("source").is_in(study.size_names)
    kinds = (
        ("another size's offset", sized & (pl.col("source") != pl.col("target"))),
        ("the size's own offset", pl.col("source") == pl.col("target")),
        ("offset 0", ~sized),
    )
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        parts = []
        for what, chosen in kinds:
            errors = part.filter(chosen)["relative_error"].to_list()
            if errors:
                parts.append(f"{_two_digits(words.largest_error(errors) or 0.0)} with {what}")
        result.append(f"{method}: largest error of the macro loss {words.joined(parts)}.")
    return result or ["No size's offset could be carried to another size."]


def gains(study: Study, tables: Tables) -> list[str]:
    """Give the first and the last gain, and count gains of zero or less."""
    frame, result = rows(tables[GAINS.file], domain=MACRO), []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        ks = sorted(set(part["k"].to_list()))
        ends = [
            f"{words.span(rows(part, k=k)['gain'].to_list())} from k = {k} to {k + 1}"
            for k in dict.fromkeys((ks[0], ks[-1]))
        ]
        text = f"{method}: one more expert gains {words.joined(ends)} (nats/token, all sizes)"
        if lost := part.filter(pl.col("gain") <= 0).height:
            text += f"; at {words.share_of(lost, part.height, 'step')} nothing is gained"
        result.append(f"{text}.")
    return result or ["No two neighbouring k were measured."]


def near_floor(study: Study, tables: Tables) -> list[str]:
    """Say for each distance how many experts the floor and L(M) need, and where it is in reach."""
    frame, pool = rows(tables[NEAR_FLOOR.file], domain=MACRO), len(study.experts)
    result = []
    for gap in sorted(set(frame["gap"].to_list()), reverse=True):
        part = frame.filter(pl.col("gap") == gap)
        known = part.drop_nulls("k_floor")
        if known.is_empty():
            continue
        reached = known.filter("reachable").height
        measured = words.span(part["k_pool"].to_list(), words.whole)
        text = (
            f"Within {gap:g} nats/token of the floor: k = "
            f"{words.span(known['k_floor'].to_list(), words.whole)} by the law, in reach of the "
            f"pool of {pool} for {words.share_of(reached, known.height, 'macro curve')}"
        )
        text += "" if measured == words.MISSING else f"; of L({pool}): measured k = {measured}"
        result.append(f"{text}.")
    return result or ["No fit of one size to the macro loss tells its floor."]
