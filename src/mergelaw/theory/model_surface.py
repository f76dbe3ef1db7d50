"""The loss of real merges as a function of the experts' weights, with its derivatives."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from mergelaw.config.methods import Method
from mergelaw.config.theory import Route
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.hub import Ref
from mergelaw.laws.forms import Array
from mergelaw.merging.methods import recipe
from mergelaw.sweep.engine import Engine, PoolSettings
from mergelaw.theory import differences
from mergelaw.theory.curvature import Curvature
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives, Folds
from mergelaw.theory.directions import Directions
from mergelaw.theory.layers import Grouping, groups_of
from mergelaw.theory.linear import refuse_nonlinear
from mergelaw.theory.masks import mask_probes
from mergelaw.theory.passes import Passes
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import MOST_FOLDS, FoldedText


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
        self._settings, self._method = settings, method
        self._routes = Curvature(passes, settings.dtype)

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

    def refolded(self, folded: FoldedText) -> "ModelSurface":
        """Return the same surface with the text in other folds.

        What one has measured of items and domains serves the other, and both count as one.
        """
        passes = self.passes.refolded(folded)
        return ModelSurface(passes, self._settings, self._method, self.route, self.step)

    @property
    def notes(self) -> list[str]:
        """What a reader should see: what was measured otherwise than asked, and why."""
        return self._routes.notes

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
        """Return loss, gradient and curvature by the surface's route; see `Curvature.by`.

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
        return self._routes.by(
            self.route, np.asarray(weights, dtype=float), self._chosen(folds), self.step
        )

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
            Whether third derivatives are told: needs a gradient of each domain, unless one was
            taken there.
        """
        return self._routes.curve_differences(self.full(scale), scale, self.step, third)

    def pairs(self, weights: Array, folds: Sequence[int] | None = None) -> Derivatives:
        """Return loss, gradient and curvature by differences of losses, of pairs of weights too.

        1 + 2 n + n (n - 1) / 2 forward passes for n weights: 55 for nine.
        """
        return self._routes.pairs(weights, self._chosen(folds), self.step)

    def mask_probes(self, n_probes: int, scale: float = 1.0) -> Array:
        """Return n' H n of random masks and each item; see `mergelaw.theory.masks`.

        Two forward passes a probe, and one. Shape (probes, items), sums over tokens.
        """
        self.passes.shown.forget()
        return mask_probes(
            self.passes.engine,
            self._method,
            self._settings.seed,
            scale,
            n_probes,
            lambda: self.passes.shown_items("a merge of a mask's probe"),
        )

    def _chosen(self, folds: Sequence[int] | None) -> list[int]:
        return self.passes.all_folds if folds is None else list(folds)
