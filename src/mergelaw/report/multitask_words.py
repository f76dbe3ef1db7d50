"""Multitask training against merging in words: losses, what they cost, what is not compared."""

from collections.abc import Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.costs.sums import rows_of, seconds_per_merge, summed
from mergelaw.costs.words import duration
from mergelaw.design import MULTITASK as BASELINE
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.training import MULTITASK
from mergelaw.report import words
from mergelaw.report.captions.figure import COSTS, TRAINING
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.training_words import CERTAIN


def multitask(study: Study, tables: Tables) -> list[str]:
    """Say which is better where and by how much, what each takes, and what is not compared."""
    frame = tables[MULTITASK.file]
    sizes = present(study.ladder, frame, "size")
    found = [text for size in sizes for text in _of_size(rows(frame, size=size), size)]
    return [
        *found,
        *_no_score(frame),
        *_costs(tables, sizes),
        "Not compared: other lengths or rates of multitask training, whose settings are those of "
        "one expert; other densities, drop rates and scales of merges, and weights of experts; "
        "other seeds, which no error here has in it. Of merges the best was picked on the text "
        "that it is judged on, which flatters it by what methods differ.",
    ]


def _of_size(frame: pl.DataFrame, size: str) -> list[str]:
    """Compare the baseline with the merge of the lowest macro loss, on macro and domains."""
    macro = rows(frame, domain=MACRO)
    together = rows(macro, kind="multitask").row(0, named=True)
    text = f"{size}: the multitask baseline has a macro loss of {_loss(together)}"
    merges = rows(macro, kind="merge").sort("loss")
    if merges.is_empty():
        return [f"{text}; no merge of all its experts is in the design."]
    best = merges.row(0, named=True)
    than = "above" if best["difference"] > 0 else "below"
    rank = f", the lowest of {merges.height} methods" if merges.height > 1 else ""
    apart = words.with_error(abs(best["difference"]), best["difference_se"])
    return [
        f"{text}, the merge of the same {words.plural(best['experts'].count('+') + 1, 'expert')} "
        f"by {best['method']}{rank}, {_loss(best)}: {apart} {than} it "
        f"({_certain(best['difference'], best['difference_se'])}).{_scores(macro, best['method'])}",
        f"{size}: {_on_domains(frame, best['method'])}",
    ]


def _loss(row: dict[str, float | None]) -> str:
    return words.with_error(row["loss"], row["token_se"])


def _certain(difference: float, error: float | None) -> str:
    if error is None:
        return "its error is not known"
    beyond = abs(difference) > CERTAIN * error
    return f"{'' if beyond else 'not '}more than {CERTAIN:g} standard errors"


def _scores(macro: pl.DataFrame, method: str) -> str:
    """Return both shares of the specialists' gain, where they are defined."""
    scored = macro.drop_nulls("score")
    if scored.is_empty():
        return ""
    both = [
        words.with_error(*row)
        for part in (rows(scored, kind="multitask"), rows(scored, kind="merge", method=method))
        for row in part.select("score", "score_se").iter_rows()
    ]
    text = f" Of the specialists' gain the one has a share of {both[0]}, the other of {both[1]}."
    score, error = rows(scored, kind="multitask").select("score", "score_se").row(0)
    if error is not None and score - 1 > CERTAIN * error:
        text += (
            " Above 1: better than the specialists, each of which has its own domain's steps alone."
        )
    return text


def _on_domains(frame: pl.DataFrame, method: str) -> str:
    """Count the domains on which each is better by more than its error, and name the extremes."""
    part = rows(frame, kind="merge", method=method).filter(pl.col("domain") != MACRO)
    known = part.drop_nulls("difference_se").sort("difference", maintain_order=True)
    if known.is_empty():
        return "on single domains no error is known."
    ratio = pl.col("difference") / pl.col("difference_se")
    worse, better = known.filter(ratio > CERTAIN), known.filter(ratio < -CERTAIN)
    n = known.height
    text = (
        f"by more than {CERTAIN:g} standard errors the multitask baseline is better on "
        f"{worse.height} of {words.plural(n, 'domain')}, the merge by {method} on {better.height}"
    )
    ends = {row["domain"]: row for row in (known.row(-1, named=True), known.row(0, named=True))}
    apart = [
        f"{domain} {words.with_error(row['difference'], row['difference_se'])}"
        for domain, row in ends.items()
    ]
    return f"{text} (merge less multitask, from the most to the least: {words.joined(apart)})."


