"""One route at one merge, from which predictions of a study are made, and measured subsets."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.schemas import MACRO
from mergelaw.theory.fold_draws import FoldDraws
from mergelaw.theory.measured_rows import MeasuredDerivatives
from mergelaw.theory.subset_prediction import SubsetPredictor


@dataclass(frozen=True)
class Case:
    """One route at one merge.

    Attributes
    ----------
    one : MeasuredDerivatives
    second : MeasuredDerivatives or None
        The route that it is compared with.
    text, subset_text : MeasuredDerivatives
        Routes at the same merge whose folds tell the error from the choice of text, of curves and
        of single subsets; itself where no other has more folds.
    seed : int
        Of the resamples of folds.
    """

    one: MeasuredDerivatives
    second: MeasuredDerivatives | None
    text: MeasuredDerivatives
    subset_text: MeasuredDerivatives
    seed: int

    @property
    def place(self) -> dict[str, str]:
        """Size, method and route."""
        return {"size": self.one.size, "method": self.one.method, "route": self.one.route}

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains in the order of the derivatives, `macro` last."""
        return (*self.one.curve.folds.names, MACRO)

    @property
    def ks(self) -> Array:
        """Numbers of experts that are predicted: from 1 to the pool."""
        return np.arange(1, len(self.one.curve.experts) + 1)

    @cached_property
    def draws(self) -> FoldDraws:
        """Resamples of the folds of `text`."""
        return FoldDraws.of(self.text.curve.folds, self.seed)

    @cached_property
    def subset_draws(self) -> FoldDraws:
        """Resamples of the folds of `subset_text`."""
        return FoldDraws.of(self.subset_text.curve.folds, self.seed)

    @cached_property
    def subsets(self) -> SubsetPredictor | None:
        """What tells every subset; None where the route does not."""
        whole = self.one.whole
        return None if whole is None else SubsetPredictor(whole, self.one.curve.third)

    @cached_property
    def text_subsets(self) -> SubsetPredictor | None:
        """The same by `subset_text`."""
        whole = self.subset_text.whole
        return None if whole is None else SubsetPredictor(whole)


@dataclass(frozen=True)
class MeasuredSubsets:
    """Losses of the subsets of one size and method.

    Attributes
    ----------
    names : tuple of str
    members : bool array, shape (subsets, experts)
        Columns in the derivatives' order of experts.
    losses : array, shape (domains + 1, subsets)
        In the derivatives' order of domains, macro last.
    """

    names: tuple[str, ...]
    members: Array
    losses: Array

    @property
    def ks(self) -> Array:
        """Experts of each subset."""
        number: Array = self.members.sum(axis=1)
        return number

    def of(self, chosen: Array) -> "MeasuredSubsets":
        """Return some of them, by a bool array of shape (subsets,)."""
        names = tuple(name for name, mine in zip(self.names, chosen, strict=True) if mine)
        return MeasuredSubsets(names, self.members[chosen], self.losses[:, chosen])
