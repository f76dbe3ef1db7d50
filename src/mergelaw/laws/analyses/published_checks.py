"""Claims of the paper beside the same numbers computed from its other numbers."""

import polars as pl

from mergelaw.laws.analyses import (
    published_losses,
    published_methods,
    published_spread,
    published_tables,
)
from mergelaw.laws.schemas.published import PUBLISHED_CHECKS


def published_checks() -> pl.DataFrame:
    """Return every checked claim, schema `PUBLISHED_CHECKS`.

    A claim agrees where rounding of the printed digits explains the difference. One that does not
    agree may be a misprint, another way to compute, or a claim that the numbers do not carry: its
    remark tells what was computed.
    """
    modules = published_losses, published_methods, published_spread, published_tables
    return PUBLISHED_CHECKS.frame(
        [claim._asdict() for module in modules for claim in module.claims()]
    )
