"""The page's tables of numbers: the answer, joint fits, held-out errors, forecasts, methods."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, FITS, FORECAST, HELDOUT, MACRO, RETURNS
from mergelaw.report import words
from mergelaw.report.inputs import Tables, loss_at, n_by_size, parameters, present, rows


class Grid(NamedTuple):
    """A table of the page; the first `n_heads` cells of a row head it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_heads: int = 1


def answer(study: Study, tables: Tables) -> Grid:
    """Tabulate losses, law and returns: a row per method and size."""
    curves, pool = rows(tables[CURVES.file], domain=MACRO), len(study.experts)
    returns = rows(tables[RETURNS.file], domain=MACRO)
    body = []
    for method in present(study.method_labels, curves, "method"):
        for size, n in n_by_size(curves).items():
            curve = rows(curves, method=method, size=size)
            fit = parameters(tables[FITS.file], "floor_tail", method, MACRO, size)
            share = rows(returns, method=method, size=size).to_dicts()
            body.append(
                [
                    method,
                    size,
                    words.count(n * 1e9),
                    *(words.number(loss_at(curve, k)) for k in (0, 1, pool)),
                    *(parameter_words(fit.get(name)) for name in ("floor", "tail", "offset")),
                    *(words.whole(share[0][q]) if share else words.MISSING for q in ("k85", "k90")),
                ]
            )
    head = (
        "method",
        "size",
        "N",
        "base",
        "L(1)",
        f"L({pool})",
        "floor",
        "tail",
        "offset",
        "k for 85%",
        "k for 90%",
    )
    return Grid(
        f"Macro loss in nats/token. L(1): mean of single experts; L({pool}): the whole pool, the "
        "reachable end of the curve; floor, tail and offset: the law fitted to each size, ± "
        "standard error of the fit (* at a bound), which measures the scatter about the curve and "
        "not the token error. The floor is an extrapolation. k for 85% and "
        f"90%: of the fall from L(1) to L({pool}).",
        head,
        body,
        2,
    )


def parameter_words(row: Mapping[str, Any] | None) -> str:
    """Return a parameter as `value ± standard error`, with a star at a bound."""
    if row is None:
        return words.MISSING
    return words.with_error(row["value"], row["stderr"]) + ("*" if row["at_bound"] else "")


SYMBOLS = {
    "floor_limit": "L*",
    "size_scale": "B",
    "size_exponent": "β",
    "tail_scale": "A₀",
    "tail_exponent": "γ",
    "offset": "b",
}


def joint_fits(study: Study, fits: Mapping[str, Any]) -> Grid:
    """Tabulate the joint fits of the macro loss."""
    body = []
    for fit in fits["fits"]:
        if (fit["law"], fit["domain"]) == ("joint", MACRO):
            body.append(
                [
                    fit["method"],
                    *(parameter_words(fit["parameters"].get(name)) for name in SYMBOLS),
                    words.number(fit["r2"], 4),
                    words.number(fit["rmse"], 4),
                    words.percent(fit["max_relative_error"]),
                    words.whole(fit["n_points"]),
                ]
            )
    head = ("method", *SYMBOLS.values(), "R²", "RMSE", "largest error", "points")
    return Grid(
        "Joint fits of the macro loss: value ± standard error (* at a bound, where no "
        "error is defined; the token error is not in it). L*, RMSE in nats/token; B and A₀ at "
        "N = 1 billion; largest error relative to the loss, of points that the fit saw.",
        head,
        body,
    )


LEFT_OUT = {"largest_size": "the largest size"}


def heldout(study: Study, tables: Tables) -> Grid:
    """Tabulate errors of predictions for points that a fit did not see, per law and method."""
    frame, body = rows(tables[HELDOUT.file], domain=MACRO), []
    cells = (
        frame.select("left_out", "law")
        .unique(maintain_order=True)
        .sort("left_out", "law", descending=True)
        .rows()
    )
    for method in present(study.method_labels, frame, "method"):
        for left_out, law in cells:
            part = rows(frame, method=method, left_out=left_out, law=law)
            errors = part["relative_error"].drop_nulls()
            if errors.len():
                body.append(
                    [
                        method,
                        LEFT_OUT.get(left_out, f"k ≥ {left_out.rpartition('_')[2]}"),
                        {"joint": "joint", "floor_tail": "per size"}[law],
                        words.whole(errors.len()),
                        words.percent(words.mean_size(errors.to_list()), 2),
                        words.percent(words.largest_error(errors.to_list()), 2),
                    ]
                )
    return Grid(
        "Held-out errors of the macro loss: the law fitted without these points, against "
        "what was measured there, relative to the measured loss.",
        ("method", "left out", "law", "points", "mean error", "largest error"),
        body,
        2,
    )


CASES = {"free_offset": "free offset", "zero_offset": "offset 0", "not_identified": "no forecast"}


def forecasts(study: Study, tables: Tables) -> Grid:
    """Tabulate the forecast from three small k against the points that it did not use."""
    frame, body, pool = rows(tables[FORECAST.file], domain=MACRO), [], len(study.experts)
    for method in present(study.method_labels, frame, "method"):
        for size in present(study.size_names, frame, "size"):
            part = rows(frame, method=method, size=size)
            if part.is_empty():
                continue
            first = part.row(0, named=True)
            used = [int(k) for k in first["points"].split(",")]
            unused = part.filter(~pl.col("k").is_in(used))["relative_error"].to_list()
            last = loss_at(part, pool, "relative_error")
            body.append(
                [
                    method,
                    size,
                    first["points"].replace(",", ", "),
                    CASES[first["case"]],
                    *(words.number(first[name]) for name in ("floor", "tail", "offset")),
                    words.percent(last, 2, signed=True),
                    words.percent(words.largest_error(unused), 2),
                ]
            )
    head = (
        "method",
        "size",
        "from k",
        "case",
        "floor",
        "tail",
        "offset",
        f"error at k = {pool}",
        "largest error",
    )
    return Grid(
        "Forecast of the macro loss through three points; errors relative to the measured "
        "loss, of the k that were not used.",
        head,
        body,
        2,
    )


def methods(study: Study) -> Grid:
    """Tabulate the methods' parameters."""
    body = [
        [
            m.label,
            m.method,
            words.joined([f"{name} {value}" for name, value in m.parameters]) or "none",
        ]
        for m in study.methods
    ]
    return Grid("Entries of the study's list of methods.", ("label", "method", "parameters"), body)
