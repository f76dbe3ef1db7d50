"""What the page says of the study itself: what was measured, on what, how well, and the outcome."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.config.data import DatasetsSource, FilesSource, ProceduralSource
from mergelaw.laws.schemas import CURVES, HELDOUT, MACRO, RETURNS
from mergelaw.report import words
from mergelaw.report.inputs import Tables, loss_at, n_by_size, rows

TINY = 0.01
"""Billions of parameters below which the page warns that the models are tiny."""


FEW_ITEMS = 20
"""Items of a domain below which the page calls the token standard error rough."""


class Facts(NamedTuple):
    """What the page takes from the table of losses."""

    merges: int
    tokens: Mapping[str, int]  # scored of every domain, per merge
    contents: pl.DataFrame  # of the evaluation shards (`mergelaw.tables.SHARDS`)


def facts_of(losses: pl.DataFrame, contents: pl.DataFrame) -> Facts:
    """Count merges (k > 0) and the tokens that each is scored on."""
    merged = losses.filter(pl.col("k") > 0)
    key = ["size", "method", "order", "mask_seed", "accumulate"]
    tokens = losses.select("domain", "n_tokens").unique().rows()
    return Facts(merged.select(key).n_unique(), dict(tokens), contents)


def headline(study: Study, tables: Tables, facts: Facts) -> list[str]:
    """Say what was measured and what came out, from the macro curves of the largest size."""
    curves = rows(tables[CURVES.file], domain=MACRO)
    n_params = n_by_size(curves)
    largest, pool = list(n_params)[-1], len(study.experts)
    kind = {"nonembedding": "non-embedding", "total": "total"}[study.laws.n_params]
    n_ways = 1 + len(study.training.settings)
    ways = f", experts trained in {n_ways} ways" if n_ways > 1 else ""
    measured = (
        f"The study {study.name} merged subsets of {words.plural(pool, 'expert')} at "
        f"{words.plural(len(n_params), 'size')} "
        f"({words.span([n * 1e9 for n in n_params.values()], words.count)} {kind} parameters) with "
        f"{words.plural(len(study.methods), 'method')}{ways}: "
        f"{words.plural(facts.merges, 'merge')}, "
        f"each scored on {words.plural(sum(facts.tokens.values()), 'held-out token')} of "
        f"{words.plural(len(facts.tokens), 'domain')}."
    )
    return [measured, *_outcome(study, curves, largest), *_reach(study, tables)]


def _outcome(study: Study, curves: pl.DataFrame, largest: str) -> list[str]:
    """Name the lowest loss of the whole pool at the largest size, and the next one."""
    pool = len(study.experts)
    ends = {m: loss_at(rows(curves, size=largest, method=m), pool) for m in study.method_labels}
    known = sorted((loss, method) for method, loss in ends.items() if loss is not None)
    if not known:
        return []
    loss, best = known[0]
    curve = rows(curves, size=largest, method=best)
    one = loss_at(curve, 1)
    alone = "" if one is None else f"One expert alone has {words.number(one)} on average. "
    rank = ""
    if len(known) > 1:
        rank = (
            f", the lowest of {len(known)} methods (next: {known[1][1]}, "
            f"{words.number(known[1][0])})"
        )
    return [
        f"At the largest size, {largest}, the whole pool merged by {best} has a macro loss of "
        f"{words.with_error(loss, loss_at(curve, pool, 'token_se'))} nats/token{rank}; ± is the "
        f"token standard error. {alone}The base has {words.number(loss_at(curve, 0))}."
    ]


def _reach(study: Study, tables: Tables) -> list[str]:
    """Say how many experts most of the fall takes, and how well a held-out size is predicted."""
    result = []
    returns = rows(tables[RETURNS.file], domain=MACRO)
    if returns["k85"].drop_nulls().len():
        k85, k90 = (words.span(returns[q].to_list(), words.whole) for q in ("k85", "k90"))
        result.append(
            f"85% of the fall from one expert to all {len(study.experts)} is reached with {k85} "
            f"experts, 90% with {k90}, over all methods and sizes."
        )
    frame = rows(tables[HELDOUT.file], law="joint", left_out="largest_size", domain=MACRO)
    errors = [
        words.largest_error(rows(frame, method=method)["relative_error"].to_list())
        for method in study.method_labels
    ]
    if any(error is not None for error in errors):
        result.append(
            "The joint law fitted without the largest size misses its losses by up to "
            f"{words.span(errors, words.percent)}, depending on the method."
        )
    return result


def about(study: Study, tables: Tables, facts: Facts) -> list[str]:
    """Say what models and text the study is about, and how well the losses are known."""
    sizes = [study.size(name) for name in study.ladder]
    trained = [size.name for size in sizes if size.architecture]
    given = [f"{size.name} ({size.base})" for size in sizes if size.base]
    result = []
    if trained:
        steps = words.plural(study.training.base.steps, "step")
        result.append(
            f"The bases {words.joined(trained)} were pre-trained from scratch for this "
            f"study, {steps} each."
        )
    n_params = n_by_size(tables[CURVES.file])
    if max(n_params.values()) < TINY:
        result.append(
            f"All models are tiny, at most {words.count(max(n_params.values()) * 1e9)} "
            "parameters: what holds for them need not hold for large models."
        )
    if given:
        result.append(f"The bases are given checkpoints: {words.joined(given)}.")
    if study.lineage.check == "report":
        result.append(
            "Experts whose own files speak against this base are merged all the same: "
            f"{study.lineage.reason}."
        )
    return result + _settings(study) + _text(study) + _precision(study, tables, facts)


def _settings(study: Study) -> list[str]:
    """Say that experts were trained in further ways, and where those are told of."""
    names = [setting.name for setting in study.training.settings]
    if not names:
        return []
    return [
        f"Of every base the experts were trained in {len(names) + 1} ways: by training.expert, "
        "which every number of this page is about where it does not say otherwise, and under "
        f"{words.plural(len(names), 'further setting')}, {words.joined(names)}, which the full "
        "report compares (“Other ways of training the experts”)."
    ]


def _text(study: Study) -> list[str]:
    result = []
    drawn = [d.name for d in study.domains if isinstance(d.source, ProceduralSource)]
    if drawn:
        result.append(
            f"Procedural text, drawn by seeded generators: {words.joined(drawn)}. What "
            "is found below holds for this text only; it is no claim about natural text."
        )
    for domain in study.domains:
        if isinstance(domain.source, FilesSource):
            result.append(f"Domain {domain.name} is read from {words.joined(domain.source.files)}.")
        elif isinstance(domain.source, DatasetsSource):
            revision = domain.source.revision or "no revision pinned"
            result.append(
                f"Domain {domain.name} is read from the data set {domain.source.path} "
                f"({revision}, split {domain.source.split})."
            )
    return result


def _scored_items(contents: pl.DataFrame) -> list[str]:
    """Say how many held-out items are scored, and what was left out of them."""
    used = words.span(contents["n_items"].to_list(), words.whole)
    held = words.span(contents["n_heldout"].to_list(), words.whole)
    result = [f"Scored items: {used} in each domain, of {held} held out."]
    totals = contents.select("n_truncated", "n_tokens", "n_skipped").sum().row(0)
    cut, kept, skipped = totals
    if cut:
        result.append(
            f"{words.whole(cut)} tokens of these items lie beyond the longest sequence and were "
            f"cut off; {words.whole(kept)} remain, prompts included."
        )
    if skipped:
        result.append(f"{words.plural(skipped, 'item')} had no scored token left and were skipped.")
    return result


def _precision(study: Study, tables: Tables, facts: Facts) -> list[str]:
    per_domain = words.span(list(facts.tokens.values()), words.whole)
    scored = {"response": "response tokens", "all": "all tokens but the first"}
    result = [
        f"Every merge is scored on {words.whole(sum(facts.tokens.values()))} tokens, "
        f"{per_domain} in each domain ({scored[study.evaluation.scored]}). Macro is the "
        "unweighted mean over domains."
    ]
    result += _scored_items(facts.contents)
    curves = rows(tables[CURVES.file], domain=MACRO).filter(pl.col("k") > 0)
    errors = curves["token_se"].to_list()
    if any(error is not None for error in errors):
        result.append(
            f"The token standard error of a macro loss is {words.span(errors)} nats/token (items "
            "resampled). The same items are scored at every k and by every method, so part of "
            "this error is common to them: differences along a curve are known better than its "
            "level."
        )
    else:
        result.append("A token standard error is not defined: it needs two items in each domain.")
    if min(facts.contents["n_items"].to_list()) < FEW_ITEMS:
        result.append(
            f"With fewer than {FEW_ITEMS} items in a domain that error is itself only rough."
        )
    complete = (curves["n_subsets"] == curves["n_subsets_pool"]).all()
    result.append(
        "All subsets of the pool were merged at every k that was measured."
        if complete
        else "Subsets were sampled where the pool has more of them than were merged."
    )
    return result
