"""What trainings and their snapshots say, in sentences that take every number from the tables."""

from collections.abc import Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.design import MULTITASK
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import POST_TRAINING, POST_TRAINING_FITS, TRAINING_CURVES
from mergelaw.report import words
from mergelaw.report.captions.figure import TRAINING
from mergelaw.report.inputs import Tables, present, rows

CERTAIN = 2.0
"""Standard errors above which a difference is called one."""

EXPONENTS = {"size_exponent": "α", "data_exponent": "β"}


def training_curves(study: Study, tables: Tables) -> list[str]:
    """Give steps, tokens, speed and the ends of the training losses, size by size."""
    frame, logs = tables[TRAINING_CURVES.file], tables[TRAINING]
    sizes = present(study.ladder, frame, "size")
    if not sizes:
        return ["No training of an expert has a log."]
    result = [_lengths(study, logs)]
    for size in sizes:
        part = rows(frame, size=size).sort("stretch")
        ends = [_ends("the mean of the experts", rows(part, expert=None))]
        both = rows(part, expert=MULTITASK)
        ends += [_ends("the multitask baseline", both)] if both.height else []
        result.append(f"{size}: the training loss falls {words.joined(ends)} (nats/token).")
    result.append(
        f"The learning rate peaks at {words.span(_peaks(frame), words.small)}. A step's loss is of "
        "its own items, before the step: it is noisy, and no measure of what was learned for other "
        "items."
    )
    return result


def _ends(who: str, curve: pl.DataFrame) -> str:
    first, last = curve["loss"][0], curve["loss"][-1]
    return f"from {words.number(first)} to {words.number(last)} for {who}"


def _peaks(frame: pl.DataFrame) -> list[float | None]:
    """Return the highest rate of each size, as means over stretches show it."""
    peaks = frame.group_by("size", maintain_order=True).agg(pl.col("learning_rate").max())
    return peaks["learning_rate"].to_list()


def _lengths(study: Study, logs: pl.DataFrame) -> str:
    """Say how long an expert's training is, and how fast."""
    trained = logs.filter(pl.col("expert").is_in(study.expert_names))
    sums = trained.group_by("size", "expert").agg(
        pl.len().alias("steps"), pl.col("n_tokens", "n_scored", "seconds").sum()
    )
    totals = sums.group_by("size").agg(pl.col("n_tokens").sum() / pl.col("seconds").sum())
    speed = dict(totals.iter_rows())
    speeds = [
        f"{words.whole(speed[size])} at {size}" for size in present(study.ladder, totals, "size")
    ]
    return (
        f"An expert is trained for {words.span(sums['steps'].to_list(), words.whole)} steps on "
        f"{words.span(sums['n_tokens'].to_list(), words.whole)} tokens, of which "
        f"{words.span(sums['n_scored'].to_list(), words.whole)} are of responses and count. Tokens "
        f"a second, saving aside: {words.joined(speeds)}."
    )


def post_training(study: Study, tables: Tables) -> list[str]:
    """Give the mean falls of each size, what the last stretch brings, and the law."""
    frame = tables[POST_TRAINING.file]
    result = []
    for size in present(study.ladder, frame, "size"):
        curve = rows(frame, size=size, domain=MACRO).sort("point")
        if curve.height > 1:
            result.append(_of_size(size, curve))
    return [*result, *_law(tables), CAVEAT]


def _of_size(size: str, curve: pl.DataFrame) -> str:
    base, end = curve.row(0, named=True), curve.row(-1, named=True)
    return (
        f"{size}: on its own domain an expert falls from {words.number(base['loss'])} (the base) "
        f"to {words.with_error(end['loss'], end['token_se'])} on average, with "
        f"{words.count(end['training_tokens'])} tokens and "
        f"{words.scientific(end['training_flops'], 1)} FLOPs of training. The fall, on the same "
        f"items, is {words.with_error(end['fall_total'], end['fall_total_se'])}; the last "
        f"{words.percent(_last_share(curve), 0)} of the tokens bring "
        f"{words.with_error(end['fall'], end['fall_se'])} of it."
    )


def _last_share(curve: pl.DataFrame) -> float:
    before, end = curve["training_tokens"][-2], curve["training_tokens"][-1]
    return float((end - before) / end)


def _law(tables: Tables) -> list[str]:
    """Give the exponents of the mean's law, and how many laws are identified."""
    fits = tables[POST_TRAINING_FITS.file]
    if fits.is_empty():
        return ["No law of size and tokens could be fitted: not identified."]
    each = fits.unique(["domain", "expert"], maintain_order=True)
    known = words.share_of(each.filter("identified").height, each.height, "fit")
    result = [f"The law E + A/N^α + B/D^β is identified by {known} (the mean, and each expert)."]
    macro = rows(fits, domain=MACRO)
    found = {row["parameter"]: row for row in macro.drop_nulls("value").to_dicts()}
    if found:
        parts = [
            f"{symbol} = {words.with_error(found[name]['value'], found[name]['stderr'])}"
            for name, symbol in EXPONENTS.items()
        ]
        note = next(iter(found.values()))["note"]
        result.append(
            f"Of the mean: {words.joined(parts)}, R² {words.number(macro['r2'][0], 4)} of "
            f"{words.plural(macro['n_points'][0], 'point')}. {note[:1].upper()}{note[1:]}."
        )
    return result


CAVEAT = (
    "All points of an expert lie on one training with one learning-rate schedule: they show how "
    "that training went, and are no independent trainings of their lengths. Before the end the "
    "rate is still high, so a training that ends there would reach a lower loss; an exponent of D "
    "fitted to them is not that of a scaling law of training lengths."
)


def post_training_domains(study: Study, tables: Tables) -> list[str]:
    """Count the experts whose loss still falls at the end, and those that rise."""
    frame = tables[POST_TRAINING.file].drop_nulls("expert")
    result = []
    for size in present(study.ladder, frame, "size"):
        last = rows(frame, size=size).filter(
            pl.col("point") == pl.col("point").max().over("expert")
        )
        known = last.drop_nulls(["fall", "fall_se"])
        falls = known.filter(pl.col("fall") > CERTAIN * pl.col("fall_se"))
        rises = known.filter(pl.col("fall") < -CERTAIN * pl.col("fall_se"))
        if known.height:
            text = (
                f"{size}: from the last point before the end to the end the loss still falls by "
                f"more than {CERTAIN:g} standard errors for "
                f"{words.share_of(falls.height, known.height, 'expert')}"
            )
            result.append(text + (f"; it rises for {_named(rises)}." if rises.height else "."))
    return result or ["With one scored item in a domain no error of a fall is known."]


def _named(frame: pl.DataFrame) -> str:
    names: Sequence[str] = frame["expert"].to_list()
    return words.joined(names)
