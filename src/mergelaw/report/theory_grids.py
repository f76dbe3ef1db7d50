"""The theory page's tables of numbers: curves, subsets, terms."""

from statistics import median

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.report import words
from mergelaw.report.captions.figure import (
    PREDICTED_LAWS,
    RANKINGS,
    TERMS,
    UPDATES,
)
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, loss_at, present, rows
from mergelaw.report.theory_choice import ROUTES, of_main_route
from mergelaw.report.theory_words import K_GROUPS, checked, inside, two_digits


def answer(study: Study, tables: Tables) -> Grid:
    """Tabulate laws as predicted from one merge and as fitted to all, of the macro loss."""
    frame, body = of_main_route(study, rows(tables[PREDICTED_LAWS], domain=MACRO)), []
    curves, pool = rows(tables[CURVES.file], domain=MACRO), len(study.experts)
    for method in present(study.method_labels, frame, "method"):
        for size in present(study.size_names, rows(frame, method=method), "size"):
            (row,) = rows(frame, method=method, size=size).to_dicts()
            body.append(
                [
                    method,
                    size,
                    words.number(loss_at(rows(curves, method=method, size=size), pool)),
                    *(
                        text
                        for name in ("floor", "tail")
                        for text in (
                            words.with_error(row[name], row[f"{name}_stderr"]),
                            words.number(row[f"{name}_fitted"]),
                        )
                    ),
                    *(
                        f"{words.whole(row[k])} | {words.whole(row[f'{k}_measured'])}"
                        for k in ("k85", "k90")
                    ),
                    words.number(row["best_scale"], 2),
                    words.number(row["best_scale_fitted"], 2),
                ]
            )
    head = (
        "method",
        "size",
        f"L({pool})",
        "floor predicted",
        "fitted",
        "tail predicted",
        "fitted",
        "k for 85%",
        "k for 90%",
        "best scale predicted",
        "fitted",
    )
    return Grid(
        f"Macro loss in nats/token. L({pool}): measured, the one merge. Floor and tail: predicted "
        "from its derivatives ± standard error from the choice of items, beside the law fitted to "
        "the measured curve, on the same items; its floor is an extrapolation in both. k for 85% "
        f"and 90% of the fall from k = 1 to {pool}: predicted | measured; the predicted ones are "
        "those of a curve straight in 1/k, whatever the data. Best scale: of the whole pool; – "
        "where the loss does not curve upwards along it, or no scales were measured.",
        head,
        body,
        2,
    )


def errors(study: Study, tables: Tables) -> Grid:
    """Tabulate errors and coverage of curves by method and route, and the law's beside them."""
    frame, body = checked(study, tables), []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        for route in present(ROUTES, part, "route"):
            found = rows(part, route=route)
            body.append([method, ROUTES[route], *_errors(found, "relative_error"), *_held(found)])
        law = part.unique(["size", "domain", "k"], maintain_order=True)
        law = law.drop_nulls("relative_error_fitted")
        body.append([method, "law, fitted", *_errors(law, "relative_error_fitted"), *NO_INTERVALS])
    names = [name for name, _ in K_GROUPS]
    return Grid(
        "Errors of mean losses over subsets, as shares of the measured loss, over sizes: the "
        "largest of the macro loss, and the median of single domains. Held: measured means of "
        "domains and macro inside the interval on this text, of all that have one. The law was "
        "fitted to the points that it is compared with.",
        (
            "method",
            "by",
            *(f"macro, {name}" for name in names),
            *(f"domains, {name}" for name in names),
            *(f"held, {name}" for name in names),
        ),
        body,
        2,
    )


NO_INTERVALS = [words.MISSING] * len(K_GROUPS)


def _errors(frame: pl.DataFrame, column: str) -> list[str]:
    macro, single = frame.filter(pl.col("domain") == MACRO), frame.filter(pl.col("domain") != MACRO)
    largest = [words.largest_error(macro.filter(test)[column].to_list()) for _, test in K_GROUPS]
    sizes = [single.filter(test)[column].abs().to_list() for _, test in K_GROUPS]
    middle = [median(values) if values else None for values in sizes]
    return [words.percent(value, 2) for value in (*largest, *middle)]


