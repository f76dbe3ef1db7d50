"""Chunks of a study, or of a part of it, as one table, checked to hold every cell once."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.design import chunks, subsets
from mergelaw.errors import TableError, listing
from mergelaw.parts import part_of
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint, provenance
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table


def collect(study: Study, paths: StudyPaths, part: str | None = None) -> Path:
    """Join all chunks into one table and check that it holds every cell once and nothing else.

    Parameters
    ----------
    part : str, optional
        A part of the study, `{size}` or `{size}/{method}`: a table of its chunks alone.

    Raises
    ------
    ConfigError
        If the study has no such part.
    TableError
        If a (size, method) lacks rows, or has rows that the design does not, a chunk was made
        under another config, or sizes do not rise; all are listed.
    """
    if part is None:
        return _collect(study, paths, paths.losses, provenance(study, "sweep", "losses"))
    origin = provenance(study, "sweep", "part", part=part)
    return _collect(part_of(study, part), paths, paths.part_losses(part), origin)


def _collect(study: Study, paths: StudyPaths, target: Path, origin: Mapping[str, str]) -> Path:
    """Write the table of all chunks of a study."""
    frames, problems = [], []
    for size, method in itertools.product(study.size_names, study.method_labels):
        parts = [
            read_table(paths.chunk(size, method, chunk.index), LOSSES)
            for chunk in chunks(study, size)
        ]
        frames.append(pl.concat(parts))
        problems += _stale(study, paths, size, method)
        problems += _differences(frames[-1], _expected(study, size, method), f"{size}, {method}")
    problems = problems or _not_rising(pl.concat(frames), study)
    if problems:
        raise TableError(listing(f"{target}", problems))
    write_table(target, pl.concat(frames), LOSSES, LOSSES_KEY, origin)
    return target


def _stale(study: Study, paths: StudyPaths, size: str, method: str) -> list[str]:
    """Return the chunks made under another config than the study's, or on another text."""
    text, problems = read_provenance(paths.shard_contents).get("text"), []
    for chunk in chunks(study, size):
        path = paths.chunk(size, method, chunk.index)
        found, targets = read_provenance(path), {"size": size, "method": method}
        if found.get("slice") != fingerprint(study, "sweep", "chunk", chunk=chunk.index, **targets):
            problems.append(f"{path}: was made under another config; make it again")
        if found.get("text") != text:
            problems.append(f"{path}: was scored on other text than the study's; make it again")
    return problems


def _not_rising(losses: pl.DataFrame, study: Study) -> list[str]:
    """Say where a size has no more parameters than the one listed before it."""
    ladder = losses.filter(~pl.col("size").is_in(study.off_ladder))
    sizes = ladder.select("size", "n_params_total").unique(maintain_order=True).rows()
    return [
        f"size {name!r} has no more parameters than {before!r}; list sizes smallest first"
        for (before, smaller), (name, larger) in itertools.pairwise(sizes)
        if larger <= smaller
    ]


def _expected(study: Study, size: str, method: str) -> pl.DataFrame:
    """Return the keys that a cell must hold."""
    rows = itertools.product(
        [size],
        [method],
        [subset.name for subset in subsets(study, size)],
        study.mask_seeds_of(study.method(method)),
        [study.accumulate],
        study.domain_names,
    )
    schema = {name: LOSSES[name] for name in LOSSES_KEY}
    frame = pl.DataFrame(list(rows), schema=schema, orient="row")
    return frame.with_columns(subset="order")


def _differences(cell: pl.DataFrame, expected: pl.DataFrame, name: str) -> list[str]:
    """Return how many rows are missing, foreign or doubled in a cell, with an example each."""
    found, key = cell.select(expected.columns), expected.columns
    parts = {
        "lacks": expected.join(found, on=key, how="anti"),
        "has, beyond the design,": found.join(expected, on=key, how="anti"),
        "has more than once": found.filter(found.is_duplicated()).unique(),
    }
    return [
        f"{name}: {verb} {rows.height} rows, such as {_row(rows.sort(key))}"
        for verb, rows in parts.items()
        if rows.height
    ]


def _row(rows: pl.DataFrame) -> str:
    return ", ".join(f"{column} {value}" for column, value in rows.row(0, named=True).items())
