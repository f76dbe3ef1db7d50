"""What the fits do not determine, and whether losses, floors and tails fall: in words."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, FITS, MACRO
from mergelaw.report import words
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, by_k, n_by_size, parameters, present, rows


def notes(fits: Mapping[str, Any]) -> Grid:
    """Group the fits' notes: the macro fits that each is about by name, the domains' by number."""
    pairs = [(note, fit) for fit in fits["fits"] for note in fit["notes"]]
    names = [(note, "\t".join(_name(fit))) for note, fit in pairs]
    body = []
    for text, members in words.grouped_notes(names):
        macro = [name for domain, name in (m.split("\t") for m in members) if domain == MACRO]
        others = len(members) - len(macro)
        body.append([text, ", ".join(macro) or words.MISSING, words.whole(others)])
    return Grid(
        "Notes of the fits. A fit with such a note may still predict well; its parameters "
        "should not be quoted as constants.",
        ("note", "fits of the macro loss", "fits of single domains"),
        body,
    )


def _name(fit: Mapping[str, Any]) -> tuple[str, str]:
    where = "joint law" if fit["law"] == "joint" else fit["size"]
    return fit["domain"], f"{fit['method']} ({where})"


def identified(fits: Mapping[str, Any]) -> list[str]:
    """Count the macro fits whose parameters the data determine, per law, and the refused fits."""
    result = []
    for law, what in (("floor_tail", "per-size"), ("joint", "joint")):
        known = [f["identified"] for f in fits["fits"] if (f["law"], f["domain"]) == (law, MACRO)]
        if known:
            result.append(
                f"Of {words.plural(len(known), what + ' fit')} of the macro loss, "
                f"{sum(known)} {'passes' if sum(known) == 1 else 'pass'} the checks for identified "
                "parameters (no bound that is no answer, enough points, one minimum)."
            )
    reasons: dict[tuple[str, str], list[str]] = {}
    for refused in fits["refused"]:
        reasons.setdefault((refused["law"], refused["reason"]), []).append(_name(refused)[1])
    for (law, reason), members in reasons.items():
        fit = {"joint": "joint", "floor_tail": "per-size"}.get(law, law)
        result.append(
            f"Refused, {words.plural(len(members), fit + ' fit')} "
            f"({', '.join(dict.fromkeys(members))}): {reason}."
        )
    return result


def trends(study: Study, tables: Tables) -> list[str]:
    """Say for each method whether loss falls with k, and floors and tails with N."""
    curves = rows(tables[CURVES.file], domain=MACRO).filter(pl.col("k") > 0)
    sizes, result = list(n_by_size(curves)), []
    for method in present(study.method_labels, curves, "method"):
        by_size = {size: by_k(rows(curves, method=method, size=size), "loss") for size in sizes}
        result.append(words.monotone_words(method, by_size))
        for part in ("floor", "tail"):
            found = [
                (size, parameters(tables[FITS.file], "floor_tail", method, MACRO, size))
                for size in sizes
            ]
            values = [(size, fit[part]["value"]) for size, fit in found if part in fit]
            if values:
                result.append(words.trend_words(part, method, values))
    return result
