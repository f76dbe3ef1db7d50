"""What a plan is asked, and whether it makes sense."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from mergelaw.planning.prices import Prices

SHARES = (0.85, 0.9)
"""Returns that every plan tells the experts of."""


@dataclass(frozen=True)
class Question:
    """What a plan is asked; None: not asked.

    Attributes
    ----------
    target
        Loss to reach, in nats per token.
    probability
        Chances of reaching it that are asked for, each with an answer of its own.
    shares
        Shares of the pool's improvement whose experts are asked for.
    gap, eps
        Nats per token above the floor to be within; gain that is too small to go on for.
    k
        A number of experts to be told about.
    budget
        In the prices' currency.
    prices
        What plans are paid in; None: costs are not asked for.
    n_params
        Sizes off the ladder, in billions of parameters.
    """

    target: float | None = None
    probability: tuple[float, ...] = (0.9,)
    shares: tuple[float, ...] = SHARES
    gap: float | None = None
    eps: float | None = None
    k: int | None = None
    budget: float | None = None
    prices: Prices | None = None
    n_params: tuple[float, ...] = ()

    def problems(self, pool: int) -> Iterator[str]:
        """Yield which numbers make no sense for a pool of so many experts."""
        wrong = list(self._no_numbers())
        yield from wrong or self._out_of_range(pool)

    def _no_numbers(self) -> Iterator[str]:
        """Yield what was given in Python and is no number at all."""
        alone: dict[str, Any] = {
            "target": self.target,
            "gap": self.gap,
            "eps": self.eps,
            "budget": self.budget,
        }
        given: list[tuple[str, Any]] = [
            (name, value) for name, value in alone.items() if value is not None
        ]
        given += [("n-params", value) for value in self.n_params]
        given += [("probability", value) for value in self.probability]
        given += [("return", value) for value in self.shares]
        for name, value in given:
            if not isinstance(value, Real):
                yield f"--{name} {value!r}: must be a number"
        k: Any = self.k
        if k is not None and not isinstance(k, Integral):
            yield f"--k {k!r}: must be a whole number"

    def _out_of_range(self, pool: int) -> Iterator[str]:
        for option, value in {
            "--target": self.target,
            "--gap": self.gap,
            "--eps": self.eps,
            "--budget": self.budget,
        }.items():
            if value is not None and not 0 < value < math.inf:
                yield f"{option} {value:g}: must be a finite number above 0{_why(option)}"
        for value in self.n_params:
            if not 0 < value < math.inf:
                words = "must be a finite number above 0, in billions of parameters"
                yield f"--n-params {value:g}: {words}"
        for value in self.probability:
            if not 0 < value < 1:
                yield f"--probability {value:g}: must be above 0 and below 1; no law is certain"
        for value in self.shares:
            if not 0 < value <= 1:
                yield f"--return {value:g}: must be above 0 and at most 1, such as 0.9 for 90%"
        if self.k is not None and not 1 <= self.k <= pool:
            yield f"--k {self.k}: the pool has {pool} experts; give 1 to {pool}"


def _why(option: str) -> str:
    words = {
        "--target": "; losses are cross-entropies, in nats per token",
        "--budget": "; with nothing to spend there is nothing to weigh",
    }
    return words.get(option, ", in nats per token")
