"""The loss of real merges as a function of the experts' weights, with its derivatives."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch

from mergelaw.config.methods import Method
from mergelaw.config.theory import Route
from mergelaw.errors import CheckpointError, ConfigError
from mergelaw.evaluation.loss import make_batches
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.hub import Ref
from mergelaw.laws.forms import Array
from mergelaw.merging.methods import recipe
from mergelaw.models.head import Head
from mergelaw.sweep.engine import Engine, PoolSettings
from mergelaw.theory import differences, gauss_newton
from mergelaw.theory.attention import Attention
from mergelaw.theory.backward import free_bytes
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives, Folds
from mergelaw.theory.differences import Stencil
from mergelaw.theory.directions import Directions
from mergelaw.theory.layers import Grouping, groups_of
from mergelaw.theory.linear import why_not_linear
from mergelaw.theory.masks import mask_spread
from mergelaw.theory.passes import Passes, keep, key_of
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import MOST_FOLDS, FoldedText, folds_taken
from mergelaw.theory.twice import twice_differentiable

LOGITS_SHARE = 0.25
"""Share of the free memory that logits by all weights take in the Gauss-Newton route."""

LOGITS_BYTES = 2**30
"""The most that they take in any case."""


class ModelSurface:
    """Loss of `base + sum_i w_i psi(v_i)` on a text; a `mergelaw.theory.surface.Surface`.

    Merges are the merge engine's, bit for bit, and losses the sweep's. Made by `open` or `over`.

    Attributes
    ----------
    passes : Passes
        What is asked of the model, and counted.
    route : {"hvp", "gauss_newton", "differences", "pairs"}
        How `curvature` is measured; may be set.
    step : float
        Share of a task vector that losses are differenced over, where they are not too noisy.
    notes : list of str
        What a reader should see: what was measured otherwise than asked, and why.
    """

    def __init__(
        self,
        passes: Passes,
        settings: PoolSettings,
        method: Method,
        route: Route,
        step: float,
    ) -> None:
        self.passes, self.route, self.step = passes, route, step
        self.notes: list[str] = []
        self._settings, self._method = settings, method

    @cached_property
    def _attention(self) -> Attention | None:
        """What the model can be differentiated twice with; found out at equal weights."""
        passes, weights, first = self.passes, self.full(), np.zeros(len(self.full()))
        first[0] = 1
        return twice_differentiable(
            passes.backward,
            passes.folded.batches(0, 1)[:1],
            lambda step: passes.show(weights + step * first),
        )

    @classmethod
    @contextmanager
    def open(
        cls,
        settings: PoolSettings,
        base: Ref,
        experts: Mapping[str, Ref],
        method: Method,
        text: EvalText,
        *,
        mask_seed: int = 0,
        groups: Grouping = "model",
        route: Route = "hvp",
        step: float = differences.STEP,
        most_folds: int = MOST_FOLDS,
    ) -> Iterator["ModelSurface"]:
        """Check and hold base and experts until the block ends.

        Parameters
        ----------
        settings : Study or mergelaw.sweep.engine.Settings
            Types, arithmetic, seed, what is done about lineage, and padded tokens of a batch.
        base, experts
            Folders, or names of the Hub; experts by name.
        method : Method
            Its psi is applied to the task vectors; its weights and scale are the caller's.
        text : EvalText
            What losses are of.
        mask_seed : int
            Of the masks, where the method draws them.
        groups : {"model", "layers"}
            Whether each expert has one weight, or one in each group of layers.
        route, step
            As the attributes.
        most_folds : int
            Folds of each domain at most; few are faster.

        Raises
        ------
        CheckpointError
            If experts do not match the base; all problems are listed.
        ConfigError
            If the method's merges are not linear in the weights.
        DataError
            If the text was not prepared for these checkpoints.
        """
        refuse_nonlinear(method)
        with Engine.open(settings, base, experts) as engine:
            check_vocabulary(text, engine.folders, engine.model)
            yield cls.over(
                engine,
                settings,
                method,
                FoldedText.of(text, most_folds),
                mask_seed=mask_seed,
                groups=groups,
                route=route,
                step=step,
            )

    @classmethod
    def over(
        cls,
        engine: Engine,
        settings: PoolSettings,
        method: Method,
        folded: FoldedText,
        *,
        mask_seed: int = 0,
        groups: Grouping = "model",
        route: Route = "hvp",
        step: float = differences.STEP,
    ) -> "ModelSurface":
        """Return the surface of a method over an open engine, which takes its recipe.

        The parameters are those of `open`; the engine's former surface is of no use afterwards.
        """
        refuse_nonlinear(method)
        steps = recipe(method, f"{settings.seed}/{mask_seed}")
        engine.use(steps)
        pool = engine.exact.pool
        grouped = groups_of([part.name for part in pool.segments], groups)
        names = tuple(sorted(engine.checked.experts))
        directions = Directions(pool, names, grouped, steps.whole_rows)
        passes = Passes(engine, directions, folded, settings.evaluation.batch_tokens)
        return cls(passes, settings, method, route, step)

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts, sorted."""
        return self.passes.directions.experts

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of layers with weights of their own; ("model",) for one weight per expert."""
        return self.passes.directions.groups.names

    @property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        """Names of each group's tensors."""
        parts = self.passes.directions.pool.segments
        return {
            group: tuple(parts[index].name for index in self.passes.directions.segments(number))
            for number, group in enumerate(self.groups)
        }

    @property
    def folds(self) -> Folds:
        """Folds of the text."""
        return self.passes.folded.folds

    @property
    def spent(self) -> Spent:
        """What was asked so far."""
        return self.passes.spent

    def full(self, scale: float = 1.0) -> Array:
        """Return the weights of the whole pool's merge at a scale c: c / M each."""
        return np.full(self.passes.directions.n, scale / len(self.experts))

    def item_losses(self, weights: Array) -> Array:
        """Return the summed loss of each item, shape (items,): one forward pass.

        Raises
        ------
        CheckpointError
            If one is not finite; names domain and item.
        DataError
            If memory runs out on an item alone.
        """
        return self.passes.item_losses(weights)

    def losses(self, weights: Array) -> Array:
        """Return the summed loss of each fold, shape (folds,): one forward pass."""
        return self.passes.losses(weights)

    def gradient(self, weights: Array) -> tuple[Array, Array]:
        """Return the loss and its gradient, shapes (folds,) and (folds, groups * experts).

        Raises
        ------
        CheckpointError
            If the model cannot be differentiated, or a number is not finite.
        """
        return self.passes.gradient(weights, self.passes.all_folds)

    def curvature(self, weights: Array, folds: Sequence[int] | None = None) -> Derivatives:
        """Return loss, gradient and curvature by the surface's route; see the routes' functions.

        `differences` alone does not tell pairs of weights: `pairs` is taken in its place.

        Parameters
        ----------
        weights : array, shape (groups * experts,)
        folds : sequence of int, optional
            Numbers of the folds that are measured; all without it.

        Raises
        ------
        CheckpointError
            If a number is not finite; names the domain.
        """
        chosen = self.passes.all_folds if folds is None else list(folds)
        weights = np.asarray(weights, dtype=float)
        if self.route == "hvp":
            found = self._hvp(weights, chosen)
        elif self.route == "gauss_newton":
            found = self._gauss_newton(weights, chosen)
        else:
            found = self.pairs(weights, folds=chosen)
        self._check(found)
        return found

    def curve(self, scale: float = 1.0) -> CurveDerivatives:
        """Return what the curve needs at the whole pool's merge, by the surface's route."""
        if self.route == "differences":
            return self.differences(scale)
        return self.curvature(self.full(scale)).curve()

    def differences(self, scale: float = 1.0, third: bool = True) -> CurveDerivatives:
        """Return the same by differences of losses: 3 + 2 M forward passes, and a gradient.

        In bfloat16 five or more show the noise first, and the step fits it.

        Parameters
        ----------
        scale : float
            Of the merge.
        third : bool
            Whether third derivatives are told: needs a gradient, unless one was taken there.
        """
        self._one_group("differences")
        weights = self.full(scale)
        if third:
            self._try_gradient(weights)
        gradient = self.passes.gradients.get(key_of(weights))
        apart = -self.full(1.0)
        apart[0] += 1
        stencil = self._stencil(weights, apart)
        found = differences.curve_differences(
            self.losses, self.experts, self.folds, scale, stencil.step, gradient
        )
        for values in (found.radial, found.spread):
            self.passes.check_finite_in(self.folds, values)
        return found

    def pairs(self, weights: Array, folds: Sequence[int] | None = None) -> Derivatives:
        """Return loss, gradient and curvature by differences of losses, of pairs of weights too.

        1 + 2 n + n (n - 1) / 2 forward passes for n weights: 55 for nine.
        """
        chosen = self.passes.all_folds if folds is None else list(folds)
        unit = np.zeros(len(weights))
        unit[0] = 1
        stencil = self._stencil(weights, unit)
        return differences.pair_differences(
            lambda w: self.passes.losses_of(w, chosen),
            self.experts,
            self.groups,
            folds_taken(self.folds, chosen),
            weights,
            stencil.step,
        )

    def mask_spread(self, n_probes: int, scale: float = 1.0) -> tuple[Array, Array]:
        """Return mean and standard error of n' H n over masks; see `mergelaw.theory.masks`.

        Two forward passes a probe, and one. Sums over tokens, shape (folds,) each.
        """
        self.passes.forget()
        return mask_spread(
            self.passes.engine,
            self._method,
            self._settings.seed,
            scale,
            n_probes,
            lambda: self.passes.shown_losses("a merge of a mask's probe"),
        )

    # --- routes ---

    def _hvp(self, weights: Array, chosen: list[int]) -> Derivatives:
        """Take Hessian-vector products; where they are out of reach, differences of gradients."""
        self.losses(weights)  # what a product costs is told in units of its time
        if self._attention is None:
            return self._without_products(weights, chosen)
        passes, start = self.passes, time.perf_counter()
        passes.show(weights)
        parts = [
            passes.backward.curvature(passes.fold_batches(fold), self._attention) for fold in chosen
        ]
        nll, gradient, curvature = (np.stack(rows) for rows in zip(*parts, strict=True))
        curvature = (curvature + curvature.transpose(0, 2, 1)) / 2
        seconds = time.perf_counter() - start
        forwards = seconds / passes.forward_seconds
        passes.count(seconds, forwards=forwards, gradients=1, products=len(weights))
        if chosen == passes.all_folds:
            nll = self.losses(weights)
            keep(passes.gradients, key_of(weights), gradient)
        return self._derivatives(weights, chosen, nll, gradient, curvature)

    def _without_products(self, weights: Array, chosen: list[int]) -> Derivatives:
        """Return the curvature by differences of gradients, or of losses where there are none."""
        step = differences.GRADIENT_STEP[self._settings.dtype]
        try:
            nll, gradient = self.passes.gradient(weights, chosen)
        except CheckpointError as error:
            self._note(f"{error}: curvature by differences of losses in pairs (route pairs)")
            return self.pairs(weights, folds=chosen)
        self._note(
            "the model cannot be differentiated twice, with any attention: curvature by "
            f"differences of gradients over {step:g} of a task vector"
        )
        curvature = differences.gradient_differences(
            lambda w: self.passes.gradient(w, chosen)[1], weights, step
        )
        self.passes.spent.n_products += len(weights)
        return self._derivatives(weights, chosen, nll, gradient, curvature)

    def _gauss_newton(self, weights: Array, chosen: list[int]) -> Derivatives:
        """Take the generalised Gauss-Newton matrix; see `mergelaw.theory.gauss_newton`."""
        passes, start, folded = self.passes, time.perf_counter(), self.passes.folded
        items = np.concatenate([folded.members(fold) for fold in chosen])
        number = {fold: index for index, fold in enumerate(chosen)}
        of_item = torch.tensor([number[int(folded.of_item[item])] for item in items])
        batches = make_batches([folded.items[item] for item in items], passes.batch_tokens)
        most_rows = max(1, self._most_logits() // (len(weights) + 3))
        nll, gradient, curvature = gauss_newton.gauss_newton(
            passes.logits,
            gauss_newton.pieces_of(batches, of_item, most_rows),
            weights,
            gauss_newton.STEP[self._settings.dtype],
            len(chosen),
        )
        taken = passes.gradients.get(key_of(weights))
        if taken is not None:  # exact, and paid for
            gradient = taken[chosen]
        forwards = (len(weights) + 1) * folded.share(chosen)
        passes.count(time.perf_counter() - start, forwards=forwards, products=len(weights))
        return self._derivatives(weights, chosen, nll, gradient, curvature)

    # --- what routes share ---

    def _try_gradient(self, weights: Array) -> None:
        """Take the gradient, unless it was taken or cannot be."""
        if key_of(weights) in self.passes.gradients:
            return
        try:
            self.gradient(weights)
        except CheckpointError as error:
            self._note(f"{error}: no third derivatives")

    def _stencil(self, weights: Array, along: Array) -> Stencil:
        if self._settings.dtype == "float32":
            return Stencil(self.step)  # its noise is some 1e-7 of the loss: never the limit
        found = differences.chosen_stencil(self.losses, self.folds, weights, along, self.step)
        for note in found.notes:
            self._note(note)
        return found

    def _most_logits(self) -> int:
        """Return the tokens whose logits fit what the Gauss-Newton route takes of the memory."""
        head = Head.of(self.passes.engine.model)
        bytes_ = min(LOGITS_BYTES, LOGITS_SHARE * free_bytes(head.device))
        return int(bytes_ / (4 * head.embeddings.weight.shape[0]))

    def _derivatives(
        self, weights: Array, chosen: list[int], nll: Array, gradient: Array, curvature: Array
    ) -> Derivatives:
        folds = folds_taken(self.folds, chosen)
        return Derivatives(self.experts, self.groups, weights, folds, nll, gradient, curvature)

    def _one_group(self, route: str) -> None:
        if len(self.groups) > 1:
            raise ConfigError(
                f"the route {route!r} tells the curve of whole models: take one weight per expert "
                "(groups: model), or the route hvp, gauss_newton or pairs"
            )

    def _check(self, found: Derivatives) -> None:
        self.passes.check_finite_in(found.folds, found.gradient)
        self.passes.check_finite_in(found.folds, found.curvature)

    def _note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)


def refuse_nonlinear(method: Method) -> None:
    """Refuse a method whose merges are not linear in the weights.

    Raises
    ------
    ConfigError
    """
    reason = why_not_linear(method)
    if reason is not None:
        raise ConfigError(reason)