def _held(frame: pl.DataFrame) -> list[str]:
    known = frame.drop_nulls(["low", "high"])
    parts = [known.filter(test) for _, test in K_GROUPS]
    return [f"{inside(part)} of {part.height}" if part.height else words.MISSING for part in parts]


def rankings(study: Study, tables: Tables) -> Grid:
    """Tabulate how subsets are ranked, for the reference method, by route and k."""
    method = study.reference_label
    frame, body = rows(tables[RANKINGS], domain=MACRO, method=method), []
    for route in present(ROUTES, frame, "route"):
        part = rows(frame, route=route)
        for k in sorted(set(part["k"].to_list()), key=lambda k: (k == 0, k)):
            found = rows(part, k=k)
            best = found.filter(pl.col("chosen") == pl.col("best")).height
            body.append(
                [
                    ROUTES[route],
                    words.whole(k) if k else "all",
                    words.span(found["n_subsets"].to_list(), words.whole),
                    words.span(found["rank_correlation"].to_list(), lambda x: words.number(x, 3)),
                    words.span(found["median_error"].to_list(), two_digits),
                    words.span(found["p95_error"].to_list(), two_digits),
                    f"{best} of {found.height}",
                    words.span(found["regret"].to_list(), words.small),
                    words.span(found["regret_random"].to_list(), words.small),
                ]
            )
    return Grid(
        f"Subsets of each k by predicted and by measured macro loss ({method}), over sizes. Errors "
        "as shares of the measured loss. Best named: sizes at which the subset predicted to be the "
        "best is. Regret: its measured loss above the best one's, and that of a random subset, in "
        "nats/token.",
        (
            "derivatives by",
            "k",
            "subsets",
            "rank correlation",
            "median error",
            "95% of errors",
            "best named",
            "regret",
            "random",
        ),
        body,
        2,
    )


TERM_COLUMNS = {
    "mean_norm": "|μ|",
    "spread_norm": "√Tr Σ",
    "trace": "Tr(HΣ)",
    "mean_curvature": "μ′Hμ",
    "mean_slope": "g′μ",
    "tail": "tail A",
    "tail_fitted": "A fitted",
    "offset": "offset b",
    "base_predicted": "base predicted",
    "base": "base",
}


def terms(study: Study, tables: Tables) -> Grid:
    """Tabulate the theorem's terms of the macro loss by method, size and route."""
    frame, body = rows(tables[TERMS], domain=MACRO), []
    for method in present(study.method_labels, frame, "method"):
        for size in present(study.size_names, rows(frame, method=method), "size"):
            part = rows(frame, method=method, size=size)
            body += [
                [
                    method,
                    size,
                    ROUTES[route],
                    *(words.number(rows(part, route=route)[name][0]) for name in TERM_COLUMNS),
                    *(
                        words.percent(rows(part, route=route)[f"order_share_{k}"][0], signed=True)
                        for k in (1, 2, 3)
                    ),
                ]
                for route in present(ROUTES, part, "route")
            ]
    orders = [f"higher orders, k = {k}" for k in (1, 2, 3)]
    return Grid(
        "Macro loss in nats/token; derivatives at the whole pool's merge, norms of weights. "
        "Offset: of the law at the best scale of each k, Tr(HΣ)/(μ′Hμ − Tr(HΣ)/M). Higher orders: "
        "what they add to the second, as a share of the measured fall from k = 1 to the whole "
        f"pool; {words.MISSING} where curvature is not exact. Base: its loss by the same "
        "expansion, and measured.",
        ("method", "size", "derivatives by", *TERM_COLUMNS.values(), *orders),
        body,
        3,
    )


def updates(study: Study, tables: Tables) -> Grid:
    """Tabulate the residuals of nonlinear methods by k."""
    frame, body = tables[UPDATES], []
    ks = sorted(set(frame["k"].to_list()))
    for method in present(study.method_labels, frame, "method"):
        for size in present(study.size_names, rows(frame, method=method), "size"):
            part = rows(frame, method=method, size=size)
            body.append([method, size, *(words.number(loss_at(part, k, "residual")) for k in ks)])
    return Grid(
        "Distance from the mean of the whole pool's updates, as a share of the distance from the "
        "whole pool's merge.",
        ("method", "size", *(f"k = {k}" for k in ks)),
        body,
        2,
    )
