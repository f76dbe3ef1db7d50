"""Claims about merge times, downstream scores, sixteen domains and other families of models."""

import numpy as np
import polars as pl

from mergelaw.laws import forms, published
from mergelaw.laws.analyses.published_claims import (
    Claim,
    Found,
    all_follow,
    at_least,
    at_most,
    compute,
)
from mergelaw.laws.analyses.published_curves import fits_of_table_20
from mergelaw.laws.analyses.published_downstream import table_16
from mergelaw.laws.downstream import MEAN
from mergelaw.laws.published import POOL, Printed, number, place

HOUR = 3600.0
HALF_SCORE = 0.0005
"""Half a unit of the last digit of Table 16's scores."""


def claims() -> list[Claim]:
    """Return all checked claims of this module."""
    return [
        *time_claims(),
        *downstream_claims(),
        *sixteen_claims(),
        *family_claims(),
        *text_claims(),
    ]


def time_claims() -> list[Claim]:
    """Return checks of Table 13's sums and of the hours in Figure 2."""
    sums, figure = published.rows("13 sums"), published.rows("figure 2")
    return [
        all_follow(
            "Hours of the seven merges of a method: sums that are those of their seconds",
            "Table 13",
            [row["method"] for row in sums],
            published.printed(row["hours"] for row in sums),
            _stack([compute(lambda s: s.sum() / HOUR, _seconds(row["method"])) for row in sums]),
            "computed from the table's seconds",
        ),
        all_follow(
            "Hours of one merge at 72B: values of Figure 2 that are those of Table 13",
            "Figure 2, Table 13",
            [row["method"] for row in figure],
            published.printed(row["hours"] for row in figure),
            _stack([compute(lambda s: s[-1] / HOUR, _seconds(row["method"])) for row in figure]),
            "computed from the table's seconds",
        ),
    ]


def _seconds(method: str) -> Printed:
    return published.column("13", "seconds", method=method)


def _stack(found: list[Found]) -> Found:
    return Found(*(np.array(values) for values in zip(*found, strict=True)))


def downstream_claims() -> list[Claim]:
    """Return checks of Table 15 and of Table 16's means, from Table 16's subsets."""
    means = table_16()
    mean = means.filter(pl.col("metric") == MEAN).sort("k")
    given = published.column("15", "mean", model="llama3.1-8b", method="task_arithmetic")
    labels = [f"k = {k}" for k in mean["k"]]
    rows = means.filter(pl.col("metric") != MEAN).sort("metric", "k")
    by_k = published.rows("16 means")
    return [
        all_follow(
            "Downstream, Llama-3.1-8B: means of Table 16 by metric and k that follow from its "
            "subsets",
            "Table 16",
            [f"{metric}, k = {k}" for metric, k in rows.select("metric", "k").rows()],
            published.printed(
                by_k[k - 1][metric] for metric, k in rows.select("metric", "k").rows()
            ),
            _scores(rows["value"]),
            "the plain mean over subsets",
        ),
        all_follow(
            "Downstream, Llama-3.1-8B, Task Arithmetic: values by k that are the plain mean of "
            "all columns",
            "Table 15",
            labels,
            given,
            _scores(mean["value"]),
            "so harm and attack rates, of which lower is better, are added; both safety tests "
            "come with their complement, which makes each pair's mean a constant 0.5",
        ),
        all_follow(
            "Downstream, Llama-3.1-8B, Task Arithmetic: values by k when larger is better in each "
            "metric and none is repeated",
            "Table 15",
            labels,
            given,
            _scores(mean["oriented"]),
            "ten metrics of twelve columns, 1 - score for harm and attack rates",
        ),
    ]


def _scores(values: pl.Series) -> Found:
    """Return means of Table 16's scores; they cannot be off by more than one score can."""
    return Found(values.to_numpy(), np.full(len(values), HALF_SCORE))


def sixteen_claims() -> list[Claim]:
    """Return checks of the law on Table 20's curve."""
    free, small = fits_of_table_20().values()
    return [
        at_least(
            f"Sixteen domains: R2 of the law, {words}, is at least this, as of all fits",
            f"{place('r2_least')}, Table 20",
            number("r2_least"),
            Found(np.asarray(fitted.r2), np.asarray(0.0)),
            f"weights k, as in the paper; the fitted offset is {fitted.values['offset']:.2f}",
        )
        for words, fitted in (("offset at most 1", small), ("offset free", free))
    ]


def family_claims() -> list[Claim]:
    """Return checks of Tables 23 and 24: other families of models."""
    rows = published.rows("23")
    ends = [(row, k) for row in rows for k in (1, POOL)]
    laws = [
        compute(
            lambda p, k=k: forms.floor_tail(k, *p),
            published.printed(row[name] for name in ("floor", "tail", "offset")),
        )
        for row, k in ends
    ]
    result = [
        all_follow(
            "LLaMA: ends of the curves that are those of the printed laws",
            "Table 23",
            [f"{row['model']}, k = {k}" for row, k in ends],
            published.printed(row[f"loss_k{k}"] for row, k in ends),
            _stack(laws),
            "computed from the printed floor, tail and offset; whether the ends are measured or "
            "fitted is not said",
        )
    ]
    given = [
        (row["model"], share, row[f"k{share}"])
        for row in published.rows("24")
        for share in (80, 90)
    ]
    result += [
        all_follow(
            f"LLaMA: k80 and k90 of Table 24 that follow from the offsets of Table {table}",
            "Table 24",
            [f"{model}, k{share}" for model, share, _ in given],
            Printed(np.array([float(k) for *_, k in given]), np.zeros(len(given))),
            _returns_of(table, [(model, share / 100) for model, share, _ in given]),
            "by the law with nine experts; the two tables have different offsets for one curve",
        )
        for table in ("23", "24")
    ]
    return result


def _returns_of(table: str, asked: list[tuple[str, float]]) -> Found:
    offsets = {row["model"]: float(row["offset"]) for row in published.rows(table)}
    k = [forms.k_for_return(share, offsets[model], POOL) for model, share in asked]
    return Found(np.array(k, float), np.zeros(len(k)))


def text_claims() -> list[Claim]:
    """Return checks of what is said of the evaluation text."""
    names = "validation_problems", "max_length"
    n_tokens = float(np.prod([number(name).value for name in names]))
    return [
        at_most(
            "Held-out tokens of a domain are at most its validation problems times the longest "
            "sequence",
            f"{place('validation_tokens')}, {', '.join(map(place, names))}",
            Printed(np.asarray(n_tokens), np.asarray(0.0)),
            Found(number("validation_tokens").value, np.asarray(0.0)),
            "200 problems cut at 16,384 tokens; the code domain has more problems",
        )
    ]
