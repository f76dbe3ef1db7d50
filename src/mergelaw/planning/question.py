"""What a plan is asked, and whether it makes sense."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mergelaw.errors import ConfigError, listing
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

    def check(self, pool: int) -> None:
        """Refuse numbers that make no sense for a pool of so many experts; all at once.

        Raises
        ------
        ConfigError
            With every problem.
        """
        if problems := list(self._problems(pool)):
            raise ConfigError(listing("plan", problems))

    def _problems(self, pool: int) -> Iterator[str]:
        for option, value in {
            "--target": self.target,
            "--gap": self.gap,
            "--eps": self.eps,
            "--budget": self.budget,
        }.items():
            if value is not None and not 0 < value < math.inf:
                yield f"{option} {value:g}: must be a number above 0{_why(option)}"
        for value in self.n_params:
            if not 0 < value < math.inf:
                yield f"--n-params {value:g}: must be above 0, in billions of parameters"
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
