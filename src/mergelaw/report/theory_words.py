"""What one merge predicts of curves, in sentences that take every number from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.report import words
from mergelaw.report.captions.figure import PREDICTED_CURVES, PREDICTED_LAWS
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
        f"a domain or macro, over methods and sizes, in {words.joined(parts)}; cases that share "
        "models and text, and are not independent."
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
