"""Which rows of the theory's tables the page shows, and what routes and ways are called."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.config.methods import Method
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.report.colors import METHODS, Look
from mergelaw.report.inputs import Tables, present, rows

ROUTES = {
    "hvp": "Hessian-vector products",
    "gauss_newton": "Gauss-Newton",
    "differences": "differences, forward only",
    "pairs": "differences along pairs, forward only",
}
"""Ways of measuring curvature, in words."""

LOOKS = {route: Look(METHODS[index].light, "os^D"[index]) for index, route in enumerate(ROUTES)}
"""How each route is drawn."""

NEWTON, FULL_AVERAGE, BEST_SCALE, BEST_SUBSET = (
    "newton",
    "full_average",
    "best_scale",
    "best_subset",
)

WAYS = {
    FULL_AVERAGE: "full average",
    BEST_SCALE: "best scale",
    BEST_SUBSET: "best subset",
    "greedy_soup": "greedy soup",
    "gradient": "gradient descent (Adam)",
    "cma_es": "CMA-ES, cost as Newton",
    "cma_es_long": "CMA-ES, three times its cost",
    "quadratic_55": "quadratic through losses",
    NEWTON: "Newton steps",
}
"""Ways of finding weights, called as `mergelaw optimize` does, in the page's order."""

MOST_SIZES = 4
"""Panels of a row; of more sizes the first ones and the last are kept."""


def way_words(way: str) -> str:
    """Return a way's name in words."""
    return WAYS.get(way, way.replace("_", " "))


def main_route(study: Study, frame: pl.DataFrame) -> str | None:
    """Return the first of the study's routes that a table has rows of."""
    asked = study.theory.routes if study.theory else ()
    found = present([*asked, *ROUTES], frame, "route")
    return found[0] if found else None


def of_main_route(study: Study, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the first route; none where the table is empty."""
    route = main_route(study, frame)
    return rows(frame, route=route) if route else frame.clear()


def own_scale(method: Method) -> float:
    """Return the scale of a method's merges; 1 for methods that have none."""
    return float(getattr(method.parameters, "scale", 1.0))


def at_own_scale(study: Study, curves: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of predicted curves about the study's own merges: their scale and masks."""
    scales = {method.label: own_scale(method) for method in study.methods}
    own = pl.col("method").replace_strict(scales, default=None, return_dtype=pl.Float64)
    return rows(curves.filter((pl.col("scale") - own).abs() < SAME), masks="these")


SAME = 1e-9


def few(names: Sequence[str], most: int = MOST_SIZES) -> list[str]:
    """Return the first names and the last, so many in all."""
    return list(names) if len(names) <= most else [*names[: most - 1], names[-1]]


def measured_merges(study: Study, tables: Tables) -> int:
    """Return how many merges of the reference method each size's curve is the mean of."""
    curves = rows(tables[CURVES.file], domain=MACRO, method=study.reference_label)
    counts = curves.filter(pl.col("k") > 0).group_by("size").agg(pl.col("n_subsets").sum())
    return max(counts["n_subsets"].to_list(), default=0)


def searched(study: Study, weights: pl.DataFrame) -> list[str]:
    """Return the labels of the objectives that were searched for, in the study's order."""
    asked = [objective.label for objective in study.theory.objectives] if study.theory else []
    return present(asked, weights, "objective")


def way_of(frame: pl.DataFrame, way: str) -> dict[str, Any]:
    """Return the row of a way among the rows of one size and objective; empty without it."""
    found = rows(frame, way=way).to_dicts()
    return found[0] if found else {}
