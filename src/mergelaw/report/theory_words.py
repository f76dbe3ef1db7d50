"""What one merge predicts, in sentences that take every number from the tables: curves, terms."""

from collections.abc import Sequence

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.theory import LARGEST_RESIDUAL
from mergelaw.report import words
from mergelaw.report.captions.figure import (
    PREDICTED_CURVES,
    PREDICTED_LAWS,
    TERMS,
    UPDATES,
)
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.theory_choice import (
    ROUTES,
    at_own_scale,
    main_route,
    of_main_route,
    own_scale,
)

K_GROUPS = (
    ("k = 1", pl.col("k") == 1),
    ("k = 2", pl.col("k") == 2),
    ("k ≥ 3", pl.col("k") >= 3),
)
"""Where errors are told apart."""

MOST_MISSES = 12
"""Misses that are listed one by one."""

NO_CURVE = "No curve was predicted."


def two_digits(share: float) -> str:
    """Return a share in percent with two digits after the point."""
    return words.percent(share, 2)


def checked(study: Study, tables: Tables) -> pl.DataFrame:
    """Return the predictions that a measured loss stands beside, the merge itself left out.

    At the whole pool the prediction is the measurement that it starts from.
    """
    frame = at_own_scale(study, tables[PREDICTED_CURVES])
    return frame.filter(pl.col("k") < len(study.experts)).drop_nulls("relative_error")


