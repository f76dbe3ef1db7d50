"""The theorem's terms and how far elections are from them, in sentences made from the tables."""

from collections.abc import Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.theory import FAR
from mergelaw.report import words
from mergelaw.report.captions.figure import TERMS, UPDATES
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.theory_choice import ROUTES, of_main_route


def theory_terms(study: Study, tables: Tables) -> list[str]:
    """Set predicted tails beside fitted ones, the base beside its prediction, and higher orders."""
    frame = of_main_route(study, rows(tables[TERMS], domain=MACRO))
    methods = present(study.method_labels, frame, "method")
    result = []
    for method in methods:
        part = rows(frame, method=method).sort("n_params_billions")
        told = (_tail(part), _offset(part))
        result.append(f"{method}, {words.plural(part.height, 'size')}: {'; '.join(told)}.")
    if not methods:
        return ["No terms of the macro loss are known."]
    return [*result, *_base(frame, methods), *_orders(tables), *_routes(tables)]


def _tail(part: pl.DataFrame) -> str:
    """Set predicted tails beside fitted ones."""
    pairs = part.drop_nulls(["tail", "tail_fitted"]).select("tail", "tail_fitted").rows()
    ratios = [tail / fitted for tail, fitted in pairs if fitted]
    if not ratios:
        return "no fitted tail is identified beside the predicted one"
    return (
        f"the predicted tail is {words.span(ratios, lambda x: words.number(x, 2))} times the "
        "fitted one, which has an offset beside it"
    )


def _offset(part: pl.DataFrame) -> str:
    known = part["offset"].drop_nulls().to_list()
    if not known:
        return "an offset at the best scale of each k is not identified"
    return f"the law's offset at the best scale of each k is predicted as {words.span(known)}"


def _base(frame: pl.DataFrame, methods: Sequence[str]) -> list[str]:
    """Say how far the expansion is from the base, for the first method."""
    part = rows(frame, method=methods[0]).drop_nulls(["base", "base_predicted"])
    found = list(part.select("size", "base_predicted", "base").iter_rows())
    pairs = [
        f"{size} {words.number(predicted)} for {words.number(loss)}"
        for size, predicted, loss in found
    ]
    far = [size for size, predicted, loss in found if abs(predicted - loss) > FAR * abs(loss)]
    if not far:
        reach = f"within {words.percent(FAR, 0)} of it at every size"
    else:
        reach = f"off by more than {words.percent(FAR, 0)} at {words.joined(far)}"
    return [
        f"The base's loss by the same expansion, for the one measured ({methods[0]}): "
        f"{words.joined(pairs)}; {reach}."
    ] * bool(pairs)


def _orders(tables: Tables) -> list[str]:
    """Say what is left to higher orders at small k, where curvature is exact."""
    frame = rows(tables[TERMS], domain=MACRO, route="hvp")
    shares = [
        f"{words.span(frame[f'order_share_{k}'].to_list(), two_signed)} at k = {k}"
        for k in (1, 2, 3)
        if frame[f"order_share_{k}"].drop_nulls().len()
    ]
    return [
        "What higher orders add to the second by exact curvature, as a share of the measured fall "
        f"of the loss from k = 1 to the whole pool, over methods and sizes: {words.joined(shares)}."
    ] * bool(shares)


def two_signed(share: float) -> str:
    """Return a signed share in percent."""
    return words.percent(share, 1, signed=True)


def _routes(tables: Tables) -> list[str]:
    """Compare the tails of the routes, in units of the first one's."""
    frame = rows(tables[TERMS], domain=MACRO).drop_nulls("tail")
    found = present(ROUTES, frame, "route")
    if len(found) < 2:
        return []
    first = rows(frame, route=found[0]).select("size", "method", pl.col("tail").alias("first"))
    parts = []
    for route in found[1:]:
        both = rows(frame, route=route).join(first, on=["size", "method"])
        ratios = [tail / one for tail, one in both.select("tail", "first").rows() if one]
        parts.append(f"{words.span(ratios, lambda x: words.number(x, 2))} by {ROUTES[route]}")
    return [f"In units of the tail by {ROUTES[found[0]]}: {words.joined(parts)}."]


def theory_updates(study: Study, tables: Tables) -> list[str]:
    """Say of every method that elects signs how far it is from what derivatives tell."""
    frame = tables[UPDATES].drop_nulls("residual")
    methods = present(study.method_labels, frame, "method")
    return [_refused(rows(frame, method=method), method) for method in methods] or [
        "No method of the study elects signs."
    ]


def _refused(frame: pl.DataFrame, method: str) -> str:
    spans = [
        f"{words.span(rows(frame, k=k)['residual'].to_list(), lambda x: words.number(x, 2))} at "
        f"k = {k}"
        for k in sorted(set(frame["k"].to_list()))
    ]
    return (
        f"{method} is not linear in its task vectors and is not predicted: what it merges depends "
        "on which experts are together. Its merges lie away from the mean of the updates that the "
        "whole pool's merge has, as a share of their distance from that merge, by "
        f"{words.joined(spans)} over the sizes."
    )
