"""The floor, tail and offset of every size as values, and whether the data carry them."""

from typing import NamedTuple

import polars as pl

from mergelaw.laws.law import FLOOR_TAIL

CURVE = ("size", "method", "domain")
Key = tuple[str, str, str]
"""Values of `CURVE`."""


class SizeFit(NamedTuple):
    """The law `floor + tail / (k + offset)` of one size, method and domain."""

    floor: float
    tail: float
    offset: float
    identified: bool


def size_fits(fits: pl.DataFrame) -> dict[Key, SizeFit]:
    """Return the fit of every curve that was fitted, from a table with the schema `FITS`."""
    parts = fits.filter(pl.col("law") == FLOOR_TAIL.name).partition_by(
        CURVE, as_dict=True, maintain_order=True
    )
    return {_key(key): _size_fit(rows) for key, rows in parts.items()}


def measured(curves: pl.DataFrame) -> dict[Key, dict[int, float]]:
    """Return the mean loss at each measured k >= 1 of every curve, in the order of the table."""
    parts = curves.filter(pl.col("k") > 0).partition_by(CURVE, as_dict=True, maintain_order=True)
    return {_key(key): dict(part.select("k", "loss").iter_rows()) for key, part in parts.items()}


def _key(key: tuple[object, ...]) -> Key:
    size, method, domain = map(str, key)
    return size, method, domain


def _size_fit(rows: pl.DataFrame) -> SizeFit:
    value = dict(rows.select("parameter", "value").iter_rows())
    return SizeFit(value["floor"], value["tail"], value["offset"], rows["identified"][0])
