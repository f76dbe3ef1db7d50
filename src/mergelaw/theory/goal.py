"""What is minimised over the weights of experts, and within which limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mergelaw.config.theory import Objective
from mergelaw.config.theory_checks import objective_problems
from mergelaw.errors import ConfigError, listing
from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.surface import Surface

FORFEIT = 10.0
"""What a nat above a domain's limit costs in a search, in nats of the objective."""

SLACK = 1e-4
"""Nats per token above a domain's limit, and the share of a weight, that are not told."""


@dataclass(frozen=True)
class Goal:
    """An objective, for the domains of one text and the weights of one surface.

    Attributes
    ----------
    domains : tuple of str
    mixture : array, shape (domains,), or None
        Shares of the domains, which sum to 1; None: the worst domain counts.
    lower, upper : float
        Least and largest weight.
    sums_to_one : bool
        Whether the weights of each group of layers sum to 1.
    max_experts : int, optional
    limits : array, shape (domains,), optional
        Largest loss of each domain, in nats per token.
    """

    domains: tuple[str, ...]
    mixture: Array | None
    lower: float
    upper: float
    sums_to_one: bool = False
    max_experts: int | None = None
    limits: Array | None = None

    @classmethod
    def of(cls, objective: Objective, surface: Surface) -> "Goal":
        """Return the goal that a config's objective sets on a surface.

        Where no domain may be worse than the base, the base is scored: one forward pass.

        Raises
        ------
        ConfigError
            If it names a domain that the text lacks, or does not fit the pool; all are listed.
        """
        names = surface.folds.names
        problems = list(goal_problems(objective, names, len(surface.experts)))
        if problems:
            raise ConfigError(listing(f"objective {objective.label!r}", problems))
        lower, upper = (0.0, 1.0) if objective.sums_to_one else objective.bounds
        goal = cls(
            names,
            _mixture(objective, names),
            lower,
            upper,
            objective.sums_to_one,
            objective.max_experts,
        )
        if objective.no_worse_than_base is None:
            return goal
        base = surface.losses(np.zeros(len(surface.groups) * len(surface.experts)))
        limits = surface.folds.per_token(base) + objective.no_worse_than_base
        return replace(goal, limits=limits)

    def value(self, losses: Array) -> float:
        """Return the objective from the losses per token, shape (domains,)."""
        return float(losses.max() if self.mixture is None else self.mixture @ losses)

    def excess(self, losses: Array) -> float:
        """Return by how much the losses are above a limit at most; 0 where they keep all."""
        if self.limits is None:
            return 0.0
        return max(float((losses - self.limits).max()), 0.0)

    def merit(self, losses: Array) -> float:
        """Return the objective with what excess costs."""
        return self.value(losses) + FORFEIT * self.excess(losses)

    def shares(self, losses: Array) -> Array:
        """Return what each domain counts for in the objective's change, shape (domains,)."""
        if self.mixture is not None:
            return self.mixture
        return np.asarray(np.arange(len(losses)) == losses.argmax(), dtype=float)

    def broken(self, weights: Array, losses: Array, n_groups: int) -> Iterator[str]:
        """Yield the limits that weights do not keep, in words: other ways may not know of them.

        Parameters
        ----------
        weights : array, shape (groups * experts,)
        losses : array, shape (domains,)
            Nats per token, at the weights.
        """
        rows = weights.reshape(n_groups, -1)
        n_used = int((rows != 0).any(axis=0).sum())
        if self.max_experts is not None and n_used > self.max_experts:
            yield f"{n_used} experts, where {self.max_experts} are allowed"
        if self.sums_to_one and np.abs(rows.sum(axis=1) - 1).max() > SLACK:
            yield f"weights that sum to {rows.sum(axis=1).mean():.2f}, where 1 is asked for"
        if weights.min() < self.lower - SLACK or weights.max() > self.upper + SLACK:
            yield (
                f"weights from {weights.min():.2f} to {weights.max():.2f}, where {self.lower:g} to "
                f"{self.upper:g} are allowed"
            )
        if self.limits is not None and self.excess(losses) > SLACK:
            worst = self.domains[int((losses - self.limits).argmax())]
            yield f"{worst} {self.excess(losses):.4f} nats per token above its limit"

    def value_of(self, folds: Folds, nll: Array) -> float:
        """Return the objective from the summed losses of folds."""
        return self.value(folds.per_token(nll))

    def inside(self, weights: Array, n_groups: int) -> Array:
        """Return the weights, brought within the bounds; of a simplex, near it."""
        kept = np.asarray(np.clip(weights, self.lower, self.upper))
        if not self.sums_to_one:
            return kept
        rows = kept.reshape(n_groups, -1)
        sums = rows.sum(axis=1, keepdims=True)
        equal = np.full_like(rows, 1 / rows.shape[1])
        near = np.where(sums > 0, rows / np.where(sums > 0, sums, 1), equal)
        return np.asarray(near.reshape(-1))


def goal_problems(objective: Objective, domains: Sequence[str], n_experts: int) -> Iterator[str]:
    """Yield what an objective and a text or a pool have against each other, by its keys."""
    prefix = f"{objective.label}."
    for problem in objective_problems(objective.label, objective, domains, n_experts):
        yield problem.removeprefix(prefix)


def _mixture(objective: Objective, domains: tuple[str, ...]) -> Array | None:
    """Return the shares of the domains; None where the worst counts."""
    if objective.mixture is not None:
        parts = np.array([objective.mixture.get(name, 0.0) for name in domains])
        return np.asarray(parts / parts.sum())
    if objective.target == "worst":
        return None
    if objective.target == "macro":
        return np.full(len(domains), 1 / len(domains))
    return np.array([float(name == objective.target) for name in domains])
