"""How far the fits can be trusted, in sentences that take every number from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import FITS, MACRO
from mergelaw.laws.schemas.doubts import INTERVALS, NULL_R2, POOLS, RIVALS, TWO_STAGE
from mergelaw.report import words
from mergelaw.report.grids import SYMBOLS
from mergelaw.report.inputs import Tables, rows

INDISTINCT = 2.0
"""Difference of AICc below which two forms cannot be told apart (Burnham and Anderson 2002)."""

TARGETS = {
    "pool": ("profile", "this pool and text"),
    "text": ("items", "new text"),
    "experts": ("delete_1", "new experts"),
}
"""Targets of intervals: how the quoted one is found, and what it is about."""

LAWS = {
    "floor_tail": "floor + tail",
    "zero_offset": "floor + tail, offset 0",
    "power": "floor + power of k",
    "joint": "joint law",
    "flat_tail": "joint, one tail for all sizes",
    "joint_zero_offset": "joint, offset 0",
    "repeat_last": "repeat the last loss",
    "interference": "floor + tail + interference",
    "logarithm": "logarithm of k",
    "exponential": "floor + exponential of k",
}


def law_words(law: str) -> str:
    """Return a form's name in words."""
    return LAWS.get(law, law.replace("_", " "))


def in_domain(study: Study, tables: Tables) -> list[str]:
    """Count, over methods and domains, where parameters of the joint law end at a bound."""
    fits = rows(tables[FITS.file], law="joint").filter(pl.col("domain") != MACRO)
    n_fits = fits.select("method", "domain").n_unique()
    if not n_fits:
        return ["No joint law was fitted to a single domain."]
    result = [
        f"{words.plural(n_fits, 'joint fit')} of single domains, all methods. b = 0 is an answer, "
        "the tail in 1/k; any other parameter at a bound is no estimate of it."
    ]
    for name, symbol in SYMBOLS.items():
        part = rows(fits, parameter=name)
        bound = part.filter("at_bound")
        if bound.is_empty():
            continue
        low, high = (bound.filter(pl.col("value") == pl.col(end)) for end in ("minimum", "maximum"))
        ends = [
            f"at its {what} bound {words.span(found['value'].to_list(), words.small)} in "
            f"{words.share_of(found.height, n_fits, 'fit')}"
            for what, found in (("lower", low), ("upper", high))
            if found.height
        ]
        result.append(f"{symbol} ends {words.joined(ends)}.")
    return result


def intervals(study: Study, tables: Tables) -> list[str]:
    """Give the widths of the intervals by target, and the notes on them."""
    frame = rows(tables[INTERVALS.file], domain=MACRO)
    sized = rows(frame, law="floor_tail")
    result = []
    for quantity, what in (("floor", "the floor"), ("loss_pool", "the loss at the pool")):
        part = rows(sized, quantity=quantity)
        parts = [
            f"{words.span(widths(part, target), words.small)} for {label}"
            for target, (_, label) in TARGETS.items()
            if widths(part, target)
        ]
        if parts:
            result.append(
                f"Width of the 95% interval of {what}, macro loss, over methods and sizes, in "
                f"nats/token: {words.joined(parts)}."
            )
    return result + _interval_notes(frame) or ["No fit of the macro loss has an interval."]


def widths(frame: pl.DataFrame, target: str) -> list[float]:
    """Return the widths of a target's two-sided intervals."""
    part = rows(frame, target=target, how=TARGETS[target][0]).drop_nulls(["low", "high"])
    return [high - low for low, high in part.select("low", "high").iter_rows()]


def _interval_notes(frame: pl.DataFrame) -> list[str]:
    """Return the notes of the quoted intervals, with how many each is about."""
    frame = frame.filter(pl.col("how").is_in([how for how, _ in TARGETS.values()]))
    notes = frame["note"].drop_nulls().to_list()
    pairs = [(part, "") for note in notes for part in note.split("; ")]
    return [
        f"Note of {words.share_of(len(about), frame.height, 'interval')}: {note}."
        for note, about in words.grouped_notes(pairs)
    ]


def rivals(study: Study, tables: Tables) -> list[str]:
    """Say which form has the lowest AICc, which cannot be told from it, and who predicts best."""
    frame, result = rows(tables[RIVALS.file], domain=MACRO), []
    for over, law, kind in (("k", "floor_tail", "curve"), ("size and k", "joint", "surface")):
        part = rows(frame, over=over).drop_nulls("delta_aicc")
        if part.is_empty():
            continue
        n_curves = part.select("method", "size").n_unique()
        near = part.filter(pl.col("delta_aicc") < INDISTINCT)
        others = [
            f"{law_words(name)} ({words.share_of(rows(near, law=name).height, n_curves, kind)})"
            for name in part["law"].unique(maintain_order=True)
            if name != law and rows(near, law=name).height
        ]
        best = rows(part, law=law).filter(pl.col("delta_aicc") == 0).height
        text = (
            f"Of forms of {over}, the {law_words(law)} has the lowest AICc in "
            f"{words.share_of(best, n_curves, kind)} of the macro loss"
        )
        text += f"; lowest, or within 2 of it: {words.joined(others)}." if others else "."
        result.append(text)
    if result:
        result.append(
            "AICc takes the residuals as independent, and the points of a curve share experts and "
            "text: read it as a ranking, not as odds."
        )
    return result + _heldout(frame) or ["No curve of the macro loss has an AICc."]


