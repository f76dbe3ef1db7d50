"""The function that makes each analysis of the registry."""

from collections.abc import Callable

import polars as pl

from mergelaw.laws.analyses.forecast import forecasts
from mergelaw.laws.analyses.gaps import gaps
from mergelaw.laws.analyses.heldout import heldout
from mergelaw.laws.analyses.returns import returns
from mergelaw.laws.analyses.synergy import synergy
from mergelaw.laws.analyses.variance import variances
from mergelaw.laws.inputs import Inputs

MAKE: dict[str, Callable[[Inputs], pl.DataFrame]] = {
    "heldout": lambda given: heldout(given.curves, given.study),
    "forecast": lambda given: forecasts(given.curves, given.study),
    "variance": lambda given: variances(given.curves, given.study),
    "returns": lambda given: returns(given.curves, given.study),
    "gaps": lambda given: gaps(given.curves, given.study),
    "synergy": lambda given: synergy(given.losses, given.study),
}
"""Each returns a frame with its table's schema, or raises `NotMadeError` with the reason."""
