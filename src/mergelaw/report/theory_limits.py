"""Where predictions from one merge fail or cannot be checked, each with its numbers."""

import polars as pl

from mergelaw.config import Study
from mergelaw.config.data import ProceduralSource
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.report import words
from mergelaw.report.captions.figure import PREDICTED_CURVES, PREDICTED_LAWS, WEIGHTS
from mergelaw.report.context import TINY
from mergelaw.report.inputs import Tables, n_by_size, rows
from mergelaw.report.theory_choice import NEWTON, of_main_route
from mergelaw.report.theory_weights_words import CLEAR
from mergelaw.report.theory_words import checked, errors, inside


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
    """Give the largest errors by k."""
    macro = frame.filter(pl.col("domain") == MACRO)
    if macro.is_empty():
        return []
    single = frame.filter(pl.col("domain") != MACRO)
    return [
        f"Largest errors over methods and sizes: macro loss {errors(macro)}; single domains "
        f"{errors(single) or words.MISSING}. Merges of fewer experts lie farther from the whole "
        "pool's in the mean."
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
    """Name the methods that are not predicted; the jobs' notes have the reason of each."""
    predicted = set(tables[PREDICTED_CURVES]["method"].to_list())
    never = [name for name in study.method_labels if name not in predicted]
    return [
        f"Nothing is predicted of {words.joined(never)}; the notes of the jobs say why."
    ] * bool(never)


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