def _heldout(frame: pl.DataFrame) -> list[str]:
    """Compare the held-out errors of the forms of k, the smallest worst case first."""
    known = rows(frame, over="k").drop_nulls("heldout_error")
    errors = {law: rows(known, law=law)["heldout_error"].to_list() for law in known["law"].unique()}
    ranked = sorted(errors, key=lambda law: max(errors[law]))
    if not ranked:
        return []
    parts = [f"{law_words(law)} {words.span(errors[law], two_digits)}" for law in ranked]
    return [f"Largest error at large k when fitted to smaller k, macro loss: {'; '.join(parts)}."]


def two_digits(share: float) -> str:
    """Return a share in percent with two digits after the point."""
    return words.percent(share, 2)


def null_r2(study: Study, tables: Tables) -> list[str]:
    """Compare measured R2 with those of drawn curves that follow no law."""
    frame, result = tables[NULL_R2.file], []
    kinds = (("falling", "that fall in any way"), ("falling_convex", "whose drops shrink with k"))
    for null, what in kinds:
        macro = rows(frame, null=null, domain=MACRO).drop_nulls("r2")
        if macro.is_empty():
            continue
        every = rows(frame, null=null).filter(pl.col("domain") != MACRO).drop_nulls("r2")
        above, domains = (
            words.share_of(part.filter(pl.col("r2") > pl.col("null_q95")).height, part.height, "x")
            for part in (macro, every)
        )
        result.append(
            f"Drawn curves {what} have a median R² of {_r2(macro, 'null_median')}, and 5% of them "
            f"{_r2(macro, 'null_q95')} or more; the measured macro curves have {_r2(macro, 'r2')}. "
            f"An R² above that of 95% of drawn curves: {above.replace(' x', ' macro curve')}, "
            f"{domains.replace(' x', ' curve')} of single domains."
        )
    return result or ["No fit of one size has an R²."]


def _r2(frame: pl.DataFrame, column: str) -> str:
    return words.span(frame[column].to_list(), lambda value: words.number(value, 4))


def two_stage(study: Study, tables: Tables) -> list[str]:
    """Compare the exponents of two stages with those of the joint fit, for the macro loss."""
    frame, result = rows(tables[TWO_STAGE.file], domain=MACRO), []
    joint = rows(tables[FITS.file], law="joint", domain=MACRO)
    for exponent in ("size_exponent", "tail_exponent"):
        found = frame[exponent].drop_nulls().to_list()
        other = rows(joint, parameter=exponent)["value"].to_list()
        if found:
            text = f"{SYMBOLS[exponent]} of the macro loss, over methods: {words.span(found)}"
            text += f" by two stages, {words.span(other)} by one joint fit" if other else ""
            result.append(f"{text}.")
    fits = [words.span(frame[c].to_list(), lambda v: words.number(v, 4)) for c in R2_COLUMNS]
    if result and fits != [words.MISSING] * 2:
        result.append(f"R² of the two stages' lines: floors {fits[0]}, tails {fits[1]}.")
    notes = frame["note"].drop_nulls().unique(maintain_order=True).to_list()
    result += [f"Note: {note}." for note in notes]
    return result or ["No two stages: the macro loss has floors and tails of too few sizes."]


R2_COLUMNS = ("r2_floor", "r2_tail")


def pools(study: Study, tables: Tables) -> list[str]:
    """Say how far floor, pool loss and k90 move when one or two experts are left out."""
    frame, result = rows(tables[POOLS.file], domain=MACRO), []
    full = rows(frame, left_out="none").select(
        "size", "method", *(pl.col(name).alias(f"full_{name}") for name in MOVED)
    )
    every = frame.filter(pl.col("left_out") != "none").join(full, on=("size", "method"))
    for n_out, label in ((1, "one expert"), (2, "two experts")):
        part = every.filter(pl.col("n_experts") == len(study.experts) - n_out)
        if part.is_empty():
            continue
        floor, loss = (words.span(_moves(part, name), _signed) for name in MOVED)
        result.append(
            f"Without {label}, over all such pools, methods and sizes, macro loss in nats/token: "
            f"the floor moves by {floor} and the loss of the whole pool by {loss}; 90% of "
            f"the fall is reached at k = {words.span(part['k90'].to_list(), words.whole)}."
        )
    return result or ["No smaller pool has a curve."]


MOVED = ("floor", "loss_pool")


def _moves(frame: pl.DataFrame, name: str) -> list[float]:
    known = frame.drop_nulls([name, f"full_{name}"])
    return [value - full for value, full in known.select(name, f"full_{name}").iter_rows()]


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{words.number(value)}"
