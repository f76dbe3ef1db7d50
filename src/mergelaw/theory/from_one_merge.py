"""A forecast from one merge, made on the spot: derivatives at the merge of a pool."""

from collections.abc import Mapping

import numpy as np

from mergelaw.config.methods import METHODS, Method
from mergelaw.config.theory import Route
from mergelaw.errors import ConfigError, listing
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.hub import Ref
from mergelaw.merging.methods import recipe
from mergelaw.sweep.engine import Engine, PoolSettings
from mergelaw.theory.derivatives import CurveDerivatives
from mergelaw.theory.differences import STEP
from mergelaw.theory.fold_draws import with_macro
from mergelaw.theory.linear import scale_of, why_no_curve
from mergelaw.theory.masks import why_no_masks
from mergelaw.theory.measured_rows import MaskSpread
from mergelaw.theory.merge_forecast import Masked, MergeForecast
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.refusals import nonlinear_words
from mergelaw.theory.surface import Spent
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.updates import has_updates, residuals, sampled_subsets


def forecast_merge(
    settings: PoolSettings,
    base: Ref,
    experts: Mapping[str, Ref],
    method: Method,
    text: EvalText,
    route: Route = "hvp",
    step: float = STEP,
    probes: int = 4,
) -> MergeForecast:
    """Measure derivatives at the merge of all experts, and predict every other merge from them.

    Third derivatives are measured by differences of losses beside any route: they tell how far the
    prediction is off.

    Parameters
    ----------
    settings : Study or mergelaw.sweep.engine.Settings
    base, experts
        Folders or names of the Hub; experts by name, two at least.
    method : Method
    text : EvalText
    route : Route
    step : float
        Of differences, a share of a task vector.
    probes : int
        Masks tried for the mean over masks.

    Raises
    ------
    ConfigError
        If there are fewer than two experts, or the method's merges are not predicted.
    CheckpointError
        If experts do not match the base, or a derivative is not finite.
    DataError
        If the text was prepared for another tokenizer, or does not fit the model.
    """
    if len(experts) < 2:
        raise ConfigError(f"experts: {len(experts)}; a curve is about subsets: give at least 2")
    with Engine.open(settings, base, experts) as engine:
        check_vocabulary(text, engine.folders, engine.model)
        _require_curve(engine, settings, method)
        folded = FoldedText.of_route(text, route)
        surface = ModelSurface.over(engine, settings, method, folded, route=route, step=step)
        forward = surface.refolded(FoldedText.of_route(text, "differences"))
        scale = scale_of(method)
        whole = None if route == "differences" else surface.curvature(surface.full(scale))
        differences = forward.differences(scale)
        found = differences if whole is None else _third(whole.curve(), differences)
        base_loss = with_macro(surface.folds, surface.losses(np.zeros(len(found.experts))))
        told, spent, masks = [*surface.notes, *forward.notes], [surface.spent], None
        if why_no_masks(method) is None:
            masks, more = _masks(engine, settings, method, (surface, forward), probes)
            spent.append(more)
    second, notes = None if whole is None else differences, tuple(dict.fromkeys(told))
    return MergeForecast(
        *(method.label, route, found, whole, second, base_loss, masks),
        *(_sum(spent), notes, settings.seed),
    )


def _third(found: CurveDerivatives, differences: CurveDerivatives) -> CurveDerivatives:
    third = differences.third
    return found if third is None else found.with_third(third)


def _masks(
    engine: Engine,
    settings: PoolSettings,
    method: Method,
    surfaces: tuple[ModelSurface, ModelSurface],
    probes: int,
) -> tuple[tuple[Masked, ...], Spent]:
    """Return derivatives of the merge without masks, and what masks add to them.

    By the route, and by differences as well where that is another: they tell the size of higher
    orders, and have the folds that the error from the choice of text is taken from.
    """
    surface, scale = surfaces[0], scale_of(method)
    found = surface.mask_probes(probes, scale)
    plain = METHODS["task_arithmetic"].model_validate(
        {"label": method.label, "method": "task_arithmetic", "parameters": {"scale": scale}}
    )
    folded = [one.passes.folded for one in surfaces]
    unmasked = ModelSurface.over(
        engine, settings, plain, folded[0], route=surface.route, step=surface.step
    )
    spreads = [MaskSpread(own.sums(found)) for own in folded]
    curve = unmasked.curve(scale)
    if surface.route == "differences":
        return ((curve, spreads[0]),), unmasked.spent
    differences = unmasked.refolded(folded[1]).differences(scale)
    both = (_third(curve, differences), spreads[0]), (differences, spreads[1])
    return both, unmasked.spent


def _sum(spent: list[Spent]) -> Spent:
    names = vars(spent[0])
    return Spent(**{name: sum(vars(one)[name] for one in spent) for name in names})


def _require_curve(engine: Engine, settings: PoolSettings, method: Method) -> None:
    """Refuse a method whose merges are not predicted; where that is measured, with the number."""
    experts = sorted(engine.checked.experts)
    reason = why_no_curve(method, experts)
    if reason is None:
        return
    if has_updates(method):
        engine.use(recipe(method, f"{settings.seed}/0"))
        subsets = sampled_subsets(experts, f"{settings.seed}/{method.label}")
        found = residuals(engine.exact, method, experts, subsets)
        reason = nonlinear_words(method.label, [(k, value) for k, (_, value) in found.items()])
    raise ConfigError(listing("a forecast from one merge", [reason]))
