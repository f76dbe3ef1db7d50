"""The function that draws each figure of the registry."""

from collections.abc import Callable

from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.report import (
    curves,
    domain_fits,
    forecast_checks,
    maps,
    mixtures,
    more_experts,
    published_figures,
    rivals,
    scale_figures,
    sizes,
    spread,
    subset_spread,
    synergy_figures,
    trust,
    vectors,
)
from mergelaw.report.inputs import Tables

DRAW: dict[str, Callable[[Study, Tables], Figure]] = {
    "loss_by_k": curves.loss_by_k,
    "floor_tail_by_n": sizes.floor_tail_by_n,
    "heldout": sizes.heldout,
    "forecast": sizes.forecast,
    "variance_by_k": spread.variance_by_k,
    "return_by_k": spread.return_by_k,
    "method_gap": spread.method_gap,
    "synergy": maps.synergy,
    "domains": curves.domains,
    "own_cross": maps.own_cross,
    "task_vectors": vectors.task_vectors,
    "merged_task_vectors": vectors.merged_task_vectors,
    "in_domain": domain_fits.in_domain,
    "intervals": trust.intervals,
    "rivals": rivals.rivals,
    "null_r2": rivals.null_r2,
    "two_stage": domain_fits.two_stage,
    "pools": trust.pools,
    "forecast_intervals": forecast_checks.forecast_intervals,
    "triples": forecast_checks.triples,
    "transfer": forecast_checks.transfer,
    "gains": more_experts.gains,
    "near_floor": more_experts.near_floor,
    "variance_forms": subset_spread.variance_forms,
    "dispersion": subset_spread.dispersion,
    "order": subset_spread.order,
    "synergy_estimators": synergy_figures.synergy_estimators,
    "synergy_strengths": synergy_figures.synergy_strengths,
    "synergy_blocks": synergy_figures.synergy_blocks,
    "mixing": mixtures.mixing,
    "designs": mixtures.designs,
    "scale_curves": scale_figures.scale_curves,
    "best_scales": scale_figures.best_scales,
    "scale_gains": scale_figures.scale_gains,
    "published_laws": published_figures.published_laws,
    "published_curves": published_figures.published_curves,
    "published_downstream": published_figures.published_downstream,
    "published_checks": published_figures.published_checks,
}
