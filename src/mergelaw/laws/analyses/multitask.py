"""Multitask training against merging: one model of all items, or the merge of their experts."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError, TableError
from mergelaw.laws.item_losses import Loss, losses_on, mean_loss
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import MULTITASK

ENOUGH = 2.0
"""Standard errors that the specialist's gain must exceed for shares of it to be defined."""

Model = tuple[str, str | None]
"""Kind and method of a row: the key within a domain."""

BASE: Model = ("base", None)
SPECIALIST: Model = ("specialist", None)
BASELINE: Model = ("multitask", None)


def multitask(rows: pl.DataFrame, baseline: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return losses and scores of the baseline and of merges, with the schema `MULTITASK`.

    The score of a model x on a domain is the share of the specialist's gain that it has:
    ``s = (L_base - L_x) / (L_base - L_specialist)``, 0 for the base and 1 for the specialist (the
    expert at home in the domain; the mean of several). The macro score is that of the macro
    losses, not a mean of scores. It is not defined where the gain is not above `ENOUGH` standard
    errors. (The paper's Fig. 2 compares by a "normalized negative loss" that it does not define.)

    Errors are from resampled items, the same draw for all models of a domain, so that those of
    differences are of paired losses; that of a score is of ``(L_base - L_x) - s (L_base -
    L_specialist)`` over the gain, which is linear in the losses (Cochran, Sampling Techniques,
    section 2.11). What another seed of training would change is in none of them.

    Parameters
    ----------
    rows : polars.DataFrame
        From `mergelaw.laws.rows.prepare`.
    baseline : polars.DataFrame
        Losses of the multitask baseline with the columns of `mergelaw.tables.LOSSES`.

    Raises
    ------
    NotMadeError
        If the baseline was not scored.
    TableError
        If it was scored on other text than the merges.
    """
    if baseline.is_empty():
        raise NotMadeError("the multitask baseline was not scored")
    found: list[dict[str, Any]] = []
    for (size,), mine in baseline.group_by("size", maintain_order=True):
        experts = str(mine["subset"][0])
        by_domain = {
            domain: models_on(rows.filter(size=size, domain=domain), mine, study, domain)
            for domain in study.domain_names
        }
        by_domain[MACRO] = over_domains(list(by_domain.values()))
        place = {"size": size, "experts": experts}
        for domain, models in by_domain.items():
            found += [place | {"domain": domain} | row for row in compared(models)]
    return MULTITASK.frame(found)


def models_on(
    rows: pl.DataFrame, baseline: pl.DataFrame, study: Study, domain: str
) -> dict[Model, Loss]:
    """Return the losses of one size on a domain, as far as its models were scored.

    Parameters
    ----------
    rows, baseline : polars.DataFrame
        Of that size: the sweep's rows of the domain, and the baseline's of all domains.
    """
    mine = baseline.filter(domain=domain)
    parts: dict[Model, pl.DataFrame] = {
        BASE: rows.filter(k=0).head(1),
        SPECIALIST: _specialists(rows, study, domain),
        BASELINE: mine,
    }
    subset = mine["subset"].to_list()
    for method in study.method_labels:
        merged = rows.filter(pl.col("subset").is_in(subset), method=method)
        parts["merge", method] = merged
    items = pl.concat(part.select("item_nll_sum", "item_n_tokens") for part in parts.values())
    if mine.is_empty() or items["item_n_tokens"].n_unique() != 1:
        raise TableError(
            f"the multitask baseline and the merges were scored on other items of {domain!r}: "
            "score the baseline again (mergelaw experts multitask-losses)"
        )
    losses, start = losses_on(items, study, domain), 0
    result = {}
    for model, part in parts.items():
        if part.height:
            result[model] = mean_loss(losses[start : start + part.height])
        start += part.height
    return result


def _specialists(rows: pl.DataFrame, study: Study, domain: str) -> pl.DataFrame:
    """Return the rows of the domain's own experts, by themselves: what Average makes of one."""
    averages = [method.label for method in study.methods if method.method == "average"][:1]
    homes = [expert.name for expert in study.experts if expert.domain == domain]
    single = pl.col("subset").is_in(homes) & pl.col("method").is_in(averages)
    return rows.filter(single & (pl.col("k") == 1))


def over_domains(domains: list[dict[Model, Loss]]) -> dict[Model, Loss]:
    """Return the macro losses of the models that every domain has."""
    everywhere = [model for model in domains[0] if all(model in models for models in domains)]
    return {model: mean_loss([models[model] for models in domains]) for model in everywhere}


def compared(models: Mapping[Model, Loss]) -> list[dict[str, Any]]:
    """Return the rows of one domain, without size and domain."""
    note = _undefined(models)
    result = []
    for (kind, method), loss in models.items():
        apart = loss.less(models[BASELINE])
        score, error = (None, None) if note else _score(loss, models[BASE], models[SPECIALIST])
        result.append(
            {
                "kind": kind,
                "method": method,
                "loss": loss.value,
                "token_se": loss.error,
                "difference": apart.value,
                "difference_se": apart.error,
                "score": score,
                "score_se": error,
                "note": note,
            }
        )
    return result


def _undefined(models: Mapping[Model, Loss]) -> str | None:
    """Say why no score is defined here; None where it is."""
    if BASE not in models:
        return "the base was not scored"
    if SPECIALIST not in models:
        return "no expert at home here was scored by itself"
    gain = models[BASE].less(models[SPECIALIST])
    if gain.value <= 0:
        return "the specialist is no better than the base"
    if gain.error is None:
        return "one item: the error of the specialist's gain is not known"
    if gain.value <= ENOUGH * gain.error:
        return f"the specialist's gain is not above {ENOUGH:g} standard errors"
    return None


def _score(loss: Loss, base: Loss, specialist: Loss) -> tuple[float, float | None]:
    """Return the share of the specialist's gain, and its token standard error."""
    gain, own = base.less(specialist), base.less(loss)
    score = own.value / gain.value
    error = Loss(0.0, (own.draws - score * gain.draws) / gain.value).error
    return score, error
