"""Points of one law, ready to be fitted in whole or in part."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array
from mergelaw.laws.given.points import Point
from mergelaw.laws.law import Law
from mergelaw.laws.profile import ProfileInterval, profile_intervals
from mergelaw.laws.result import LawFit
from mergelaw.laws.weighting import Weights


class Series(NamedTuple):
    """A law, the points that it is fitted to, and how they weigh."""

    law: Law
    points: list[Point]
    weights: Weights

    @property
    def loss(self) -> Array:
        """The mean losses, in nats per token."""
        return np.array([point.loss for point in self.points])

    @property
    def errors(self) -> Array:
        """The sampling errors; NaN where not known."""
        return np.array([np.nan if p.se is None else p.se for p in self.points])

    @property
    def variables(self) -> dict[str, Array]:
        """The law's variables at the points."""
        return {
            name: np.array([getattr(point, name) for point in self.points], float)
            for name in self.law.variables
        }

    def fit(self) -> LawFit:
        """Fit the law; raises `FitError`."""
        return fit(self.law, self.variables, self.loss, self.weights, self.errors)

    def intervals(self, at: Mapping[str, float]) -> dict[str, ProfileInterval]:
        """Return profile intervals of the parameters, and of the law at a point."""
        return profile_intervals(
            self.law, self.variables, self.loss, self.weights, self.errors, at=at
        )

    def of(self, points: list[Point]) -> "Series":
        """Return the same law with other points."""
        return self._replace(points=points)
