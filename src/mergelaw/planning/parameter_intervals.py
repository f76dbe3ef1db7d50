"""Intervals of floor, tail and offset if this is the law: from the points' own errors only."""

from collections.abc import Mapping

import numpy as np

from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.profile import profile_intervals
from mergelaw.laws.resampling import LEVEL
from mergelaw.planning.curve_errors import LEAST_IDENTIFIED
from mergelaw.planning.few_points import sampling_errors
from mergelaw.planning.fitted_law import FittedLaw, Interval

NAMES = ("floor", "tail", "offset")


def parameter_intervals(law: FittedLaw) -> dict[str, Interval]:
    """Return 95% intervals by parameter, empty ones where nothing tells them.

    Four points or more: profile intervals (`mergelaw.laws.profile`). Fewer: the ends of 95% of the
    draws of the points by their errors, none where more than 2.5% of the draws have no law, or
    where there are no errors. Neither allows for a law of the wrong form.
    """
    if len(law.points) > 3:
        return _profiles(law)
    drawn = law.doubt.parameters
    if drawn is None:
        return dict.fromkeys(NAMES, Interval(None, None))
    known = drawn[np.isfinite(drawn).all(axis=1)]
    exact = not any(sampling_errors(law.points) or ())
    if exact or len(known) < LEAST_IDENTIFIED * len(drawn):
        return dict.fromkeys(NAMES, Interval(None, None))
    ends = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return {name: Interval(*map(float, ends[:, i])) for i, name in enumerate(NAMES)}


def _profiles(law: FittedLaw) -> dict[str, Interval]:
    ks, losses = law.arrays
    errors = sampling_errors(law.points)
    given: Mapping[str, object] = (
        {} if errors is None else {"weights": "measured", "errors": np.array(errors)}
    )
    found = profile_intervals(FLOOR_TAIL, {"k": ks}, losses, **given)  # type: ignore[arg-type]
    return {name: Interval(found[name].low, found[name].high) for name in NAMES}
