"""Every analysis by name and what it reads; light, because workflow rules read it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mergelaw.config import Study
from mergelaw.paths import StudyPaths


class Analysis(NamedTuple):
    """An analysis: one job that makes one table, `laws/{name}.parquet`.

    Attributes
    ----------
    reads
        Names of what it reads, keys of `READS`.
    needs
        In plain words, what a study needs for it.
    """

    reads: tuple[str, ...]
    needs: str = "curves over k"


def _scales(study: Study, paths: StudyPaths) -> list[Path]:
    return [paths.scales(size) for size in study.size_names] if study.scales else []


def _orders(study: Study, paths: StudyPaths) -> list[Path]:
    return [paths.orders(size) for size in study.size_names] if study.orders else []


def _best_scales(study: Study, paths: StudyPaths) -> list[Path]:
    return [paths.best_scales(size) for size in study.size_names] if study.scales else []


def _multitask(study: Study, paths: StudyPaths) -> list[Path]:
    return [paths.multitask_losses(size) for size in study.ladder] if study.multitask else []


def _settings(study: Study, paths: StudyPaths) -> list[Path]:
    """Return logs of trainings and task vectors, where experts are trained in several ways."""
    sizes = study.size_names if study.off_ladder else ()
    return [place(size) for size in sizes for place in (paths.training_logs, paths.task_vectors)]


READS: dict[str, Callable[[Study, StudyPaths], list[Path]]] = {
    "losses": lambda study, paths: [paths.losses],
    "curves": lambda study, paths: [paths.law_table("curves")],
    "fits": lambda study, paths: [paths.law_table("fits")],
    "variance": lambda study, paths: [paths.law_table("variance")],
    "estimators": lambda study, paths: [paths.law_table("synergy_estimators")],
    "scale_fits": lambda study, paths: [paths.law_table("scale_fits")],
    "scales": _scales,
    "orders": _orders,
    "best_scales": _best_scales,
    "settings": _settings,
    "logs": lambda study, paths: [paths.training_logs(size) for size in study.size_names],
    "snapshots": lambda study, paths: [paths.snapshot_losses(size) for size in study.size_names],
    "post_training": lambda study, paths: [paths.law_table("post_training")],
    "multitask": _multitask,
}
"""What analyses read: files, none of those that the study does not make."""

EXHAUSTIVE = "all subsets of the pool"
SCALES = "`scales` in the config, and a method with a scale"
TRAINED = "experts that are trained here"
SETTINGS = "`training.settings` in the config"

ANALYSES: dict[str, Analysis] = {
    "heldout": Analysis(("curves",), "four sizes, or k on both sides of `laws.heldout_k`"),
    "forecast": Analysis(("curves",), "the three k of `laws.forecast_k`"),
    "variance": Analysis(("curves",), "two subsets at a k below the whole pool"),
    "returns": Analysis(("curves",), "k = 1 and the whole pool merged"),
    "gaps": Analysis(("curves",)),
    "synergy": Analysis(("losses",)),
    "intervals": Analysis(("losses", "curves")),
    "rivals": Analysis(("curves",)),
    "null_r2": Analysis(("curves", "fits"), "fits of one size"),
    "two_stage": Analysis(("curves", "fits"), "three sizes"),
    "pools": Analysis(("losses",), EXHAUSTIVE),
    "near_floor": Analysis(("curves", "fits"), "fits of one size"),
    "gains": Analysis(("curves", "fits")),
    "forecast_intervals": Analysis(("losses", "curves"), "the three k of `laws.forecast_k`"),
    "triples": Analysis(("curves",), "the whole pool merged, and four k"),
    "triple_errors": Analysis(("curves",), "the whole pool merged, and four k"),
    "transfer": Analysis(("curves", "fits"), "two sizes; k = 1, 2 and the pool"),
    "variance_fits": Analysis(("curves",), "two subsets at three k"),
    "dispersion": Analysis(("curves", "variance"), "two subsets at three k"),
    "order": Analysis(("orders",), "`orders` in the config"),
    "synergy_estimators": Analysis(("losses",), "subsets that differ by one expert"),
    "synergy_strengths": Analysis(("estimators",), "subsets that differ by one expert"),
    "synergy_blocks": Analysis(("estimators",), "two values of `block` among the domains"),
    "mixing": Analysis(("losses",), "two values of `block` among the experts' domains"),
    "designs": Analysis(("losses",), EXHAUSTIVE),
    "balanced": Analysis(("losses",), f"{EXHAUSTIVE}, of four experts and more"),
    "between_k": Analysis(("curves",), "three k, and one without merges"),
    "scale_curves": Analysis(("scales", "scale_fits"), SCALES),
    "scale_fits": Analysis(("scales",), SCALES),
    "best_scales": Analysis(("scales", "scale_fits", "best_scales"), SCALES),
    "training_curves": Analysis(("logs",), TRAINED),
    "post_training": Analysis(("snapshots",), TRAINED),
    "post_training_fits": Analysis(
        ("post_training",), "three sizes; three points of an expert's training, the expert counted"
    ),
    "multitask": Analysis(("losses", "multitask"), "`multitask` in the config"),
    "capacity": Analysis(("losses", "curves", "fits", "settings"), SETTINGS),
    "capacity_fits": Analysis(
        ("curves", "fits", "settings"), f"{SETTINGS}, two of which change `steps` or `epochs` alone"
    ),
    "published_checks": Analysis((), "nothing"),
    "published_curves": Analysis((), "nothing"),
    "published_fits": Analysis((), "nothing"),
    "published_laws": Analysis((), "nothing"),
    "published_downstream": Analysis((), "nothing"),
}
"""Every analysis, in the order of the page; its table is `laws/{name}.parquet`."""

CURVES_AND_FITS = ("curves", "specialists", "fits", "predictions")
"""Tables of the laws stage that are made before the analyses."""

REPORT_ANALYSES = ("heldout", "forecast", "variance", "returns", "gaps", "synergy")
"""Those of every report; the full report has all."""


def analysis_paths(study: Study, paths: StudyPaths, name: str) -> list[Path]:
    """Return the files that an analysis reads."""
    return [path for read in ANALYSES[name].reads for path in READS[read](study, paths)]
