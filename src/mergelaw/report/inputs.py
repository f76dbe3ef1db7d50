"""What figures and the page read: tables by file name, and simple selections of rows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mergelaw import tables
from mergelaw.config import Study
from mergelaw.errors import TableError
from mergelaw.laws import schemas
from mergelaw.laws.registry import ANALYSES
from mergelaw.laws.schemas import theory
from mergelaw.paths import StudyPaths
from mergelaw.report.captions.figure import (
    COSTS,
    MERGED_TENSORS,
    TASK_VECTORS,
    THEORY,
    TRAINING,
)
from mergelaw.report.registry import EVERY_SETTING, table_paths

Tables = Mapping[str, pl.DataFrame]
"""Tables by file name."""

SCHEMAS: Mapping[str, tables.Schema] = {
    **{table.file: table.schema for table in schemas.TABLES + schemas.FULL_TABLES},
    TASK_VECTORS: tables.TASK_VECTORS,
    MERGED_TENSORS: tables.MERGED_TENSORS,
    TRAINING: tables.TRAINING_LOG,
    COSTS: tables.COSTS,
    **{f"{THEORY}{table.file}": table.schema for table in theory.TABLES + theory.SIZE_TABLES},
}
"""Columns of every table that figures and the page read."""

FITS_JSON = schemas.FITS_JSON


def read_tables(study: Study, paths: StudyPaths, files: Iterable[str]) -> dict[str, pl.DataFrame]:
    """Read tables; the rows of all sizes where each size has its own file.

    Sizes under further training settings are left out, but for tables of `EVERY_SETTING`: a page
    is about `training.expert`.

    Raises
    ------
    TableError
        If one is missing or has other columns than its schema.
    """
    found = {}
    for file in files:
        paths_of_file = table_paths(study, paths, file)
        frame = pl.concat(tables.read_table(path, SCHEMAS[file]) for path in paths_of_file)
        found[file] = frame if file in EVERY_SETTING else on_ladder(study, frame)
    return found


def on_ladder(study: Study, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a table about sizes trained by `training.expert`, or about no one size."""
    if "size" not in frame.columns:
        return frame
    return frame.filter(~pl.col("size").is_in(study.off_ladder).fill_null(value=False))


def fits_on_ladder(study: Study, fits: Mapping[str, Any]) -> dict[str, Any]:
    """Return fits.json without the fits of sizes under further training settings."""
    kept = {
        part: [fit for fit in fits[part] if fit["size"] not in study.off_ladder]
        for part in ("fits", "refused")
    }
    return {**fits, **kept}


def read_fits(folder: Path) -> dict[str, Any]:
    """Read fits.json.

    Raises
    ------
    TableError
        If it is missing, is not JSON or lacks a section.
    """
    path = folder / FITS_JSON
    try:
        fits = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TableError(f"{path}: is missing; make it first") from None
    except json.JSONDecodeError as error:
        raise TableError(f"{path}: is not valid JSON ({error})") from error
    missing = {"provenance", "fits", "refused"} - set(fits)
    if missing:
        raise TableError(f"{path}: lacks {', '.join(sorted(missing))}")
    return dict(fits)


def rows(frame: pl.DataFrame, **values: str | int | None) -> pl.DataFrame:
    """Return the rows with these values (None: null), by k where there is one."""
    tests = [pl.col(name).eq_missing(pl.lit(value)) for name, value in values.items()]
    chosen = frame.filter(tests) if tests else frame
    return chosen.sort("k") if "k" in frame.columns else chosen


def present(names: Iterable[str], frame: pl.DataFrame, column: str) -> list[str]:
    """Return the names that occur in a column, in the study's order."""
    known = set(frame[column].to_list())
    return [name for name in names if name in known]


def n_by_size(frame: pl.DataFrame) -> dict[str, float]:
    """Return N in billions by size, smallest first, from a table with `n_params_billions`."""
    pairs = frame.select("size", "n_params_billions").unique().drop_nulls().rows()
    return dict(sorted(pairs, key=lambda pair: (pair[1], pair[0])))


def parameters(
    fits: pl.DataFrame, law: str, method: str, domain: str, size: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return one fit of fits.parquet: value, stderr and at_bound by parameter; empty if refused."""
    chosen = rows(fits, law=law, method=method, domain=domain, size=size)
    return {row["parameter"]: row for row in chosen.to_dicts()}


def loss_at(curve: pl.DataFrame, k: int, column: str = "loss") -> float | None:
    """Return a column of a curve at k, None where k is not measured."""
    values = curve.filter(pl.col("k") == k)[column].to_list()
    return values[0] if values else None


def by_k(curve: pl.DataFrame, column: str) -> dict[int, float]:
    """Return a column of a curve by k."""
    return dict(curve.select("k", column).iter_rows())


def whole_model(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows about all tensors together."""
    return rows(frame, tensor=tables.ALL_TENSORS)


def experts_at(vectors: pl.DataFrame, size: str) -> pl.DataFrame:
    """Return a row per expert, by name, with its norm and cosines: no method changes these."""
    at_size = rows(vectors, size=size)
    return at_size.filter(pl.col("method") == pl.col("method").first()).sort("expert")


def cosines(experts: pl.DataFrame) -> dict[tuple[str, str], float | None]:
    """Return the cosine of each ordered pair of two experts from the rows of `experts_at`."""
    names = experts["expert"].to_list()
    return {
        (one, other): cosine
        for one, row in zip(names, experts["cosines"].to_list(), strict=True)
        for other, cosine in zip(names, row, strict=True)
        if one != other
    }


def not_made(study: Study, paths: StudyPaths, files: Iterable[str]) -> dict[str, str]:
    """Return why the data do not allow an analysis, by the file of its (empty) table."""
    found = {
        file: tables.read_provenance(path).get("not_made")
        for file in files
        for path in table_paths(study, paths, file)
    }
    return {file: reason for file, reason in found.items() if reason}


def why_nothing(files: Sequence[str], reasons: Mapping[str, str]) -> str | None:
    """Return why there is nothing to say of tables: the reasons, when no analysis was made.

    Parameters
    ----------
    files : sequence of str
        Tables that a figure draws; fits and curves, which every study has, do not count.
    reasons : mapping of str to str
        From `not_made`.
    """
    analyses = [file for file in files if file.removesuffix(".parquet") in ANALYSES]
    if not analyses or not reasons.keys() >= set(analyses):
        return None
    return "; ".join(dict.fromkeys(reasons[file] for file in analyses))
