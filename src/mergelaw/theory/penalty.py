"""A pull of the weights towards equal ones, as strong as other items of the text ask for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Derivatives, Folds
from mergelaw.theory.goal import Goal
from mergelaw.theory.quadratic import Quadratics

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0, 1000.0)
"""Strengths tried, in units of the mean curvature; the last leaves little but the scale."""

UNTRIED = 0.03
"""The strength where no domain has two folds to choose it with."""

MOST_SPLITS = 5
"""Parts that folds are put into for cross-validation, at most."""


@dataclass(frozen=True)
class Strength:
    """How hard weights are pulled together.

    Attributes
    ----------
    experts : float
        Of the experts' mean weights over groups of layers, to their common mean.
    layers : float
        Of an expert's weights in the groups, to its mean.
    """

    experts: float
    layers: float


@dataclass(frozen=True)
class Choice:
    """A strength chosen by cross-validation.

    Attributes
    ----------
    strength : Strength
    gain : float
        Fall of the objective from the expansion point, on items left out, by the quadratic models;
        nats per token. NaN where none could be left out.
    stderr : float
        Of it, over the parts left out. ASSUME they are independent: the weights of two parts are
        chosen on text that they mostly share, so that the true error may be larger.
    """

    strength: Strength
    gain: float
    stderr: float

    @property
    def is_told(self) -> bool:
        """Whether the gain is more than two standard errors above 0."""
        return bool(self.gain > 2 * self.stderr)

    def text(self, n_groups: int) -> str:
        """Say how hard weights are pulled towards equal ones, and how that was chosen."""
        strength = self.strength
        layers = f" between experts and {strength.layers:g} between layers" if n_groups > 1 else ""
        how = "as cross-validation chose" if np.isfinite(self.gain) else "as none could be chosen"
        return (
            f"weights are pulled towards equal ones by {strength.experts:g}{layers} of the loss's "
            f"mean curvature, {how}"
        )


def penalty_matrix(strength: Strength, unit: float, n_groups: int, used: Array) -> Array:
    """Return P of the penalty ``w' P w / 2``, shape (weights, weights).

    With w_gi the weight of expert i in group g, w_i its mean over groups and w the mean of all:
    ``unit / 2 (experts * groups * sum_i (w_i - w)^2 + layers * sum_gi (w_gi - w_i)^2)``.

    Parameters
    ----------
    unit : float
        A curvature; strengths are in units of it.
    used : bool array, shape (experts,)
        The experts that may have a weight; others neither pull nor are pulled.
    """
    some = used.astype(float)
    over_groups = np.full((n_groups, n_groups), 1 / n_groups)
    apart = np.diag(some) - np.outer(some, some) / some.sum()
    between = np.kron(over_groups, apart)
    within = np.kron(np.eye(n_groups) - over_groups, np.diag(some))
    matrix: Array = unit * (strength.experts * between + strength.layers * within)
    return matrix


def cross_validate(
    found: Derivatives,
    goal: Goal,
    best: Callable[[Quadratics, Strength], Array],
) -> Choice:
    """Choose the strength whose weights do best on items that they were not chosen on.

    The folds of each domain are put into parts; a part is left out, the quadratic models of the
    others are minimised, and the part's own models tell the loss: no model is asked anew.

    Parameters
    ----------
    best : callable
        Returns the weights that minimise the goal on some models with a strength.
    """
    parts = list(_parts(found.folds))
    n_groups = len(found.groups)
    if not parts:
        return Choice(Strength(UNTRIED, UNTRIED), np.nan, np.nan)
    models = [(Quadratics.of(found, 1 - out), Quadratics.of(found, out)) for out in parts]
    tried = [Strength(one, 0.0) for one in STRENGTHS]
    if n_groups > 1:
        tried = [Strength(*pair) for pair in product(STRENGTHS[::2], repeat=2)]
    gains = np.array(
        [[_gain(goal, rest, out, best(rest, s)) for rest, out in models] for s in tried]
    )
    chosen = int(gains.mean(axis=1).argmax())
    spread = gains[chosen].std(ddof=1) / len(parts) ** 0.5 if len(parts) > 1 else np.nan
    return Choice(tried[chosen], float(gains[chosen].mean()), float(spread))


def _gain(goal: Goal, rest: Quadratics, out: Quadratics, weights: Array) -> float:
    """Return the fall of the merit on the part left out, at weights chosen on the rest.

    The share of each domain in the worst is that on the rest: the part's own worst domain is a
    matter of chance.
    """
    shares = goal.shares(rest.at(weights))
    excess = goal.merit(rest.at(weights)) - goal.value(rest.at(weights))
    return float(shares @ (out.loss - out.at(weights))) - excess


def _parts(folds: Folds) -> Iterator[Array]:
    """Yield which folds are left out, shape (folds,), 0 or 1; some of every domain each time.

    A domain of one fold cannot be left out and counts on both sides: nothing is yielded then.
    """
    numbers = np.zeros(len(folds.domains), dtype=int)
    counts = folds.membership.sum(axis=1).astype(int)
    for row in folds.membership.astype(bool):
        numbers[row] = np.arange(row.sum())
    n_parts = min(int(counts.min()), MOST_SPLITS)
    if n_parts > 1:
        for part in range(n_parts):
            yield (numbers % n_parts == part).astype(float)
