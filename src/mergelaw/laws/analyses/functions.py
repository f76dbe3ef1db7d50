"""The function that makes each analysis of the registry."""

from collections.abc import Callable

import polars as pl

from mergelaw.laws.analyses.balanced import balanced
from mergelaw.laws.analyses.best_scales import best_scales
from mergelaw.laws.analyses.between_k import between_k
from mergelaw.laws.analyses.capacity import capacity
from mergelaw.laws.analyses.capacity_fits import capacity_fits
from mergelaw.laws.analyses.designs import designs
from mergelaw.laws.analyses.dispersion import dispersion
from mergelaw.laws.analyses.forecast import forecasts
from mergelaw.laws.analyses.forecast_intervals import forecast_intervals
from mergelaw.laws.analyses.gains import gains
from mergelaw.laws.analyses.gaps import gaps
from mergelaw.laws.analyses.heldout import heldout
from mergelaw.laws.analyses.intervals import intervals
from mergelaw.laws.analyses.mixing import mixing
from mergelaw.laws.analyses.multitask import multitask
from mergelaw.laws.analyses.near_floor import near_floor
from mergelaw.laws.analyses.null_r2 import null_r2
from mergelaw.laws.analyses.order import order
from mergelaw.laws.analyses.pools import pools
from mergelaw.laws.analyses.post_training import post_training, post_training_fits
from mergelaw.laws.analyses.published_checks import published_checks
from mergelaw.laws.analyses.published_curves import published_curves, published_fits
from mergelaw.laws.analyses.published_downstream import published_downstream
from mergelaw.laws.analyses.published_laws import published_laws
from mergelaw.laws.analyses.returns import returns
from mergelaw.laws.analyses.rivals import rivals
from mergelaw.laws.analyses.scale_curves import scale_curves
from mergelaw.laws.analyses.scale_fits import scale_fits
from mergelaw.laws.analyses.synergy import synergy
from mergelaw.laws.analyses.synergy_blocks import synergy_blocks, synergy_strengths
from mergelaw.laws.analyses.synergy_estimators import synergy_estimators
from mergelaw.laws.analyses.training_curves import training_curves
from mergelaw.laws.analyses.transfer import transfer
from mergelaw.laws.analyses.triples import triple_errors, triples
from mergelaw.laws.analyses.two_stage import two_stage
from mergelaw.laws.analyses.variance import variances
from mergelaw.laws.analyses.variance_fits import variance_fits
from mergelaw.laws.inputs import Inputs

MAKE: dict[str, Callable[[Inputs], pl.DataFrame]] = {
    "heldout": lambda given: heldout(given.curves, given.study),
    "forecast": lambda given: forecasts(given.curves, given.study),
    "variance": lambda given: variances(given.curves, given.study),
    "returns": lambda given: returns(given.curves, given.study),
    "gaps": lambda given: gaps(given.curves, given.study),
    "synergy": lambda given: synergy(given.losses, given.study),
    "intervals": lambda given: intervals(given.rows, given.losses, given.curves, given.study),
    "rivals": lambda given: rivals(given.curves, given.study),
    "null_r2": lambda given: null_r2(given.curves, given.fits, given.study),
    "two_stage": lambda given: two_stage(given.curves, given.fits, given.study),
    "pools": lambda given: pools(given.losses, given.study),
    "forecast_intervals": lambda given: forecast_intervals(
        given.rows, given.losses, given.curves, given.study
    ),
    "gains": lambda given: gains(given.curves, given.fits, given.study),
    "near_floor": lambda given: near_floor(given.curves, given.fits, given.study),
    "triples": lambda given: triples(given.curves, given.study),
    "triple_errors": lambda given: triple_errors(given.curves, given.study),
    "transfer": lambda given: transfer(given.curves, given.fits, given.study),
    "variance_fits": lambda given: variance_fits(given.curves, given.study),
    "dispersion": lambda given: dispersion(given.curves, given.variance, given.study),
    "order": lambda given: order(given.orders, given.study),
    "synergy_estimators": lambda given: synergy_estimators(given.losses, given.study),
    "synergy_strengths": lambda given: synergy_strengths(given.estimators, given.study),
    "synergy_blocks": lambda given: synergy_blocks(given.estimators, given.study),
    "mixing": lambda given: mixing(given.losses, given.study),
    "designs": lambda given: designs(given.losses, given.study),
    "balanced": lambda given: balanced(given.losses, given.study),
    "between_k": lambda given: between_k(given.curves, given.study),
    "scale_curves": lambda given: scale_curves(given.scales, given.scale_fits, given.study),
    "scale_fits": lambda given: scale_fits(given.scales, given.study),
    "best_scales": lambda given: best_scales(
        given.scales, given.scale_fits, given.best_scales, given.study
    ),
    "training_curves": lambda given: training_curves(given.logs, given.study),
    "post_training": lambda given: post_training(given.snapshots, given.study),
    "post_training_fits": lambda given: post_training_fits(given.post_training, given.study),
    "multitask": lambda given: multitask(given.rows, given.multitask, given.study),
    "capacity": capacity,
    "capacity_fits": lambda given: capacity_fits(
        given.training, given.curves, given.fits, given.study
    ),
    "published_checks": lambda _: published_checks(),
    "published_curves": lambda _: published_curves(),
    "published_fits": lambda _: published_fits(),
    "published_laws": lambda _: published_laws(),
    "published_downstream": lambda _: published_downstream(),
}
"""Each returns a frame with its table's schema, or raises `NotMadeError` with the reason."""
