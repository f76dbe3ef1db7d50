"""The best weights: Newton steps in a trust region, accepted by the exact loss of a text."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mergelaw.config.theory import Objective
from mergelaw.laws.forms import Array
from mergelaw.theory import search_words
from mergelaw.theory.counted import Counted
from mergelaw.theory.derivatives import Derivatives
from mergelaw.theory.found import Found
from mergelaw.theory.goal import SLACK, Goal
from mergelaw.theory.judging import Judged, judge
from mergelaw.theory.penalty import Choice, Strength, cross_validate, penalty_matrix
from mergelaw.theory.quadratic import Quadratics
from mergelaw.theory.sparse import members, supports
from mergelaw.theory.steps import Box, Problem
from mergelaw.theory.surface import Surface
from mergelaw.theory.ways import NEWTON

ACCEPTED = 0.05
"""Least share of the predicted gain that a step must bring."""

TRUSTED = (0.6, 1.6)
"""Shares of the predicted gain between which the models are good enough to be kept."""

VERIFIED = 3
"""Sets of experts whose promise is checked by an exact loss."""


@dataclass(frozen=True)
class Settings:
    """When a search stops, and how far it steps.

    Attributes
    ----------
    tolerance : float
        Nats per token; a smaller predicted gain ends the search.
    noise_share : float
        So does one below this share of its own standard error over the text.
    radius : float
        Most that a weight moves in the first step.
    most_steps, most_curvatures : int
        Steps tried, and times that curvature is measured, at most.
    """

    tolerance: float = 1e-4
    noise_share: float = 0.5
    radius: float = 1.0
    most_steps: int = 10
    most_curvatures: int = 3


DEFAULT = Settings()


def optimise(
    surface: Surface,
    objective: Objective | Goal,
    start: Array | None = None,
    settings: Settings = DEFAULT,
) -> Found:
    """Minimise an objective over the weights of a merge.

    At the start the loss, the gradient and the curvature of every domain are measured. A step
    minimises the quadratic models (for the worst domain, under a bound on all of them), within the
    goal's limits and a trust region, with a pull towards equal weights whose strength is chosen by
    cross-validation over the text's folds. It is accepted by the exact loss, which comes with a new
    gradient; curvature is kept while it predicts well.

    Source: Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 4.1 and section 18.5.

    Parameters
    ----------
    surface : Surface
        The text that weights are chosen on.
    objective : Objective or Goal
        What is minimised; a `Goal` is one that is resolved for this surface.
    start : array, shape (weights,), optional
        Where the search begins; equal weights 1 / experts, the full average, without it.
    settings : Settings

    Raises
    ------
    ConfigError
        If the objective does not fit the text or the pool.
    CheckpointError
        If a loss or a derivative is not finite.
    """
    counted = surface if isinstance(surface, Counted) else Counted(surface)
    goal = objective if isinstance(objective, Goal) else Goal.of(objective, counted)
    equal = equal_weights(counted)
    return _Search(counted, goal, settings).run(equal if start is None else start)


def equal_weights(surface: Surface) -> Array:
    """Return the weights of the full average: 1 / experts each."""
    n_experts = len(surface.experts)
    return np.full(n_experts * len(surface.groups), 1 / n_experts)


class _Search:
    """A search on its way: where it is, what it knows there, how far it trusts that."""

    at: Derivatives

    def __init__(self, surface: Counted, goal: Goal, settings: Settings) -> None:
        self.surface, self.goal, self.settings = surface, goal, settings
        self.n_groups, self.n_experts = len(surface.groups), len(surface.experts)
        self.used = np.ones(self.n_experts, dtype=bool)
        self.radius, self.n_curvatures, self.fresh = settings.radius, 0, True
        self.negative, self.choice = 0, Choice(Strength(0, 0), np.nan, np.nan)
        self.kept: float | None = None  # share of the first step's promise that came true

    def run(self, start: Array) -> Found:
        """Search from a point."""
        self._measure(self.goal.inside(start, self.n_groups))
        first, models = self.at, Quadratics.of(self.at)
        self.negative = models.n_negative(self.goal.shares(models.loss))
        self.unit = models.unit()
        self.choice = cross_validate(first, self.goal, self._chosen_on)
        if self.goal.max_experts is not None and self.goal.max_experts < self.n_experts:
            self._restrict(self.goal.max_experts)
        converged = any(self._step() for _ in range(self.settings.most_steps))
        judged = judge(self.goal, self.at.folds, self.at.nll, first.nll)
        return Found(
            NEWTON,
            self.at.weights,
            judged.value,
            self.at.nll,
            self.surface.spent,
            converged,
            tuple(self._notes(judged)),
            self.choice,
            judged,
        )

    def _measure(self, weights: Array) -> None:
        self.at = self.surface.curvature(weights)
        self.n_curvatures, self.fresh = self.n_curvatures + 1, True

    def _chosen_on(self, models: Quadratics, strength: Strength) -> Array:
        return self._problem(models, models.centre, strength, self.used).best(models.centre)

    def _problem(
        self, models: Quadratics, centre: Array, strength: Strength, used: Array
    ) -> Problem:
        box = Box.of(self.goal, np.tile(used, self.n_groups)).around(centre, self.radius)
        penalty = penalty_matrix(strength, self.unit, self.n_groups, used)
        return Problem(self.goal, models, penalty, box, self.n_groups)

    def _restrict(self, size: int) -> None:
        """Go to the best merge of so many experts: by the models, then by exact losses."""
        models, radius = Quadratics.of(self.at), self.radius
        self.radius = 2.0  # an expert left out moves to 0 at once, others take its place

        def best(chosen: frozenset[int]) -> tuple[float, Array]:
            used = members(chosen, self.n_experts)
            problem = self._problem(models, models.centre, self.choice.strength, used)
            weights = problem.best(self._spread(used))
            return problem.merit(weights), weights

        ranked = supports(self.n_experts, size, lambda chosen: best(chosen)[0])[:VERIFIED]
        tried = [(best(chosen)[1], members(chosen, self.n_experts)) for chosen in ranked]
        losses = [self.surface.losses(weights) for weights, _ in tried]
        merits = [self._merit(nll, *pair) for nll, pair in zip(losses, tried, strict=True)]
        weights, self.used = tried[int(np.argmin(merits))]
        nll, gradient = self.surface.gradient(weights)
        self.at = replace(self.at, weights=weights, nll=nll, gradient=gradient)
        self.radius, self.fresh = radius, False

    def _spread(self, used: Array) -> Array:
        """Return equal weights of some experts, with the sum of the full average."""
        return np.tile(used / used.sum(), self.n_groups)

    def _merit(self, nll: Array, weights: Array, used: Array) -> float:
        """Return the exact merit with the penalty."""
        penalty = penalty_matrix(self.choice.strength, self.unit, self.n_groups, used)
        losses = self.at.folds.per_token(nll)
        return self.goal.merit(losses) + float(weights @ penalty @ weights / 2)

    def _step(self) -> bool:
        """Try a step; tell whether none is worth trying."""
        weights, models = self.at.weights, Quadratics.of(self.at)
        problem = self._problem(models, weights, self.choice.strength, self.used)
        candidate = problem.best(weights)
        predicted = problem.merit(weights) - problem.merit(candidate)
        if predicted <= self._least(candidate):
            return True
        nll, gradient = self.surface.gradient(candidate)
        before = self._merit(self.at.nll, weights, self.used)
        ratio = (before - self._merit(nll, candidate, self.used)) / predicted
        self.kept = ratio if self.kept is None else self.kept
        self._adapt(ratio, float(np.abs(candidate - weights).max()))
        if ratio >= ACCEPTED:
            self.at = replace(self.at, weights=candidate, nll=nll, gradient=gradient)
            self.fresh = False
        trusted = TRUSTED[0] <= ratio <= TRUSTED[1]
        if not trusted and not self.fresh and self.n_curvatures < self.settings.most_curvatures:
            self._measure(self.at.weights)
        return False

    def _adapt(self, ratio: float, size: float) -> None:
        """Shrink the trust region after a bad prediction, widen it after a good long step."""
        if ratio < 0.25:
            self.radius = size / 4 if ratio < 0 else size / 2
        elif ratio > 0.75 and size > 0.99 * self.radius:
            self.radius *= 2

    def _least(self, candidate: Array) -> float:
        """Return the gain below which a step is not worth its price."""
        step = candidate - self.at.weights
        bent = np.einsum("i,fij,j->f", step, self.at.curvature, step) / 2
        moved = self.at.nll + self.at.gradient @ step + bent
        error = judge(self.goal, self.at.folds, moved, self.at.nll).stderr
        noise = self.settings.noise_share * error if np.isfinite(error) else 0.0
        return max(self.settings.tolerance, noise)

    def _notes(self, judged: Judged) -> Iterator[str]:
        """Yield what a reader must know of the search."""
        if self.negative:
            yield search_words.bent_down(self.negative, self.at.weights, self.settings.radius)
        if self.kept is not None and not TRUSTED[0] <= self.kept <= TRUSTED[1]:
            yield search_words.broken_promise(self.kept)
        excess = self.goal.excess(judged.losses)
        if not self.used.all() and judged.difference > 0:
            yield search_words.fewer_is_worse(self.used, judged)
        elif self.used.all() and not self.choice.is_told and not excess:
            yield search_words.untold(self.choice, int(self.at.folds.n_tokens.sum()))
        if excess > SLACK:
            worst = self.goal.domains[int((judged.losses - self.goal.limits).argmax())]
            yield (
                f"no weights were found that keep the limit: {worst} is {excess:.4f} nats per "
                "token above it"
            )
