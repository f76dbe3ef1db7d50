"""Who helps whom, in sentences that take every number from the tables."""

from collections.abc import Mapping

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas.subsets import SYNERGY_BLOCKS, SYNERGY_ESTIMATORS, SYNERGY_STRENGTHS
from mergelaw.report import words
from mergelaw.report.inputs import Tables, present, rows

MAIN = "balanced"
"""The estimator that others are compared with."""

ESTIMATORS: Mapping[str, str] = {
    "balanced": "balanced mean",
    "shapley": "Shapley value",
    "regression": "regression",
    "trajectory": "trajectory mean",
}

COUNTS_BASE = ", as it also counts the step from the base to the expert alone"

PAIR = ["size", "method", "donor", "receiver"]


def beside_main(frame: pl.DataFrame, estimator: str) -> pl.DataFrame:
    """Return the rows of an estimator with the balanced gain of the same pair as `main`."""
    main = rows(frame, estimator=MAIN).select(*PAIR, main="gain")
    return rows(frame, estimator=estimator).join(main, on=PAIR, maintain_order="left")


def block_names(study: Study, frame: pl.DataFrame, column: str) -> list[str]:
    """Return the blocks in a column, in the order of the study's domains."""
    order = [domain.block for domain in study.domains if domain.block]
    return present(dict.fromkeys(order), frame, column)


def synergy_estimators(study: Study, tables: Tables) -> list[str]:
    """Say how far each estimator is from the balanced mean, and how often their signs agree."""
    frame = tables[SYNERGY_ESTIMATORS.file].drop_nulls("gain")
    result = []
    for estimator in present(ESTIMATORS, frame, "estimator"):
        pairs = beside_main(frame, estimator)
        if estimator == MAIN or pairs.is_empty():
            continue
        apart = (pairs["gain"] - pairs["main"]).abs().to_list()
        same = pairs.filter((pl.col("gain") > 0) == (pl.col("main") > 0)).height
        text = (
            f"{ESTIMATORS[estimator]}: the sign is the {ESTIMATORS[MAIN]}'s for "
            f"{words.share_of(same, pairs.height, 'pair')}; they lie at most "
            f"{words.number(max(apart))} nats/token apart"
        )
        text += COUNTS_BASE if estimator == "shapley" else ""
        errors = pairs["stderr"].drop_nulls().to_list()
        text += f"; its standard error is {words.span(errors)}" if errors else ""
        result.append(f"{text} (all methods, sizes, experts and domains).")
    return result or ["No two estimators have gains of the same experts."]


def synergy_strengths(study: Study, tables: Tables) -> list[str]:
    """Name the strongest and weakest donors and receivers of each size, and count losses."""
    method = study.reference_label
    frame = rows(tables[SYNERGY_STRENGTHS.file], method=method, estimator=MAIN)
    frame = frame.drop_nulls("strength").sort("strength", descending=True)
    result = []
    for role, what in (("donor", "gives the other domains"), ("receiver", "gets from others")):
        part = rows(frame, role=role)
        ends = []
        for size in present(study.size_names, part, "size"):
            found = rows(part, size=size)
            first, last = found.row(0, named=True), found.row(-1, named=True)
            ends.append(
                f"at {size} {first['name']} most ({words.number(first['strength'])}) and "
                f"{last['name']} least ({words.number(last['strength'])})"
            )
        if ends:
            bad = words.share_of(part.filter(pl.col("strength") < 0).height, part.height, "sum")
            result.append(
                f"What each {'expert' if role == 'donor' else 'domain'} {what} ({method}, summed, "
                f"nats/token): {words.joined(ends)}; {bad} {_is_below(part)}."
            )
    return result or ["No expert's or domain's gains are all known."]


def _is_below(part: pl.DataFrame) -> str:
    return "is below 0" if part.height == 1 else "are below 0"


def synergy_blocks(study: Study, tables: Tables) -> list[str]:
    """Name the pairs of blocks that help and hurt most, home domains left out."""
    frame = rows(tables[SYNERGY_BLOCKS.file], method=study.reference_label, estimator=MAIN)
    known = frame.drop_nulls("mean_gain_cross")
    result = []
    for size in present(study.size_names, known, "size"):
        part = rows(known, size=size).sort("mean_gain_cross", descending=True)
        first, last = part.row(0, named=True), part.row(-1, named=True)
        result.append(
            f"{size}, own domains left out: {first['donor_block']} to {first['receiver_block']} "
            f"{words.number(first['mean_gain_cross'])} is the highest of {part.height} means, "
            f"{last['donor_block']} to {last['receiver_block']} "
            f"{words.number(last['mean_gain_cross'])} the lowest (nats/token, "
            f"{study.reference_label})."
        )
    return result or ["No gain is between different domains with a block."]
