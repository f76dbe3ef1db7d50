"""All chunks of a study as one table, checked to hold every cell once; loads no model."""

import itertools
from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.design import chunks, subsets
from mergelaw.errors import TableError, listing
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint, provenance
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table


def collect(study: Study, paths: StudyPaths) -> Path:
    """Join all chunks into one table and check that it holds every cell once and nothing else.

    Raises
    ------
    TableError
        If a (size, method) lacks rows, or has rows that the design does not, a chunk was made
        under another config, or sizes do not rise; all are listed.
    """
    frames, problems = [], []
    for size, method in itertools.product(study.size_names, study.method_labels):
        parts = [
            read_table(paths.chunk(size, method, chunk.index), LOSSES)
            for chunk in chunks(study, size)
        ]
        frames.append(pl.concat(parts))
        problems += _stale(study, paths, size, method)
        problems += _differences(frames[-1], _expected(study, size, method), f"{size}, {method}")
    problems = problems or _not_rising(pl.concat(frames))
    if problems:
        raise TableError(listing(f"{paths.losses}", problems))
    origin = provenance(study, "sweep", "losses")
    write_table(paths.losses, pl.concat(frames), LOSSES, LOSSES_KEY, origin)
    return paths.losses


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


def _not_rising(losses: pl.DataFrame) -> list[str]:
    """Say where a size has no more parameters than the one listed before it."""
    sizes = losses.select("size", "n_params_total").unique(maintain_order=True).rows()
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
