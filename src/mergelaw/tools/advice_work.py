"""What `mergelaw advise` does: the cost, the measured merges, the law, the choice, the merge."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from mergelaw.cells import cell, cell_recipe
from mergelaw.config.recipe import MergeRecipe
from mergelaw.design import BASE
from mergelaw.files import sync
from mergelaw.laws import schemas
from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import RankedSubset, Ranking
from mergelaw.planning.advice import Advice, Merged
from mergelaw.planning.choose import choose
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.forecasting import fit_law
from mergelaw.planning.loss_table import SubsetLosses, read_losses, weights_of
from mergelaw.tables import read_table
from mergelaw.tools.advice_stages import FEWEST_K, run_steps
from mergelaw.tools.advice_study import MERGED, RECORD, SIZE, Asked, Opened, merged_recipe
from mergelaw.tools.choosing import mixture_of

MERGING = ".merging"
"""Folder, in that of the advice, of a merge that is not finished."""


def cost_words(opened: Opened, device: str) -> Iterator[str]:
    """Yield what the study will cost, from the cost model."""
    from mergelaw.costs.estimate import Estimate
    from mergelaw.costs.inputs import JOB_MINUTES
    from mergelaw.costs.machine_file import usual_machine
    from mergelaw.costs.words import duration, size_of
    from mergelaw.tools.estimating import case_of

    machine = usual_machine(device).machine(JOB_MINUTES)
    found = Estimate(case_of(opened.study, machine, project=opened.config.absolute().parent))
    total = found.total
    yield (
        f"cost, estimated: {total['n_merges']:,.0f} merges, {duration(found.wall_seconds)} on "
        f"{found.n_devices} {found.case.machine.device.name}, {size_of(total['host_bytes'])} of "
        f"memory (mergelaw estimate --config {opened.config} tells more)"
    )
    yield from (f"note: {note}" for note in found.notes)


def made_advice(opened: Opened, asked: Asked, say: Callable[[str], None]) -> Advice:
    """Measure, fit, choose and merge; whatever an earlier call made is kept.

    Raises
    ------
    MergeLawError
        If a stage cannot do its work; its own words tell why.
    """
    study, paths = opened.study, opened.paths
    run_steps(study, paths, say)
    table = read_losses(paths.losses, experts=study.expert_names, domains=study.domain_names)
    weights = weights_of(table.domains, asked.target, mixture_of(asked.mixture))
    ranking = choose(table, weights, asked.k, asked.max_k)
    law, reason = _law(opened, table, weights, ranking.target)
    subset = ranking.best.subset
    merged = _merged(opened, asked, subset, weights, say) if ranking.tells else None
    return Advice(
        ranking,
        _base_loss(paths.losses, table, weights),
        _measured(table, weights, len(table.experts)),
        _best_single(ranking, table, weights),
        law,
        reason,
        asked.eps,
        merged,
    )


def _law(
    opened: Opened, table: SubsetLosses, weights: Array, target: str
) -> tuple[FittedLaw | None, str]:
    """Return the law of the mean loss over subsets, or why there is none.

    The errors are those of the study's curves; of a mixture, which has none, a mean over all
    subsets of a k is without one.
    """
    ks = table.members.sum(axis=1)
    counts = {int(k): int((ks == k).sum()) for k in np.unique(ks)}
    if len(counts) < FEWEST_K:
        return None, "merges of fewer than three k are measured: no law can be fitted to two"
    points = {k: float((table.losses @ weights)[ks == k].mean()) for k in counts}
    path = opened.paths.laws / schemas.CURVES.file
    rows = read_table(path, schemas.CURVES.schema).filter(
        pl.col("k") > 0, domain=target, method=table.method
    )
    known = rows.drop_nulls("subset_se")
    found = fit_law(
        points,
        len(table.experts),
        errors=dict(known.select("k", "subset_se").iter_rows()),
        n_subsets=counts,
        text_error=max(rows["token_se"].drop_nulls(), default=0.0),
        method=opened.study.methods[0].method,
    )
    return found, "" if found.case != "not_identified" else "; ".join(found.notes)


def _base_loss(path: Path, table: SubsetLosses, weights: Array) -> float:
    rows = pl.read_parquet(path, columns=["subset", "domain", "nll_sum", "n_tokens"])
    base = rows.filter(subset=BASE).select("domain", pl.col("nll_sum") / pl.col("n_tokens"))
    losses = dict(base.iter_rows())
    return float(sum(w * losses[d] for d, w in zip(table.domains, weights, strict=True)))


def _measured(table: SubsetLosses, weights: Array, k: int) -> float | None:
    """Return the least measured loss of k experts."""
    found = (table.losses @ weights)[table.members.sum(axis=1) == k]
    return float(found.min()) if len(found) else None


def _best_single(ranking: Ranking, table: SubsetLosses, weights: Array) -> RankedSubset:
    """Return the best expert alone, whether k = 1 was asked for or not."""
    singles = ranking if any(row.k == 1 for row in ranking.rows) else choose(table, weights, 1)
    return next(row for row in singles.rows if row.k == 1)


def _merged(
    opened: Opened, asked: Asked, subset: str, weights: Array, say: Callable[[str], None]
) -> Merged:
    """Write the chosen merge as a checkpoint, and score it from disk."""
    from mergelaw.evaluation.checkpoint import score_checkpoint
    from mergelaw.merging.checkpoint import Streaming, merge_checkpoints

    study, folder = opened.study, asked.out / MERGED
    label = study.method_labels[0]
    recipe = cell_recipe(study, opened.paths, cell(study, SIZE, label, subset))
    if _is_merged(folder, recipe, opened):
        say(f"merge {subset}: made before")
    else:
        say(f"merge {subset}")
        made = asked.out / MERGING / MERGED  # by the same name, which its card tells
        shutil.rmtree(made, ignore_errors=True)  # complete, but a kill kept it from its place
        _, record = merge_checkpoints(recipe, made, Streaming(), study.accumulate)
        _put(made, folder)
        for note in record["notes"]:
            say(f"note: {note}")
    shards = [opened.paths.shard(name) for name in study.domain_names]
    scores = score_checkpoint(folder, shards, study.dtype, study.evaluation.batch_tokens)
    losses = {score.domain: score.loss for score in scores}
    loss = sum(float(w) * losses[name] for name, w in zip(study.domain_names, weights, strict=True))
    return Merged(str(folder), subset, losses, loss)


def _put(made: Path, folder: Path) -> None:
    """Put a finished merge in the place of an earlier one, which is kept until then."""
    former = made.with_name(f"former-{MERGED}")
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists():
        os.replace(folder, former)
    try:
        os.replace(made, folder)
    except BaseException:
        if former.exists():
            os.replace(former, folder)
        raise
    sync(folder.parent)
    shutil.rmtree(made.parent, ignore_errors=True)


def _is_merged(folder: Path, recipe: MergeRecipe, opened: Opened) -> bool:
    """Tell whether the folder holds this merge, made after the losses that it was chosen by."""
    found, wanted = merged_recipe(folder), recipe.model_dump(mode="json")
    if found is None:
        return False
    same = sorted(found.get("experts", ())) == sorted(wanted["experts"])
    same = same and found.get("dtype") == wanted["dtype"]
    same = same and found.get("method") == wanted["method"]["method"]
    same = same and found.get("parameters") == wanted["method"]["parameters"]
    return same and (folder / RECORD).stat().st_mtime >= opened.paths.losses.stat().st_mtime
