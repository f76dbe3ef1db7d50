"""What a table of the laws stage is, and the columns that many share."""

from typing import Any, NamedTuple

import polars as pl

MACRO = "macro"
"""The `domain` of rows about the unweighted mean over all domains."""


class Table(NamedTuple):
    """An output: its file name, its columns, and the columns that name a row."""

    file: str
    schema: dict[str, pl.DataType]
    key: tuple[str, ...]

    def frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        """Return the rows (one dict each) as a frame of this schema, also where there are none."""
        return pl.DataFrame(rows, schema=self.schema, orient="row")

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return this table's columns of a frame, in the schema's order and types."""
        return frame.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())


TEXT, COUNT, NUMBER, FLAG = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()
CELL = {"size": TEXT, "method": TEXT, "domain": TEXT, "k": COUNT}