def by_group(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Return the rows by group of k, groups without a row left out."""
    parts = [(name, frame.filter(test)) for name, test in K_GROUPS]
    return [(name, part) for name, part in parts if not part.is_empty()]


def errors(frame: pl.DataFrame, column: str = "relative_error") -> str:
    """Return the largest errors by group of k: `5.0% at k = 1, 1.2% at k = 2 and ...`."""
    parts = [
        f"{two_digits(largest)} at {name}"
        for name, part in by_group(frame)
        if (largest := words.largest_error(part[column].to_list())) is not None
    ]
    return words.joined(parts)


def theory_curves(study: Study, tables: Tables) -> list[str]:
    """Give the largest errors of the macro curves by method, and what lies outside its interval."""
    frame = rows(checked(study, tables), domain=MACRO)
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = of_main_route(study, rows(frame, method=method))
        route = ROUTES[str(main_route(study, part))]
        n_sizes = words.plural(part["size"].n_unique(), "size")
        result.append(
            f"{method} ({route}): the predicted macro loss is off by up to {errors(part)}, over "
            f"{n_sizes}; the law, fitted to these points, by up to "
            f"{errors(part, 'relative_error_fitted') or words.MISSING}."
        )
    return result + _inside(study, tables) if result else [NO_CURVE]


def _inside(study: Study, tables: Tables) -> list[str]:
    """Count measured means that lie inside the intervals on this text, and list macro misses."""
    frame = of_main_route(study, checked(study, tables)).drop_nulls(["low", "high"])
    if frame.is_empty():
        return ["No prediction has an interval: the third order was not measured."]
    parts = [
        f"{words.share_of(inside(part), part.height, 'mean')} at {name}"
        for name, part in by_group(frame)
    ]
    text = (
        "The interval on this text, which is the size of higher orders, holds the measured mean of "
        f"a domain or macro, over methods and sizes, in {words.joined(parts)}."
    )
    return [text, *_misses(rows(frame, domain=MACRO))]


def inside(frame: pl.DataFrame) -> int:
    """Return how many measured losses lie inside their interval."""
    return frame.filter(pl.col("loss").is_between("low", "high")).height


def _misses(macro: pl.DataFrame) -> list[str]:
    """List the macro means outside their intervals."""
    out = macro.filter(~pl.col("loss").is_between("low", "high"))
    if out.is_empty():
        return ["No measured macro mean lies outside its interval."]
    listed = [
        f"{row['method']} {row['size']} k = {row['k']} "
        f"({words.percent(row['relative_error'], 2, signed=True)}, interval ± "
        f"{two_digits((row['high'] - row['low']) / 2 / row['loss'])})"
        for row in out.sort(pl.col("relative_error").abs(), descending=True).to_dicts()
    ]
    more = len(listed) - MOST_MISSES
    end = f"; and {more} more, with smaller errors" if more > 0 else ""
    return [
        f"Outside their intervals, of {words.plural(macro.height, 'macro mean')}: "
        f"{'; '.join(listed[:MOST_MISSES])}{end}."
    ]


def theory_errors(study: Study, tables: Tables) -> list[str]:
    """Compare the routes, for the reference method, with the law's own error."""
    method = study.reference_label
    frame = rows(checked(study, tables), domain=MACRO, method=method)
    result = [
        f"{ROUTES[route]}: off by up to {errors(rows(frame, route=route))}."
        for route in present(ROUTES, frame, "route")
    ]
    if not result:
        return ["No prediction of the reference method has a measured loss beside it."]
    return [
        *result,
        "The law is no forecast here: it was fitted to these points, the prediction saw none of "
        "them but the last.",
    ]


def theory_scales(study: Study, tables: Tables) -> list[str]:
    """Give errors at other scales, and the best scale of the pool as predicted and as fitted."""
    frame = rows(tables[PREDICTED_CURVES], domain=MACRO, masks="these")
    frame = of_main_route(study, frame).drop_nulls("relative_error")
    result = []
    for method in present(study.method_labels, frame, "method"):
        own = own_scale(study.method(method))
        part = rows(frame, method=method).filter(pl.col("scale") != own, pl.col("scale") > 0)
        if part.is_empty():
            continue
        distance = (pl.col("scale") - own).abs()
        places = [
            f"{_largest_by_k(found)} at scale {_scales(found)}"
            for found in (part.filter(distance <= NEAR), part.filter(distance > NEAR))
            if not found.is_empty()
        ]
        result.append(
            f"{method}, expanded at scale {own:g}: the macro loss is off by up to "
            f"{'; by up to '.join(places)}."
        )
    return result + _best_scales(study, tables) or ["No merge was scored at several scales."]


NEAR = 0.3 + 1e-9
"""Distance of scales that are called near."""


def _scales(frame: pl.DataFrame) -> str:
    return words.joined([f"{scale:g}" for scale in sorted(set(frame["scale"].to_list()))])


def _largest_by_k(frame: pl.DataFrame) -> str:
    """Return the largest error over sizes at every k: `1.0% (k = 1), 0.5% (k = 9)`."""
    ks = sorted(set(frame["k"].to_list()))
    largest = [words.largest_error(rows(frame, k=k)["relative_error"].to_list()) for k in ks]
    return ", ".join(
        f"{words.percent(error)} (k = {k})" for k, error in zip(ks, largest, strict=True)
    )


def _best_scales(study: Study, tables: Tables) -> list[str]:
    frame = of_main_route(study, rows(tables[PREDICTED_LAWS], domain=MACRO))
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        known = part.drop_nulls("best_scale")
        if known.is_empty():
            result.append(
                f"{method}: no best scale is identified: the loss does not curve upwards along "
                "the merged task vector."
            )
            continue
        fitted = words.span(known["best_scale_fitted"].to_list())
        beside = "" if fitted == words.MISSING else f"; fitted to merges at several scales {fitted}"
        text = (
            f"{method}: predicted best scale of the whole pool "
            f"{words.span(known['best_scale'].to_list())} over the sizes{beside}"
        )
        lost = part.height - known.height
        text += f"; not identified at {words.plural(lost, 'size')}" if lost else ""
        result.append(f"{text}.")
    return result


def theory_terms(study: Study, tables: Tables) -> list[str]:
    """Set predicted tails beside fitted ones, the base beside its prediction, and higher orders."""
    frame = of_main_route(study, rows(tables[TERMS], domain=MACRO))
    methods = present(study.method_labels, frame, "method")
    result = []
    for method in methods:
        part = rows(frame, method=method).sort("n_params_billions")
        pairs = part.drop_nulls(["tail", "tail_fitted"])
        ratios = [tail / fitted for tail, fitted in pairs.select("tail", "tail_fitted").rows()]
        result.append(
            f"{method}: the predicted tail is {words.span(ratios, lambda x: words.number(x, 2))} "
            "times the fitted one, which has an offset beside it, over "
            f"{words.plural(part.height, 'size')}; the law's offset at the best scale of each k is "
            f"predicted as {words.span(part['offset'].to_list())}."
        )
    if not methods:
        return ["No terms of the macro loss are known."]
    return [*result, *_base(study, frame, methods), *_orders(frame, methods), *_routes(tables)]


def _base(study: Study, frame: pl.DataFrame, methods: Sequence[str]) -> list[str]:
    """Say how far the expansion is from the base, for the first method."""
    part = rows(frame, method=methods[0]).drop_nulls(["base", "base_predicted"])
    pairs = [
        f"{size} {words.number(predicted)} for {words.number(loss)}"
        for size, predicted, loss in part.select("size", "base_predicted", "base").iter_rows()
    ]
    if not pairs:
        return []
    return [
        "The base is out of reach of the expansion, as the merges are of one at the base: it "
        f"gives {words.joined(pairs)} as measured ({methods[0]})."
    ]


def _orders(frame: pl.DataFrame, methods: Sequence[str]) -> list[str]:
    """Say what is left to higher orders at small k."""
    shares = [
        f"{words.span(frame[f'order_share_{k}'].to_list(), two_signed)} at k = {k}"
        for k in (1, 2, 3)
        if frame[f"order_share_{k}"].drop_nulls().len()
    ]
    return [
        "What higher orders add to the second, as a share of the measured fall of the loss from "
        f"k = 1 to the whole pool, over methods and sizes: {words.joined(shares)}."
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
    """Say of every nonlinear method where it is predicted and where it is refused."""
    frame = tables[UPDATES].drop_nulls("residual")
    methods = present(study.method_labels, frame, "method")
    return [
        sentence for method in methods for sentence in _refused(rows(frame, method=method), method)
    ] or ["Every method of the study is linear in its task vectors: none is refused."]


def _refused(frame: pl.DataFrame, method: str) -> list[str]:
    limit = f"{LARGEST_RESIDUAL:g}"
    over = frame.filter(pl.col("residual") > LARGEST_RESIDUAL)
    spans = [
        f"{words.span(rows(frame, k=k)['residual'].to_list(), lambda x: words.number(x, 2))} at "
        f"k = {k}"
        for k in sorted(set(frame["k"].to_list()))
    ]
    text = (
        f"{method} is not linear in its task vectors: what it merges depends on which experts are "
        "together. Its merges lie away from the mean of the updates that the whole pool's merge "
        f"has, as a share of what is predicted, by {words.joined(spans)} over the sizes."
    )
    if over.is_empty():
        return [text, f"That is within {limit} everywhere, so that {method} is predicted."]
    cells = words.share_of(over.height, frame.height, "pair")
    return [
        text,
        f"Above {limit} no prediction is made, because it would be about other merges than those "
        f"of {method}: refused are {cells} of a size and a k.",
    ]