def _no_score(frame: pl.DataFrame) -> list[str]:
    """Name the domains whose scores are not defined, by the reason."""
    missing = frame.drop_nulls("note").unique(["size", "domain", "note"], maintain_order=True)
    result = []
    for (note,), part in missing.group_by("note", maintain_order=True):
        places = [f"{domain} at {size}" for size, domain in part.select("size", "domain").rows()]
        result.append(f"No score is defined for {words.joined(places)}: {note}.")
    return result


def _costs(tables: Tables, sizes: Sequence[str]) -> list[str]:
    """Say what the experts, the baseline and a merge took, all of it."""
    costs = tables[COSTS]
    return [
        *_tokens(tables, sizes),
        *(f"{size}: {_took(costs, size)}." for size in sizes),
        "A merge by itself is cheap, and it needs its experts: merging takes the training of all "
        "of them and the merge, multitask training takes its own. What merging saves is not "
        "training but training again: experts are trained apart from each other, and any subset "
        "of them is merged without a step. The base, which both start from, is in neither.",
    ]


def _tokens(tables: Tables, sizes: Sequence[str]) -> list[str]:
    """Set the tokens of both beside each other."""
    result = []
    for size in sizes:
        members = rows(tables[MULTITASK.file], size=size)["experts"][0].split("+")
        logs = rows(tables[TRAINING], size=size)
        experts = int(logs.filter(pl.col("expert").is_in(members))["n_tokens"].sum())
        together = int(rows(logs, expert=BASELINE)["n_tokens"].sum())
        if experts and together:
            result.append(f"{words.whole(experts)} and {words.whole(together)} at {size}")
    if not result:
        return []
    return [
        "Both learn from the same items, each seen as often, so that training tokens are equal by "
        f"construction: {'; '.join(result)} (all experts, and the baseline). The baseline takes "
        "them in one training, the steps of all experts one after another under one schedule of "
        "the learning rate; experts can be trained side by side."
    ]


def _took(costs: pl.DataFrame, size: str) -> str:
    """Return what the experts of a size, its baseline and one merge took."""
    experts, together = (rows_of(costs, rule, size=size) for rule in ("expert", BASELINE))
    parts = [
        f"training {words.plural(summed(experts)['n_jobs'], 'expert')} took {_spent(experts)}"
        if experts.height
        else "the experts are given, and what their training took is not known",
        f"the multitask baseline {_spent(together)}"
        if together.height
        else "of the multitask baseline it is not told",
    ]
    merge = seconds_per_merge(rows_of(costs, "chunk", size=size))
    if merge is not None:
        parts.append(f"one merge {words.small(merge[1])} s (mean of the sweep's, methods and k)")
    return "; ".join(parts)


def _spent(frame: pl.DataFrame) -> str:
    """Return what jobs took, attempts that were killed among it; what is not known is not told."""
    total = summed(frame)
    parts = [duration(total["wall_seconds"] + total["failed_seconds"])]
    if total["device_hours"] is not None:
        devices = words.joined(frame["device"].drop_nulls().unique().sort().to_list())
        hours = total["device_hours"] + (total["failed_device_hours"] or 0.0)
        parts.append(f"{words.small(hours)} h of {devices}")
    if total["flops"] is not None:
        parts.append(f"{words.scientific(total['flops'], 1)} FLOPs")
    if total["n_failed"]:
        parts.append(f"{duration(total['failed_seconds'])} of it in attempts that were ended")
    return f"{parts[0]} ({', '.join(parts[1:])})" if parts[1:] else parts[0]


MODELS = {"base": "base", "specialist": "specialists", "multitask": "multitask"}
"""Columns of the table, beside a merge by each method."""


def grid(study: Study, tables: Tables) -> Grid:
    """Tabulate macro losses, with scores: a row per size."""
    frame = rows(tables[MULTITASK.file], domain=MACRO)
    methods = present(study.method_labels, frame, "method")
    body = [
        [
            size,
            *(_cell(rows(frame, size=size, kind=kind, method=None)) for kind in MODELS),
            *(_cell(rows(frame, size=size, method=method)) for method in methods),
        ]
        for size in present(study.ladder, frame, "size")
    ]
    return Grid(
        "Macro loss in nats/token ± token standard error and, in brackets, the share of the "
        "specialists' gain. Specialists: each domain by its own expert. Merges: of the baseline's "
        "experts, by each method.",
        ("size", *MODELS.values(), *methods),
        body,
    )


def _cell(frame: pl.DataFrame) -> str:
    if frame.is_empty():
        return words.MISSING
    row = frame.row(0, named=True)
    share = "" if row["score"] is None else f" [{words.number(row['score'], 2)}]"
    return _loss(row) + share
