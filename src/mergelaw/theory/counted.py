"""A surface that is asked once of each point, and counts every question as if it were new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from mergelaw.costs.theory import GRADIENT
from mergelaw.errors import CheckpointError
from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import Derivatives, Folds
from mergelaw.theory.surface import Spent, Surface

Memory = dict[tuple[str, bytes], tuple[Any, Spent]]


@dataclass
class Counted:
    """What one search asks of a surface; several share their answers, and each pays for its own.

    Attributes
    ----------
    inner : Surface
    memory : dict
        Answers, with what they cost when they were new.
    spent : Spent
        Of this search.
    """

    inner: Surface
    memory: Memory = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)

    def fresh(self) -> "Counted":
        """Return the same for another search, which has spent nothing."""
        return Counted(self.inner, self.memory)

    def knows(self, other: "Counted") -> None:
        """Take over losses of a surface with one group: equal weights in all layers are the same.

        Merges are summed entry by entry, so that these are the same bits.
        """
        for (name, key), answer in other.memory.items():
            if name == "losses":
                weights = np.tile(np.frombuffer(key), len(self.groups))
                self.memory[name, weights.tobytes()] = answer

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, sorted."""
        return self.inner.experts

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of layers with weights of their own."""
        return self.inner.groups

    @property
    def folds(self) -> Folds:
        """Folds of the text."""
        return self.inner.folds

    def losses(self, weights: Array) -> Array:
        """Return the summed loss of each fold, shape (folds,)."""
        nll: Array = self._asked("losses", weights, lambda: self.inner.losses(weights))
        _check(nll, "loss", weights, self)
        return nll

    def gradient(self, weights: Array) -> tuple[Array, Array]:
        """Return the loss and its gradient."""
        found: tuple[Array, Array] = self._asked(
            "gradient", weights, lambda: self.inner.gradient(weights)
        )
        _check(found[0], "loss", weights, self)
        _check(found[1], "gradient", weights, self)
        return found

    def curvature(self, weights: Array, folds: Sequence[int] | None = None) -> Derivatives:
        """Return loss, gradient and curvature."""
        name = "curvature" if folds is None else f"curvature of {list(folds)}"
        found: Derivatives = self._asked(
            name, weights, lambda: self.inner.curvature(weights, folds)
        )
        for what in ("nll", "gradient", "curvature"):
            _check(getattr(found, what), what, weights, self)
        return found

    def _asked(self, name: str, weights: Array, ask: Callable[[], Any]) -> Any:
        key = (name, np.asarray(weights, dtype=float).tobytes())
        if key not in self.memory:
            before = replace(self.inner.spent)
            answer = ask()
            self.memory[key] = answer, _at_least(name, _apart(self.inner.spent, before))
        answer, cost = self.memory[key]
        for part in fields(Spent):
            total = getattr(self.spent, part.name) + getattr(cost, part.name)
            setattr(self.spent, part.name, total)
        return answer


def _apart(after: Spent, before: Spent) -> Spent:
    return Spent(
        **{f.name: getattr(after, f.name) - getattr(before, f.name) for f in fields(Spent)}
    )


def _at_least(name: str, cost: Spent) -> Spent:
    """Return a cost that is not below that of a first question: a surface may remember, too."""
    if name == "losses" and cost.forwards < 1:
        return Spent(n_losses=1, forwards=1.0, seconds=cost.seconds)
    if name == "gradient" and cost.forwards < GRADIENT:
        return Spent(n_gradients=1, forwards=GRADIENT, seconds=cost.seconds)
    return cost


def _check(values: Array, what: str, weights: Array, surface: Counted) -> None:
    """Refuse an answer that is not finite: names the domains.

    Raises
    ------
    CheckpointError
        If one is not.
    """
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    domains = dict.fromkeys(surface.folds.domains[fold] for fold in bad)
    told = ", ".join(f"{weight:.3g}" for weight in weights[:12])
    raise CheckpointError(
        f"the {what} of the merge with weights {told} is not finite on {', '.join(domains)}: no "
        "weights can be compared; check the experts (mergelaw check), narrow the bounds, or take "
        "float32"
    )
