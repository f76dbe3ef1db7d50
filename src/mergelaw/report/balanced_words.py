"""A balanced design against all subsets, in sentences and a table."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import BALANCED
from mergelaw.report import words
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, present, rows


def balanced(study: Study, tables: Tables) -> list[str]:
    """Give the ratio of merges, how far the curves differ, and how often an interval holds."""
    frame = with_error(tables[BALANCED.file])
    if frame.is_empty():
        return ["No size has all subsets to compare a balanced design with."]
    curve = frame.unique("k", maintain_order=True).sort("k")
    n, n_pool = int(curve["n_subsets"].sum()), int(curve["n_subsets_pool"].sum())
    parts = [
        f"{part['n_subsets'][0]} at k = {k}"
        for (k,), part in curve.filter(pl.col("n_subsets") > 0)
        .partition_by("k", as_dict=True)
        .items()
    ]
    result = [
        f"{n} merges of each size and method ({words.joined(parts)}) against all {n_pool}: "
        f"{n_pool / n:.1f} times fewer. They are the same merges, taken out of the same table."
    ]
    for measured, where in ((True, "At these k"), (False, "At the k between")):
        part = frame.filter((pl.col("n_subsets") > 0) == measured)
        if part.height:
            result.append(_said(part, where))
    return result


def _said(part: pl.DataFrame, where: str) -> str:
    macro = [
        f"{method} {words.percent(_largest(rows(part, domain=MACRO, method=method), 'error'), 2)}"
        for method in part["method"].unique(maintain_order=True)
    ]
    known = part.filter(pl.col("n_subsets") < pl.col("n_subsets_pool")).drop_nulls("inside")
    text = f"{where} the macro losses differ by at most {words.joined(macro)} (sizes and k)"
    if known.is_empty():
        return f"{text}; the design tells no interval."
    inside = known.filter("inside").height
    return (
        f"{text}; the mean of all subsets is in the design's 95% interval at "
        f"{words.percent(inside / known.height)} of {known.height:,} points (domains and "
        "macro; k with all their subsets left out)."
    )


def grid(study: Study, tables: Tables) -> Grid:
    """Tabulate, by method and size: the largest differences of the macro curve and the hits."""
    frame = with_error(rows(tables[BALANCED.file], domain=MACRO))
    body = []
    for method in present(study.method_labels, frame, "method"):
        for size in present(study.size_names, frame, "size"):
            part = rows(frame, method=method, size=size)
            sampled = part.filter(pl.col("n_subsets") < pl.col("n_subsets_pool"))
            known = sampled.drop_nulls("inside")
            hits = words.share_of(known.filter("inside").height, known.height, "point")
            body.append(
                [
                    method,
                    size,
                    *(
                        words.percent(_largest(part, column, measured), 3)
                        for column, measured in (("error", True), ("error", False), ("law", None))
                    ),
                    hits if known.height else words.MISSING,
                ]
            )
    head = ("method", "size", "its k", "other k", "by the law, all k", "in the interval")
    return Grid(
        "Largest difference of the macro curve of the balanced design from that of all subsets, "
        "relative: at the k that it has, at the others (a quadratic in 1/k), and of the law fitted "
        "to it at all k; and at how many k, of those without all subsets, the mean of all is in "
        "the design's interval.",
        head,
        body,
        2,
    )


def _largest(part: pl.DataFrame, column: str, measured: bool | None = None) -> float | None:
    if measured is not None:
        part = part.filter((pl.col("n_subsets") > 0) == measured)
    largest = part[column].abs().max()
    return float(largest) if isinstance(largest, float) else None


def with_error(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `error` and `law`: the design's curve, and its law, relative to the exhaustive curve."""
    return frame.with_columns(
        error=pl.col("loss_balanced") / pl.col("loss") - 1,
        law=pl.col("loss_law") / pl.col("loss") - 1,
    )
