"""What `mergelaw advise` does: the cost, the measured merges, the law, the choice, the merge."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from mergelaw.cells import cell, cell_recipe
from mergelaw.config.recipe import MergeRecipe
from mergelaw.design import BASE
from mergelaw.laws.forms import Array
from mergelaw.planning.advice import Advice, Merged, curve_of_target, stop_of
from mergelaw.planning.choose import choose
from mergelaw.planning.law_file import read_law_file
from mergelaw.planning.loss_table import SubsetLosses, read_losses, weights_of
from mergelaw.planning.ranking import RankedSubset, Ranking
from mergelaw.tools.advice_stages import run_steps
from mergelaw.tools.advice_study import MERGED, RECORD, SIZE, Asked, Opened
from mergelaw.tools.choosing import mixture_of


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
    file = read_law_file(paths.law_file) if _has_laws(table) else None
    curve, reason = curve_of_target(file, table.method, ranking.target)
    merged = _merged(opened, asked, ranking.best.subset, weights, say)
    return Advice(
        ranking,
        _base_loss(paths.losses, table, weights),
        _measured(table, weights, len(table.experts)),
        _best_single(ranking, table, weights),
        curve,
        reason,
        None if curve is None else stop_of(curve, asked.eps),
        merged,
    )


def _has_laws(table: SubsetLosses) -> bool:
    return len(set(table.members.sum(axis=1).tolist())) >= 3


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
        shutil.rmtree(folder, ignore_errors=True)  # an earlier merge of ours: that was checked
        _, record = merge_checkpoints(recipe, folder, Streaming(), study.accumulate)
        for note in record["notes"]:
            say(f"note: {note}")
    shards = [opened.paths.shard(name) for name in study.domain_names]
    scores = score_checkpoint(folder, shards, study.dtype, study.evaluation.batch_tokens)
    losses = {score.domain: score.loss for score in scores}
    loss = sum(float(w) * losses[name] for name, w in zip(study.domain_names, weights, strict=True))
    return Merged(str(folder), subset, losses, loss)


def _is_merged(folder: Path, recipe: MergeRecipe, opened: Opened) -> bool:
    """Tell whether the folder holds this merge, made after the losses that it was chosen by."""
    if not (folder / RECORD).is_file():
        return False
    found = json.loads((folder / RECORD).read_text(encoding="utf-8"))["recipe"]
    wanted = recipe.model_dump(mode="json")
    same = sorted(found["experts"]) == sorted(wanted["experts"])
    same = same and found["dtype"] == wanted["dtype"]
    same = same and found["method"] == wanted["method"]["method"]
    same = same and found["parameters"] == wanted["method"]["parameters"]
    return same and (folder / RECORD).stat().st_mtime >= opened.paths.losses.stat().st_mtime
