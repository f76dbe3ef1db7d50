"""Merges of a few subsets at several scales, and at the best scales that the laws give."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mergelaw.config import Study
from mergelaw.config.study import Sweep
from mergelaw.laws.scale_surface import best_scales
from mergelaw.laws.schemas.scales import SCALE_FITS
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.sweep.scoring import Job, run_job
from mergelaw.tables import SCALE_LOSSES, SCALE_LOSSES_KEY, read_table
from mergelaw.variants import Series, scale_series, scale_subsets, scaled_methods, series_at


def run_scales(study: Study, paths: StudyPaths, size: str) -> Path:
    """Merge and score the subsets of `scales` at every scale, with every method that has one.

    The base stands in the table once for each method, as k = 0 at scale 0.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.SCALE_LOSSES`).

    Raises
    ------
    ConfigError
        If the config has no `scales`.
    CheckpointError, DataError
        As `mergelaw.sweep.scoring.run_job`.
    """
    series = scale_series(study)
    origin = provenance(study, "sweep", "scales", size=size)
    return _run(study, paths, size, series, paths.scales(size), origin)


def run_best_scales(study: Study, paths: StudyPaths, size: str) -> Path:
    """Merge and score the same subsets at the best scale of each method and k.

    The scales are those of the macro loss in laws/scale_fits.parquet, to 3 decimals. A method whose
    surface is not identified has no rows.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.SCALE_LOSSES`).

    Raises
    ------
    ConfigError
        If the config has no `scales`.
    TableError
        If the fits are missing or broken.
    CheckpointError, DataError
        As `mergelaw.sweep.scoring.run_job`.
    """
    subsets, methods = scale_subsets(study), scaled_methods(study)
    path = paths.law_table("scale_fits")
    fits = read_table(path, SCALE_FITS.schema)
    best = best_scales(fits.filter(size=size), list(subsets))
    series = [
        series_at(study, entry, best[entry.label, k], merges)
        for entry in methods
        for k, merges in subsets.items()
        if (entry.label, k) in best
    ]
    origin = provenance(study, "sweep", "best_scales", size=size)
    origin |= {"data_hash": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}
    return _run(study, paths, size, series, paths.best_scales(size), origin)


def _run(
    study: Study,
    paths: StudyPaths,
    size: str,
    series: list[Series] | tuple[Series, ...],
    table: Path,
    origin: Mapping[str, str],
) -> Path:
    """Run a job whose merges are each summed anew: the bits of a merge on disk at that scale."""
    facts = {"size": size, "job": table.stem}
    exact = study.model_copy(update={"sweep": Sweep()})
    run = Job(size, series, table, origin, facts, SCALE_LOSSES, SCALE_LOSSES_KEY)
    return run_job(exact, paths, run)
