"""What the study shows, in plain words: each sentence only where its tables carry it."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, HELDOUT, MACRO, RETURNS
from mergelaw.laws.schemas.doubts import INTERVALS, NEAR_FLOOR, NULL_R2, RIVALS
from mergelaw.report import words
from mergelaw.report.doubt_words import INDISTINCT, law_words, widths
from mergelaw.report.inputs import Tables, by_k, n_by_size, rows

CURVE = ("method", "size", "domain")


def shows(study: Study, tables: Tables, fits: Mapping[str, Any]) -> list[str]:
    """Return what the measured curves and the checks of the law support."""
    return [
        *_falls(tables),
        *_shares(study, tables),
        *_floors(study, tables),
        *_sizes(tables, fits),
        *_forms(tables),
        *_automatic(tables),
        *_targets(tables),
    ]


def _falls(tables: Tables) -> list[str]:
    """Count the curves on which the measured loss falls at every step of k."""
    curves = tables[CURVES.file].filter(pl.col("k") > 0)
    falling: dict[bool, list[bool]] = {True: [], False: []}
    for (*_, domain), curve in curves.partition_by(*CURVE, as_dict=True).items():
        if curve.height > 1:
            falling[domain == MACRO].append(not words.rises(by_k(curve, "loss")))
    if not falling[True]:
        return []
    macro, single = (
        words.share_of(sum(found), len(found), "curve") for found in (falling[True], falling[False])
    )
    lead = "More experts help: the" if all(falling[True]) else "The"
    return [
        f"{lead} measured loss falls at every step of k on {macro} of the macro "
        f"loss (a curve is one method at one size) and on {single} of single domains."
    ]


def _shares(study: Study, tables: Tables) -> list[str]:
    """Say how much of the fall from one expert to the pool a few experts give."""
    pool = len(study.experts)
    returns = rows(tables[RETURNS.file], domain=MACRO).drop_nulls("return")
    ks = [k for k in dict.fromkeys((2, (pool + 1) // 2)) if 1 < k < pool]
    parts = [
        f"{words.span(rows(returns, k=k)['return'].to_list(), _whole_percent)} with {k} experts"
        for k in ks
        if rows(returns, k=k).height
    ]
    if not parts:
        return []
    return [
        f"Of the fall of the macro loss from one expert to all {pool}, {words.joined(parts)} is "
        "reached, over methods and sizes. That the share rises this fast is part of the law's "
        "form, not a separate finding."
    ]


def _whole_percent(share: float) -> str:
    return words.percent(share, 0)


def _floors(study: Study, tables: Tables) -> list[str]:
    """Set the extrapolated floor against the reachable end of the curve."""
    pool = len(study.experts)
    near = rows(tables[NEAR_FLOOR.file], domain=MACRO).drop_nulls(["floor", "loss_pool"])
    if near.is_empty():
        return []
    closest = near.filter(pl.col("gap") == pl.col("gap").min())
    gaps = [loss - floor for loss, floor in closest.select("loss_pool", "floor").iter_rows()]
    known = closest.drop_nulls("k_floor")
    text = (
        f"The floor is an extrapolation: it lies {words.span(gaps)} nats/token below L({pool}), "
        "the loss of the whole pool, the reachable end of the curve."
    )
    if known.height:
        reached = known.filter("reachable").height
        text += (
            f" Within {closest['gap'][0]:g} nats/token of it the law needs "
            f"{words.span(known['k_floor'].to_list(), words.whole)} experts; the pool has enough "
            f"on {words.share_of(reached, known.height, 'curve')}."
        )
    return [text]


def _sizes(tables: Tables, fits: Mapping[str, Any]) -> list[str]:
    """Give the error on the held-out largest size, and the sizes that the law of N rests on."""
    frame = rows(tables[HELDOUT.file], law="joint", left_out="largest_size", domain=MACRO)
    error = words.largest_error(frame["relative_error"].to_list())
    if error is None:
        return []
    joint = [fit for fit in fits["fits"] if (fit["law"], fit["domain"]) == ("joint", MACRO)]
    made = [fit["max_relative_error"] for fit in joint]
    seen = words.percent(max(made, default=None))
    n_sizes = len(n_by_size(tables[CURVES.file]))
    return [
        f"Across sizes: fitted to {n_sizes - 1} of the {n_sizes} sizes, the joint law misses the "
        f"macro loss of the largest by up to {words.percent(error)} (the worst method and k)"
        f"{f'; fitted to all, it misses its own points by up to {seen}' if made else ''}."
    ]


def _forms(tables: Tables) -> list[str]:
    """Name the forms of k that AICc cannot tell from floor + tail."""
    frame = rows(tables[RIVALS.file], over="k", domain=MACRO).drop_nulls("delta_aicc")
    near = frame.filter(pl.col("delta_aicc") < INDISTINCT)
    own = rows(near, law="floor_tail").select("method", "size")
    n_curves = frame.select("method", "size").n_unique()
    if not n_curves:
        return []
    shared = near.filter(pl.col("law") != "floor_tail").join(own, on=("method", "size"))
    others = frame.filter(pl.col("delta_aicc") == 0).join(own, on=("method", "size"), how="anti")
    text = (
        f"AICc puts floor + tail first, or within {INDISTINCT:g} of the first, on "
        f"{words.share_of(own.height, n_curves, 'macro curve')}"
    )
    text += f"; there it cannot tell it from {_named(shared)}" if shared.height else ""
    text += f". On the others another form fits better: {_named(others)}." if others.height else "."
    return [text]


def _named(frame: pl.DataFrame) -> str:
    """Name the forms of a table of rivals, with the number of curves of each."""
    laws = frame["law"].unique(maintain_order=True)
    return words.joined([f"{law_words(law)} ({rows(frame, law=law).height})" for law in laws])


def _automatic(tables: Tables) -> list[str]:
    """Say how many R2 are no higher than those of drawn curves that follow no law."""
    frame = rows(tables[NULL_R2.file], null="falling_convex", domain=MACRO).drop_nulls("r2")
    if frame.is_empty():
        return []
    usual = frame.filter(pl.col("r2") <= pl.col("null_q95")).height
    return [
        "How much of a high R² is automatic: curves drawn at random, following no law but that "
        f"their drops shrink with k, have a median R² of "
        f"{_four(frame['null_median'].to_list())}. The measured R² of "
        f"{_four(frame['r2'].to_list())} is no higher than that of the best 5% of them on "
        f"{words.share_of(usual, frame.height, 'macro curve')}."
    ]


def _four(values: list[float]) -> str:
    return words.span(values, lambda value: words.number(value, 4))


def _targets(tables: Tables) -> list[str]:
    """Say how much wider intervals are for new experts and new text than for this pool."""
    sized = rows(
        tables[INTERVALS.file], law="floor_tail", domain=MACRO, quantity="loss_pool"
    ).drop_nulls(["low", "high"])
    pool = widths(sized, "pool")
    others = {
        label: found
        for target, label in (("experts", "new experts"), ("text", "new text"))
        if (found := widths(sized, target))
    }
    if not pool or not others:
        return []
    wider = all(min(found) > max(pool) for found in others.values())
    lead = "What holds for this pool and text is known better than what holds for others: the"
    parts = [f"{words.span(found)} for {label}" for label, found in others.items()]
    return [
        f"{lead if wider else 'The'} "
        f"95% interval of the fitted loss at the pool is {words.span(pool)} nats/token wide for "
        f"this pool, {words.joined(parts)} (macro loss, over methods and sizes)."
    ]
