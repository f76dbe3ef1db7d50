"""The paper's numbers, as printed: paper.json, and the subsets of its Table 16 in table16.csv.

Wang et al., "Model Merging Scaling Laws in Large Language Models", arXiv 2509.24244 v4. Tables bear
the paper's numbers ("3", "21"); columns bear this project's words. Printed digits are kept, because
they tell how well a number is known. Tables that are not here (8 to 11, 17 to 19, the single
domains of 20) were not at hand.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.laws.forms import Array

DOMAINS = (
    "algebra",
    "analysis",
    "geometry",
    "discrete",
    "number_theory",
    "code",
    "chemistry",
    "physics",
    "biology",
)
SIZES = (0.5, 1.5, 3.0, 7.0, 14.0, 32.0, 72.0)
"""N in billions."""

POOL = 9
JOINT_FITS = {"average": "3", "task_arithmetic": "4", "ties": "5"}
"""The table of each method's joint fits; that of dare is not published."""

JOINT_PARAMETERS = (
    "floor_limit",
    "size_scale",
    "size_exponent",
    "tail_scale",
    "tail_exponent",
    "offset",
)
"""In the order of `mergelaw.laws.forms.joint`."""

_FOLDER = Path(__file__).parent


class Printed(NamedTuple):
    """Numbers, and half a unit of the last printed digit of each, in arrays of one shape."""

    value: Array
    half_unit: Array

    def part(self, index: Any) -> "Printed":
        """Return some of the numbers."""
        return Printed(self.value[index], self.half_unit[index])


def printed(numbers: Iterable[Decimal]) -> Printed:
    """Return decimals as floats; 0.430 has the half unit 0.0005 and 24 the half unit 0.5."""
    decimals = list(numbers)
    exponents = [int(number.as_tuple().exponent) for number in decimals]
    half_units = [0.5 * 10.0**exponent for exponent in exponents]
    return Printed(np.array(decimals, float), np.array(half_units))


def rows(table: str, **where: object) -> list[dict[str, Any]]:
    """Return the rows of a table whose columns have the given values; numbers are decimals."""
    content = _paper()["tables"][table]
    whole = (dict(zip(content["columns"], row, strict=True)) for row in content["rows"])
    return [row for row in whole if all(row[name] == value for name, value in where.items())]


def column(table: str, name: str, **where: object) -> Printed:
    """Return a column of a table, shape (rows,)."""
    return printed(row[name] for row in rows(table, **where))


def joint_fits(method: str) -> Printed:
    """Return the printed joint fits, shape (domains, parameters): `DOMAINS`, `JOINT_PARAMETERS`."""
    by_domain = {row["domain"]: row for row in rows(JOINT_FITS[method])}
    flat = printed(by_domain[domain][name] for domain in DOMAINS for name in JOINT_PARAMETERS)
    shape = len(DOMAINS), len(JOINT_PARAMETERS)
    return Printed(flat.value.reshape(shape), flat.half_unit.reshape(shape))


def number(name: str) -> Printed:
    """Return a number of the text, in arrays of shape ()."""
    one = printed([_paper()["numbers"][name]["value"]])
    return Printed(one.value[0], one.half_unit[0])


def place(name: str) -> str:
    """Return where a number of the text stands."""
    return str(_paper()["numbers"][name]["place"])


def errata() -> list[dict[str, str]]:
    """Return suspected misprints: `place`, what is `printed`, and a `remark`."""
    return list(_paper()["errata"])


def subset_scores() -> pl.DataFrame:
    """Return Table 16: task arithmetic on Llama-3.1-8B, 31 subsets of 5 experts, 12 metrics."""
    return pl.read_csv(_FOLDER / "table16.csv", schema_overrides={"subset": pl.String})


@cache
def _paper() -> dict[str, Any]:
    text = (_FOLDER / "paper.json").read_text(encoding="utf-8")
    return dict(json.loads(text, parse_float=Decimal, parse_int=Decimal))
