"""The merge stage: cells of a study as checkpoints on disk, statistics of its task vectors."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import torch

from mergelaw.cells import Cell, cell_recipe, whole_pool
from mergelaw.checkpoints.reading import BlockReader
from mergelaw.config import Study
from mergelaw.config.method_checks import takes
from mergelaw.config.recipe import MergeRecipe
from mergelaw.costs import cost_report
from mergelaw.errors import ConfigError
from mergelaw.merging.checkpoint import ACCUMULATE, Streaming, merge_checkpoints
from mergelaw.merging.copies import verify_copies
from mergelaw.merging.disk_pool import StreamedPool, pool_of
from mergelaw.merging.statistics import by_tensor, merged_table, task_vector_table
from mergelaw.merging.stream import Merge
from mergelaw.paths import StudyPaths
from mergelaw.preflight.report import Preflight, preflight
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.tables import (
    MERGED_TENSORS,
    MERGED_TENSORS_KEY,
    TASK_VECTORS,
    TASK_VECTORS_KEY,
    write_table,
)


def write_cell(study: Study, paths: StudyPaths, cell: Cell) -> Path:
    """Write one merge of a study as a checkpoint: the weights that the sweep scores, bit for bit.

    After a kill, the same call goes on from what was written.

    Parameters
    ----------
    cell : Cell
        Any cell, whether the design has it or not; k = 0 is the base in the study's `dtype`.

    Returns
    -------
    Path
        The checkpoint's folder, which loads with transformers.

    Raises
    ------
    CheckpointError
        If base and experts cannot be merged, or the folder exists.
    """
    place = cell.size, cell.method, cell.name
    streaming = Streaming(n_workers=torch.get_num_threads())  # as many as OMP_NUM_THREADS
    with cost_report(
        paths.merged_cost(*place),
        stage="merge",
        size=cell.size,
        method=cell.method,
        subset=cell.subset.name,
        mask_seed=cell.mask_seed,
    ) as cost:
        recipe, start = cell_recipe(study, paths, cell), time.perf_counter()
        checked, made = merge_checkpoints(recipe, paths.merged(*place), streaming, study.accumulate)
        cost["n_merges"], cost["merge_seconds"] = 1, round(time.perf_counter() - start, 3)
        cost["n_params"], cost["bytes_read"] = checked.n_params, checked.bytes_read
        cost["bytes_written"] = checked.bytes_written
    _tell(made["notes"])
    return paths.merged(*place)


def write_pool_statistics(study: Study, paths: StudyPaths, size: str) -> Path:
    """Measure the task vectors of a size, and what each method makes of all of them.

    Every method of the study that merges the whole pool is planned and run, and nothing is written
    but two tables: task_vectors.parquet and merged_tensors.parquet.

    Returns
    -------
    Path
        The table of task vectors.

    Raises
    ------
    ConfigError
        If no method of the study merges the whole pool.
    CheckpointError
        If base and experts cannot be merged.
    """
    recipes = _pool_recipes(study, paths, size)
    first = next(iter(recipes.values()))
    with (
        cost_report(paths.task_vectors_cost(size), stage="merge", size=size) as cost,
        BlockReader() as reader,
    ):
        checked = preflight(
            first.base, dict(first.experts), dtype=first.dtype, lineage=first.lineage
        )
        checked.raise_problems()
        verify_copies(checked, reader)
        pool = pool_of(checked, reader, torch.get_num_threads())
        tables = [
            _statistics(study, size, label, recipe, checked, pool)
            for label, recipe in recipes.items()
        ]
        origin = provenance(study, "merge", "task_vectors", size=size)
        vectors, merged = (pl.concat(frames) for frames in zip(*tables, strict=True))
        write_table(paths.task_vectors(size), vectors, TASK_VECTORS, TASK_VECTORS_KEY, origin)
        write_table(paths.merged_tensors(size), merged, MERGED_TENSORS, MERGED_TENSORS_KEY, origin)
        cost["n_params"], cost["n_methods"] = checked.n_params, len(recipes)
    _tell(checked.notes)
    return paths.task_vectors(size)


def _pool_recipes(study: Study, paths: StudyPaths, size: str) -> dict[str, MergeRecipe]:
    """Return the recipe of the whole pool by the label of each method that merges so many."""
    n_experts = len(study.experts)
    labels = [entry.label for entry in study.methods if takes(entry.k_range, n_experts)]
    if not labels:
        raise ConfigError(
            f"no method of the study merges its {n_experts} experts at once: there are no "
            "statistics of the whole pool"
        )
    return {label: cell_recipe(study, paths, whole_pool(study, size, label)) for label in labels}


def _statistics(
    study: Study,
    size: str,
    label: str,
    recipe: MergeRecipe,
    checked: Preflight,
    pool: StreamedPool,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a method's rows of task vectors and of merged tensors."""
    merge = Merge.plan(
        pool,
        checked.experts,
        recipe.method,
        f"{recipe.seed}/{recipe.mask_seed}",
        dict.fromkeys(checked.tensors, getattr(torch, study.dtype)),
        ACCUMULATE[study.accumulate],
        statistics=True,
    )
    spans = merge.spans()
    done = dict(
        progress(
            merge.run(spans, None),
            checked.n_params,
            f"statistics {size} {label}",
            "param",
            weigh=lambda pair: pair[0].n,
        )
    )
    sums = by_tensor((place.tensor, done[place]) for place in spans)
    names = {"size": size, "method": label}
    return (
        task_vector_table(sums, pool.segments, merge.experts, **names),
        merged_table(sums, pool.segments, **names),
    )


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
