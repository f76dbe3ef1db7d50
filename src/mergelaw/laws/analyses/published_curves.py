"""The paper's printed curves, fitted: with a free offset and with a small one, as the paper has it.

Table 20 has a curve of eight points. Of each curve of Table 23 the two ends and the fit's
parameters are printed, so its law is drawn as printed. Table 21 has two points of a curve, which
allow no fit.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from mergelaw.laws import forms, published
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL, Law
from mergelaw.laws.result import LawFit
from mergelaw.laws.schemas.published import PUBLISHED_CURVES, PUBLISHED_FITS

SIXTEEN = "sixteen domains"
POOL16 = 16
SMALL_OFFSET = 1.0
"""The largest offset that the paper's fits of Table 23 allow."""


def small_offset(law: Law = FLOOR_TAIL) -> Law:
    """Return the law with an offset of at most `SMALL_OFFSET`."""
    parameters = []
    for spec in law.parameters:
        if spec.name == "offset":
            grid = tuple(value for value in spec.grid if value <= SMALL_OFFSET)
            spec = replace(spec, maximum=SMALL_OFFSET, grid=grid, at_maximum="")
        parameters.append(spec)
    return replace(law, parameters=tuple(parameters))


def fits_of_table_20() -> dict[str, LawFit]:
    """Return the fits of Table 20's curve with weights k (the paper's), by their name."""
    k, loss = (published.column("20", name).value for name in ("k", "loss"))
    laws = {"refitted": FLOOR_TAIL, "refitted, offset at most 1": small_offset()}
    return {name: fit(law, {"k": k}, loss, "k") for name, law in laws.items()}


def published_curves() -> pl.DataFrame:
    """Return printed points with their laws, schema `PUBLISHED_CURVES`."""
    return PUBLISHED_CURVES.frame([*_table_20(), *_table_21(), *_table_23()])


def published_fits() -> pl.DataFrame:
    """Return printed and new fits of the printed curves, schema `PUBLISHED_FITS`.

    `at_bound` is null where the paper does not tell the bounds.
    """
    rows = [
        _fit_row("Table 20", SIXTEEN, name, parameter.name, parameter.value, fitted.r2)
        | {"at_bound": parameter.at_bound}
        for name, fitted in fits_of_table_20().items()
        for parameter in fitted.parameters
    ]
    for row in published.rows("23"):
        rows += [
            _fit_row("Table 23", row["model"], "printed", name, row[name], row["r2"])
            | {"at_bound": row[name] in (0, SMALL_OFFSET) if name == "offset" else False}
            for name in ("floor", "tail", "offset")
        ]
    rows += [
        _fit_row("Table 24", row["model"], "printed", "offset", row["offset"], None)
        for row in published.rows("24")
    ]
    return PUBLISHED_FITS.frame(rows)


def _fit_row(
    source: str, series: str, fit_name: str, parameter: str, value: Any, r2: Any
) -> dict[str, Any]:
    return {
        "source": source,
        "series": series,
        "fit": fit_name,
        "parameter": parameter,
        "value": float(value),
        "r2": None if r2 is None else float(r2),
    }


def _table_20() -> list[dict[str, Any]]:
    free, small = fits_of_table_20().values()
    return [
        _point("Table 20", SIXTEEN, row, POOL16)
        | {
            "loss_fitted": float(free.predict(k=float(row["k"]))),
            "loss_small_offset": float(small.predict(k=float(row["k"]))),
        }
        for row in published.rows("20")
    ]


def _table_21() -> list[dict[str, Any]]:
    return [
        _point("Table 21", f"dare {row['n_params_billions']}B", row | {"loss": row["mean"]})
        for row in published.rows("21")
    ]


def _table_23() -> list[dict[str, Any]]:
    rows = []
    for row in published.rows("23"):
        law = [float(row[name]) for name in ("floor", "tail", "offset")]
        ends = {1: row["loss_k1"], published.POOL: row["loss_k9"]}
        rows += [
            _point("Table 23", row["model"], {"k": k, "loss": ends.get(k)})
            | {"loss_small_offset": float(forms.floor_tail(k, *law))}
            for k in map(int, np.arange(1, published.POOL + 1))
        ]
    return rows


def _point(
    source: str, series: str, row: dict[str, Any], pool: int = published.POOL
) -> dict[str, Any]:
    loss, sd = row["loss"], row.get("sd")
    return {
        "source": source,
        "series": series,
        "k": int(row["k"]),
        "pool": pool,
        "loss": None if loss is None else float(loss),
        "sd": None if sd is None else float(sd),
    }
