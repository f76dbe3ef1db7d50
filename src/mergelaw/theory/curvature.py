"""Derivatives at a merge by any route; another one is taken, and noted, where it cannot be had."""

from functools import cached_property

import numpy as np

from mergelaw.config.theory import Route
from mergelaw.errors import ConfigError
from mergelaw.laws.forms import Array
from mergelaw.theory import differences, gauss_newton, routes
from mergelaw.theory.attention import Attention
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives
from mergelaw.theory.differences import Stencil
from mergelaw.theory.passes import Passes
from mergelaw.theory.text_folds import folds_taken
from mergelaw.theory.twice import twice_differentiable
from mergelaw.theory.undifferentiable import NoRoomBackwardError, NotDifferentiableError

WORDS = {"eager": "transformers' plain attention (eager)", "math": "torch's plain attention (math)"}


class Curvature:
    """The routes over a model's passes.

    Parameters
    ----------
    passes : Passes
    dtype : {"float32", "bfloat16"}
        That the model goes forward in.

    Attributes
    ----------
    notes : list of str
        What was measured otherwise than asked, and why.
    """

    def __init__(self, passes: Passes, dtype: str) -> None:
        self._passes, self._dtype = passes, dtype
        self.notes: list[str] = []

    def by(self, route: Route, weights: Array, chosen: list[int], step: float) -> Derivatives:
        """Return loss, gradient and curvature of some folds by a route.

        `differences` alone does not tell pairs of weights: `pairs` is taken in its place.

        Parameters
        ----------
        route : Route
        weights : array, shape (groups * experts,)
        chosen : list of int
            Numbers of the folds.
        step : float
            Share of a task vector that losses are differenced over.

        Raises
        ------
        CheckpointError
            If a number is not finite; names domain and direction.
        NoRoomBackwardError
            If the route goes backward, and memory runs out on an item alone.
        """
        if route == "hvp":
            found = self._hvp(weights, chosen, step)
        elif route == "gauss_newton":
            found = self._gauss_newton(weights, chosen)
        else:
            found = self.pairs(weights, chosen, step)
        self._passes.check_finite_in(found.folds, found.gradient)
        self._passes.check_finite_in(found.folds, found.curvature)
        return found

    def pairs(self, weights: Array, chosen: list[int], step: float) -> Derivatives:
        """Return the same by differences of losses, of pairs of weights too."""
        unit = np.zeros(len(weights))
        unit[0] = 1
        directions = self._passes.directions
        return differences.pair_differences(
            lambda w: self._passes.losses_of(w, chosen),
            directions.experts,
            directions.groups.names,
            folds_taken(self._passes.folded.folds, chosen),
            weights,
            self._stencil(weights, unit, step).step,
        )

    def curve_differences(
        self, weights: Array, scale: float, step: float, third: bool
    ) -> CurveDerivatives:
        """Return what the curve needs by differences of losses, at a merge of equal weights.

        Raises
        ------
        CheckpointError
            As `by`.
        ConfigError
            If groups of layers have weights of their own.
        """
        if len(self._passes.directions.groups.names) > 1:
            raise ConfigError(
                "the route 'differences' tells the curve of whole models: take one weight per "
                "expert (groups: model), or the route hvp, gauss_newton or pairs"
            )
        experts, folds = self._passes.directions.experts, self._passes.folded.folds
        gradient = self._domain_gradient(weights) if third else None
        apart = np.eye(len(experts))[0] - 1 / len(experts)
        stencil = self._stencil(weights, apart, step)
        found = differences.curve_differences(
            self._passes.losses, experts, folds, scale, stencil.step, gradient
        )
        for values in (found.radial, found.spread):
            self._passes.check_finite_in(folds, values)
        return found

    def _hvp(self, weights: Array, chosen: list[int], step: float) -> Derivatives:
        """Take Hessian-vector products; where they are out of reach, differences of gradients."""
        passes, attention = self._passes, self._attention
        if attention is not None:
            self._tell(attention)
            found = routes.by_products(passes, weights, chosen, attention)
            return self._found(weights, chosen, found)
        gradient_step = differences.GRADIENT_STEP[self._dtype]
        try:
            found = routes.by_gradients(passes, weights, chosen, gradient_step)
        except NotDifferentiableError as error:
            self._note(f"{error.reason}: curvature by differences of losses in pairs (route pairs)")
            return self.pairs(weights, chosen, step)
        self._note(
            "the model cannot be differentiated twice, with any attention: curvature by "
            f"differences of gradients over {gradient_step:g} of a task vector"
        )
        return self._found(weights, chosen, found)

    def _gauss_newton(self, weights: Array, chosen: list[int]) -> Derivatives:
        folds, step = folds_taken(self._passes.folded.folds, chosen), gauss_newton.STEP[self._dtype]
        found = routes.by_logits(self._passes, folds, weights, chosen, step)
        return self._found(weights, chosen, found)

    @cached_property
    def _attention(self) -> Attention | None:
        """What the model can be differentiated twice with; found out at equal weights."""
        passes, directions = self._passes, self._passes.directions
        weights, first = np.full(directions.n, 1 / len(directions.experts)), np.eye(directions.n)[0]
        return twice_differentiable(
            passes.backward,
            passes.folded.batches(0, 1)[:1],
            lambda step: passes.show(weights + step * first),
        )

    def _tell(self, attention: Attention) -> None:
        """Note an attention that is not the model's, and what was not checked."""
        if attention != "own":
            self._note(
                f"taken: {WORDS[attention]}, since with the model's own attention its loss cannot "
                "be differentiated twice"
            )
        if self._dtype != "float32":
            self._note(
                f"in {self._dtype} it was not checked that no operation loses a part of the second "
                "derivative: rounding is too coarse for it; in float32 (dtype) it is"
            )

    def _domain_gradient(self, weights: Array) -> Array | None:
        """Return the exact gradient of each domain; None where no pass backward can be made.

        Losses are differenced without it: only third derivatives need it.
        """
        try:
            return self._passes.domain_gradient(weights)
        except (NotDifferentiableError, NoRoomBackwardError) as error:
            self._note(f"{error.reason}: no third derivatives")
        return None

    def _stencil(self, weights: Array, along: Array, step: float) -> Stencil:
        if self._dtype == "float32":
            return Stencil(step)  # its noise is some 1e-7 of the loss: never the limit
        passes = self._passes
        found = differences.chosen_stencil(passes.losses, passes.folded.folds, weights, along, step)
        for note in found.notes:
            self._note(note)
        return found

    def _found(self, weights: Array, chosen: list[int], found: routes.Sums) -> Derivatives:
        directions = self._passes.directions
        folds = folds_taken(self._passes.folded.folds, chosen)
        return Derivatives(directions.experts, directions.groups.names, weights, folds, *found)

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)
