"""What all jobs of the sweep do: merge, score, keep what is scored, write one table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.costs import cost_report
from mergelaw.design import BASE, Subset
from mergelaw.evaluation.checkpoint import Score
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.merging.methods import recipe
from mergelaw.models.loading import n_params
from mergelaw.owner import Owner
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.progress import progress
from mergelaw.provenance import digest, versions
from mergelaw.sweep.engine import Engine, arithmetic
from mergelaw.sweep.finished import Finished
from mergelaw.tables import LOSSES, LOSSES_KEY, Schema, write_table
from mergelaw.variants import Series


class Job(NamedTuple):
    """A job of the sweep: what it merges, and where its table goes.

    Attributes
    ----------
    size : str
        Name of the size.
    series : sequence of Series
        The merges.
    table : Path
        The output; cost.json, progress and the owner's record lie beside it.
    origin : mapping of str to str
        The table's provenance, without the text.
    facts : mapping of str to value
        What cost.json tells of the job.
    schema : Schema
        Columns of the table.
    key : sequence of str
        Columns that name a row.
    """

    size: str
    series: Sequence[Series]
    table: Path
    origin: Mapping[str, str]
    facts: Mapping[str, Any]
    schema: Schema = LOSSES
    key: Sequence[str] = LOSSES_KEY


def run_job(study: Study, paths: StudyPaths, job: Job) -> Path:
    """Merge and score all series of a job, and write its table: a row per merge and domain.

    A job that was killed goes on from the merges that it had scored, on this node or another.

    Raises
    ------
    BusyError
        If another process does the job now.
    CheckpointError
        If experts do not match the base, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer, or does not fit the model.
    """
    if not job.series:
        return _write_nothing(job)
    names = sorted({name for s in job.series for merge in s.merges for name in merge.experts})
    experts = {name: checkpoint_ref(study, paths, job.size, name) for name in names}
    base = checkpoint_ref(study, paths, job.size, BASE)
    facts = {"stage": "sweep", **job.facts, "slice": job.origin["slice"]}
    facts |= {"tokens_read": 0, "flops": 0.0}  # each merge that this attempt scores adds its own
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    with (
        Owner(job.table.with_suffix(".owner")) as owner,
        cost_report(job.table.with_suffix(".cost.json"), **facts) as cost,
        Engine.open(study, base, experts) as engine,
    ):
        check_vocabulary(text, engine.folders, engine.model)
        identity = digest([job.origin["slice"], *_inputs(engine, text), *map(_merges, job.series)])
        with Finished(job.table.with_suffix(".progress"), identity, owner) as finished:
            cost["n_resumed"] = len(finished.sums)
            for number, series in enumerate(job.series):
                _score(study, number, series, engine, text, finished)
            cost["n_merges"] = len(finished.sums) - cost["n_resumed"]
            frame = pl.DataFrame(list(_rows(job, engine, text, finished)), schema=dict(job.schema))
            origin = dict(job.origin) | {"text": shards_digest(text.shards)}
            for series in job.series:
                origin |= arithmetic(study, recipe(series.method, ""))
            owner.check()
            write_table(job.table, frame, job.schema, job.key, origin)
            finished.remove()
            cost |= engine.costs() | {"n_tokens": text.length.n_tokens}
    return job.table


def _write_nothing(job: Job) -> Path:
    """Write a table without rows, and what that cost."""
    with cost_report(job.table.with_suffix(".cost.json"), stage="sweep", **job.facts) as cost:
        cost["n_merges"] = 0
        frame = pl.DataFrame(schema=dict(job.schema))
        write_table(job.table, frame, job.schema, job.key, job.origin)
    return job.table


def _inputs(engine: Engine, text: EvalText) -> Iterator[object]:
    """Yield what decides a job's sums beside the config, to the last bit on one machine."""
    yield from (engine.identity, versions())
    yield shards_digest(text.shards)
    yield [list(batch.input_ids.shape) for batch in text.batches]


def _merges(series: Series) -> list[object]:
    """Return what a series is, by which its place in the list is known again."""
    entry = series.method.model_dump(mode="json")
    return [entry, [merge.name for merge in series.merges], *series[2:]]


def _score(
    study: Study, number: int, series: Series, engine: Engine, text: EvalText, finished: Finished
) -> None:
    """Merge and score the merges of a series that are not finished."""
    done = [merge for merge in series.merges if (number, merge.name) in finished.sums]
    todo = [merge for merge in series.merges if (number, merge.name) not in finished.sums]
    if done:
        print(f"{series.title}: goes on after {len(done)} of {len(series.merges)} merges")
    if todo:
        steps = recipe(series.method, f"{study.seed}/{series.mask_seed}")
        engine.use(steps, done, series.accumulate)
    for merge in progress(engine.merged(todo), len(todo), f"sweep {series.title}", "merge"):
        scores = engine.score(text, f"the {series.title} merge of {merge.name}")
        finished.add((number, merge.name), [score.item_nll_sum for score in scores])


def _rows(job: Job, engine: Engine, text: EvalText, finished: Finished) -> Iterator[dict[str, Any]]:
    """Yield the rows of all merges, in the order in which they were scored."""
    total, nonembedding = n_params(engine.model)
    merges = [{merge.name: merge for merge in series.merges} for series in job.series]
    for (number, name), sums in finished.sums.items():
        series, merge = job.series[number], merges[number][name]
        row = {
            "size": job.size,
            "n_params_total": total,
            "n_params_nonembedding": nonembedding,
            "method": series.method.label,
            "subset": Subset(tuple(sorted(merge.experts))).name,
            "k": merge.k,
            "order": name,
            "mask_seed": series.mask_seed,
            "accumulate": series.accumulate,
            "scale": series.scale if merge.k else 0.0,  # the base, whatever the scale
        }
        for shard, items in zip(text.shards, sums, strict=True):
            full = row | Score.of(shard, items).row()
            yield {column: full[column] for column in job.schema}
