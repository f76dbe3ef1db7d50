"""Merges of a few fixed subsets in several orders, and under several mask seeds."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.config.study import Sweep
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.sweep.scoring import Job, run_job
from mergelaw.variants import order_series


def run_orders(study: Study, paths: StudyPaths, size: str) -> Path:
    """Merge and score the subsets of `orders`, in bfloat16 sums of several orders.

    Methods that draw masks are repeated beside that under several mask seeds, in float32 sums in
    the order of the names. The study's own float32 merges always have that order: there is no
    other to measure.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.LOSSES`); `order` is the order of summation.

    Raises
    ------
    ConfigError
        If the config has no `orders`.
    CheckpointError, DataError
        As `mergelaw.sweep.scoring.run_job`.
    """
    series = order_series(study)
    origin = provenance(study, "sweep", "orders", size=size)
    exact = study.model_copy(update={"sweep": Sweep()})
    facts = {"size": size, "job": "orders"}
    return run_job(exact, paths, Job(size, series, paths.orders(size), origin, facts))
