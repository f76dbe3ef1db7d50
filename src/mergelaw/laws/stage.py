"""The laws stage: its commands read tables, call the library and write tables."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.files import write_json
from mergelaw.laws import schemas
from mergelaw.laws.curves import curves, specialists
from mergelaw.laws.estimates import estimate_all, fit_record, fit_table, prediction_table
from mergelaw.laws.inputs import Inputs
from mergelaw.laws.point_noise import sources
from mergelaw.laws.registry import ANALYSES, analysis_paths
from mergelaw.laws.rows import prepare
from mergelaw.parts import part_of
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import LOSSES, read_table, write_table


def write_curves(study: Study, paths: StudyPaths) -> Path:
    """Write curves.parquet and specialists.parquet from the table of losses.

    Raises
    ------
    TableError
        If the table of losses is missing, broken, incomplete or not the study's.
    """
    rows = prepare(read_table(paths.losses, LOSSES), study)
    origin = _origin(study, "curves", paths.losses)
    _write(paths, schemas.CURVES, curves(rows, study), origin)
    return _write(paths, schemas.SPECIALISTS, specialists(rows, study), origin)


def write_part_curves(study: Study, paths: StudyPaths, part: str) -> Path:
    """Write the curves of a part of the study: those rows of curves.parquet, from its losses alone.

    Parameters
    ----------
    part : str
        `{size}`, or `{size}/{method}`.

    Raises
    ------
    ConfigError
        If the study has no such part.
    TableError
        If the part's table of losses is missing, broken, incomplete or not the study's.
    """
    alone, losses, path = part_of(study, part), paths.part_losses(part), paths.part_curves(part)
    frame = curves(prepare(read_table(losses, LOSSES), alone), alone)
    origin = _origin(study, "part_curves", losses, part=part)
    write_table(path, frame, schemas.CURVES.schema, schemas.CURVES.key, origin)
    return path


def write_fits(study: Study, paths: StudyPaths) -> Path:
    """Write fits.parquet, fits.json and predictions.parquet from the curves.

    A curve with too few points is listed in fits.json under `refused`; the rest is fitted. The
    losses of items and subsets are read for the intervals of the predictions.

    Raises
    ------
    TableError
        If a table that it reads is missing, broken or not the study's.
    """
    points = _read_curves(paths)
    rows = prepare(read_table(paths.losses, LOSSES), study)
    origin = _origin(study, "fits", paths.laws / schemas.CURVES.file, paths.losses)
    estimates, refused = estimate_all(points, study.off_ladder)
    predicted = prediction_table(estimates, points, sources(rows, study), study.off_ladder)
    _write(paths, schemas.PREDICTIONS, predicted, origin)
    record = {
        "provenance": dict(origin),
        "fits": [fit_record(estimate) for estimate in estimates],
        "refused": [refusal._asdict() for refusal in refused],
    }
    write_json(paths.laws / schemas.FITS_JSON, record)
    return _write(paths, schemas.FITS, fit_table(estimates), origin)


def write_analysis(study: Study, paths: StudyPaths, name: str) -> Path:
    """Write the table of one analysis; an empty one that says why where the data do not allow it.

    Parameters
    ----------
    name : str
        A key of `mergelaw.laws.registry.ANALYSES`.

    Raises
    ------
    TableError
        If a table that it reads is missing, broken or not the study's.
    """
    from mergelaw.laws.analyses.functions import MAKE

    table = schemas.BY_NAME[name]
    origin = _origin(study, "analysis", *analysis_paths(study, paths, name), analysis=name)
    try:
        frame = MAKE[name](Inputs(study, paths))
        if frame.is_empty():
            raise NotMadeError(f"the study lacks what it needs: {ANALYSES[name].needs}")
    except NotMadeError as reason:
        frame = table.frame([])
        origin |= {"not_made": str(reason)}
        print(f"{name}: not made: {reason}")
    return _write(paths, table, frame, origin)


def _read_curves(paths: StudyPaths) -> pl.DataFrame:
    return read_table(paths.laws / schemas.CURVES.file, schemas.CURVES.schema)


def _write(
    paths: StudyPaths, table: schemas.Table, frame: pl.DataFrame, origin: Mapping[str, str]
) -> Path:
    path = paths.laws / table.file
    write_table(path, frame, table.schema, table.key, origin)
    return path


def _origin(study: Study, job: str, *inputs: Path, **targets: str) -> dict[str, str]:
    """Return the provenance of a job with a digest of the files that it read."""
    content = hashlib.sha256()
    for path in inputs:
        content.update(path.read_bytes())
    return provenance(study, "laws", job, **targets) | {"data_hash": content.hexdigest()[:16]}
