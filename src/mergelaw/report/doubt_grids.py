"""The full page's tables of numbers: joint fits of domains, intervals, rivals, forecasts."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import FITS, MACRO
from mergelaw.laws.schemas.doubts import FORECAST_INTERVALS, INTERVALS, RIVALS, TRIPLE_ERRORS
from mergelaw.report import words
from mergelaw.report.doubt_words import INDISTINCT, TARGETS, law_words, two_digits
from mergelaw.report.grids import SYMBOLS, Grid, parameter_words
from mergelaw.report.inputs import Tables, parameters, present, rows


def in_domain(study: Study, tables: Tables) -> Grid:
    """Tabulate the joint law of every method and domain."""
    fits, body = tables[FITS.file], []
    for method in study.method_labels:
        for domain in (MACRO, *study.domain_names):
            if fit := parameters(fits, "joint", method, domain):
                values = [parameter_words(fit.get(name)) for name in SYMBOLS]
                body.append([method, domain, *values])
    return Grid(
        "The joint law of every domain, and of the macro loss: value ± standard error of the fit "
        "(* at a bound, where no error is defined).",
        ("method", "domain", *SYMBOLS.values()),
        body,
        2,
    )


def intervals(study: Study, tables: Tables) -> Grid:
    """Tabulate the intervals of the macro fits of the largest size, and of the joint law."""
    frame, body = rows(tables[INTERVALS.file], domain=MACRO), []
    sizes = present(study.size_names, frame, "size")
    fits = [("joint", None, "joint")] + [("floor_tail", size, size) for size in sizes[-1:]]
    for method in present(study.method_labels, frame, "method"):
        for law, size, label in fits:
            part = rows(frame, method=method, law=law, size=size)
            for quantity in part["quantity"].unique(maintain_order=True):
                found = rows(part, quantity=quantity)
                name = SYMBOLS.get(quantity, quantity) if law == "joint" else quantity
                body.append(
                    [
                        method,
                        label,
                        {"loss_pool": "loss at the pool"}.get(quantity, name),
                        words.number(found["estimate"][0]),
                        *(_ends(found, target) for target in TARGETS),
                    ]
                )
    return Grid(
        "95% intervals of the macro fits: the joint law, and the law of the largest size. This "
        "pool: profile of the scatter about the law. New text: items resampled. New experts: "
        "jackknife that leaves out one expert at a time. “Below” and “above” mark intervals "
        "without an end on one side; – where a parameter stays at its bound.",
        (
            "method",
            "law of",
            "quantity",
            "estimate",
            *(label.replace("this pool and text", "this pool") for _, label in TARGETS.values()),
        ),
        body,
        3,
    )


def _ends(frame: pl.DataFrame, target: str) -> str:
    found = rows(frame, target=target, how=TARGETS[target][0]).to_dicts()
    return words.interval(found[0]["low"], found[0]["high"]) if found else words.MISSING


def rivals(study: Study, tables: Tables) -> Grid:
    """Tabulate every form: how often it is the best, or as good, and its held-out errors."""
    frame, body = rows(tables[RIVALS.file], domain=MACRO), []
    forms = (
        frame.select("over", "law").unique(maintain_order=True).sort("over", maintain_order=True)
    )
    for over, law in forms.rows():
        part = rows(frame, over=over, law=law)
        deltas = part["delta_aicc"].drop_nulls()
        body.append(
            [
                law_words(law),
                over,
                words.span(part["n_parameters"].to_list(), words.whole),
                words.whole(part.height),
                _count(deltas == 0),
                _count(deltas < INDISTINCT),
                words.span(deltas.to_list(), lambda delta: words.number(delta, 1)),
                words.span(part["heldout_error"].to_list(), two_digits),
            ]
        )
    return Grid(
        "Forms fitted to the same points of the macro loss. Lowest: fits in which the form has "
        "the lowest AICc; within 2: in which it cannot be told from the lowest.",
        (
            "form",
            "of",
            "parameters",
            "fits",
            "lowest",
            "within 2",
            "AICc less the lowest",
            "held-out error",
        ),
        body,
    )


def _count(flags: pl.Series) -> str:
    return words.whole(len(flags.filter(flags))) if len(flags) else words.MISSING


def forecast_intervals(study: Study, tables: Tables) -> Grid:
    """Tabulate the forecast of the whole pool's macro loss with its intervals."""
    frame, pool = rows(tables[FORECAST_INTERVALS.file], domain=MACRO), len(study.experts)
    at_pool, body = frame.filter(pl.col("k") == pool).drop_nulls("loss_predicted"), []
    for method in present(study.method_labels, at_pool, "method"):
        for size in present(study.size_names, at_pool, "size"):
            part = rows(at_pool, method=method, size=size)
            if part.is_empty():
                continue
            ends = {row["target"]: (row["low"], row["high"]) for row in part.to_dicts()}
            body.append(
                [
                    method,
                    size,
                    words.number(part["loss_predicted"][0]),
                    words.number(part["loss"][0]),
                    *(words.interval(*ends.get(target, (None, None))) for target in TARGETS),
                ]
            )
    return Grid(
        f"The forecast of the macro loss at k = {pool} from three small k, with 95% intervals. "
        "Where all subsets were merged there is no interval for this pool: its three points are "
        "exact.",
        ("method", "size", "forecast", "measured", "this pool", "new text", "new experts"),
        body,
        2,
    )


def triples(study: Study, tables: Tables) -> Grid:
    """Tabulate the triples with the lowest median error, and the two that are named."""
    frame, body = tables[TRIPLE_ERRORS.file].drop_nulls("median_error"), []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method).sort("median_error")
        named = pl.col("points").is_in(["1,2,4", "1,3,6"])
        for row in part.filter(named | (pl.int_range(pl.len()) < BEST)).to_dicts():
            body.append(_triple(row))
    return Grid(
        f"Forecasts of the whole pool's loss from three k: the {BEST} triples with the lowest "
        "median error of each method, and {1, 2, 4} and {1, 3, 6}. Errors over the sizes and "
        "domains.",
        ("method", "from k", "curves", "no forecast", "median error", "90% below", "largest"),
        body,
        2,
    )


BEST = 3
"""Triples of each method that are tabulated for their low error."""


def _triple(row: Mapping[str, Any]) -> list[str]:
    errors = (row[name] for name in ("median_error", "q90_error", "largest_error"))
    return [
        row["method"],
        words.triple_words(row["points"]),
        words.whole(row["n_curves"]),
        words.whole(row["n_refused"]),
        *(words.percent(error, 3) for error in errors),
    ]
