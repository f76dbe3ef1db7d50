"""What the study does not show, in plain words: each limit only where it applies."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.config.data import ProceduralSource
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.laws.schemas.scales import SCALE_FITS
from mergelaw.laws.schemas.subsets import ORDER
from mergelaw.report import words
from mergelaw.report.context import FEW_ITEMS, TINY, Facts
from mergelaw.report.inputs import Tables, n_by_size


def shows_not(study: Study, tables: Tables, fits: Mapping[str, Any], facts: Facts) -> list[str]:
    """Return what the study's data cannot carry."""
    return [
        *_constants(fits),
        *_outside(study, tables),
        *_text(study, facts),
        *_methods(study),
        *_not_varied(study, tables),
        "Nothing is said of tasks: the loss is a cross-entropy per token, no accuracy.",
    ]


def _constants(fits: Mapping[str, Any]) -> list[str]:
    """Name the methods whose L*, beta and gamma are not identified."""
    joint = [f for f in fits["fits"] if (f["law"], f["domain"]) == ("joint", MACRO)]
    if not joint:
        return ["No law of size: no joint law was fitted, so L*, β and γ have no value here."]
    bad = [fit["method"] for fit in joint if not fit["identified"]]
    if not bad:
        return []
    return [
        "No constants of nature: L*, B, β, A₀ and γ of the joint law are not identified for "
        f"{words.joined(bad)} ({words.share_of(len(bad), len(joint), 'joint fit')} of the macro "
        "loss; section “What is not identified” says why). Only the law's predictions within the "
        "measured sizes and k should be quoted."
    ]


def _outside(study: Study, tables: Tables) -> list[str]:
    """Bound the claims by the sizes and the pool that were measured."""
    n_params = list(n_by_size(tables[CURVES.file]).values())
    pool = len(study.experts)
    span = words.span([n * 1e9 for n in n_params], words.count)
    result = [
        f"Nothing was measured outside N = {span} and k = 1 to {pool}: every number beyond is an "
        "extrapolation."
    ]
    if max(n_params) < TINY:
        result.append("The models are tiny; nothing here is evidence about large ones.")
    result.append(
        f"One pool of {words.plural(pool, 'expert')} and one seed of training ({study.seed}): "
        "intervals for new experts ask how the pool's make-up matters; how much another seed of "
        "training would change is in no interval."
    )
    return result


def _text(study: Study, facts: Facts) -> list[str]:
    """Bound the claims by the text and by the number of scored items."""
    result = []
    if any(isinstance(domain.source, ProceduralSource) for domain in study.domains):
        result.append("Procedural text is no natural text: no claim about the latter is made.")
    fewest = min(facts.contents["n_items"].to_list())
    if fewest < FEW_ITEMS:
        result.append(
            f"With {words.plural(fewest, 'item')} in a domain, intervals for new text are rough, "
            "and the level of every loss is known only that well."
        )
    return result


def _methods(study: Study) -> list[str]:
    if len(study.methods) < 2:
        return ["One method only: nothing is said of others."]
    return [
        "No ranking of methods: each stands for the one setting of its parameters in section "
        "“Methods”, and another density, drop rate or scale may change the order."
    ]


def _not_varied(study: Study, tables: Tables) -> list[str]:
    """Name what was held fixed: order of summation, scale, subsets."""
    result = []
    if tables[ORDER.file].is_empty():
        result.append(
            "The order in which experts are summed was not varied: spread over subsets is not "
            "spread over orders."
        )
    if tables[SCALE_FITS.file].is_empty():
        result.append("Scales were not varied: a method's best scale may differ from the one here.")
    curves = tables[CURVES.file].filter(pl.col("k") > 0)
    if not (curves["n_subsets"] == curves["n_subsets_pool"]).all():
        result.append(
            "Subsets were sampled, so a curve's points have errors of their own; the analyses that "
            "need all subsets were not made."
        )
    return result
