"""A study's rules as rows of costs: jobs, bytes, seconds, memory."""

from collections.abc import Iterator

from mergelaw.costs.full import full_row
from mergelaw.costs.inputs import Case
from mergelaw.costs.job_rows import (
    cell_losses_row,
    cell_row,
    chunk_row,
    shard_bytes,
    task_vectors_row,
)
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import SweepMethod, SweepSize
from mergelaw.costs.theory import derivatives_row, weights_row
from mergelaw.costs.training_inputs import trained_at
from mergelaw.costs.training_rows import (
    multitask_losses_row,
    snapshot_losses_row,
    training_row,
    training_sizes,
)
from mergelaw.design import chunks

LIGHT_SECONDS = {
    "design": 2.0, "items": 2.0, "tokenizer": 5.0, "pretraining": 8.0, "shards": 6.0,
    "losses": 3.0, "curves": 3.0, "fits": 6.0, "analysis": 3.0, "figure": 4.0, "page": 4.0,
    "training_logs": 2.0, "law_file": 4.0, "planner": 2.0, "costs": 3.0,
    "predictions": 6.0,
}  # fmt: skip
"""ASSUME a job without a model takes this long (measured on the default study) and its text's."""

TEXT_TOKENS_PER_SECOND = 500_000
"""ASSUME text is read, and tokenised, at this rate by one process."""

TEXT_BYTES_PER_TOKEN = 4
"""ASSUME a token stands for four bytes of text."""


def study_rows(case: Case) -> list[Row]:
    """Return the rules that make the report, in the order in which they run."""
    return [*_text_rows(case), *_expert_rows(case), *_sweep_rows(case), *_analysis_rows(case)]


def cell_rows(case: Case) -> list[Row]:
    """Return what one merge of the whole pool costs as a checkpoint: made for a target only."""
    sizes = [SweepSize(case, size) for size in case.study.size_names]
    pool = len(case.study.experts)
    return [row for at in sizes for row in (cell_row(at, pool), cell_losses_row(at))]


def full_rows(case: Case) -> list[Row]:
    """Return what `snakemake full` does besides, where the config asks for it.

    The multitask baseline, scores and logs of trainings, merges at several scales and in several
    orders, derivatives and best weights, the planner. ASSUME the best scales are merged for every
    method with a scale; where the laws give none, a job does nothing.
    """
    study = case.study
    rules = ["scales", "best_scales"] if study.scales is not None else []
    rules += ["orders"] if study.orders is not None else []
    sizes = [SweepSize(case, size) for size in study.size_names]
    merged = [full_row(at, rule) for at in sizes for rule in rules]
    light = [_light(rule, 1) for rule in ("law_file", "planner", "costs")]
    others = [*_multitask_rows(case), *_training_rows(case), *merged, *_theory_rows(case)]
    return [*others, *light]


def _theory_rows(case: Case) -> Iterator[Row]:
    """Yield derivatives, searches for weights, and what is predicted, where they are asked for."""
    sizes = case.study.size_names if case.study.theory else ()
    for size in sizes:
        at = SweepSize(case, size)
        yield derivatives_row(at)
        yield weights_row(at)
    if sizes:
        yield _light("predictions", 1)


def _multitask_rows(case: Case) -> Iterator[Row]:
    """Yield the multitask baseline's training and scoring, where the study has one."""
    for size in case.study.ladder if case.study.multitask else ():
        at = SweepSize(case, size)
        yield training_row(at, "multitask")
        yield multitask_losses_row(at)


def _training_rows(case: Case) -> Iterator[Row]:
    """Yield the scores of experts along their training, and the logs of all trainings."""
    sizes = list(training_sizes(case))
    yield from (snapshot_losses_row(at) for at in sizes)
    if sizes:
        yield _light("training_logs", len(sizes))


def _text_rows(case: Case) -> Iterator[Row]:
    """Yield design, items, tokenizer, shards and, where bases are trained, their text."""
    study, heldout = case.study, case.study.data.shares.heldout
    tokens = case.text.n_tokens
    drawn = round(tokens / heldout)
    items = TEXT_BYTES_PER_TOKEN * drawn
    trained = tokens if study.tokenizer.path is None else 0
    trains = any(size.architecture for size in study.sizes)
    yield _light("design", 1)
    yield _light("items", len(study.domains), items, items, drawn)
    yield _light("tokenizer", 1, items if trained else 0, 0, trained)
    if trains:
        packed = _pretraining_tokens(case)
        yield _light("pretraining", 1, items, 4 * packed, packed)
    yield _light("shards", 1, items, shard_bytes(case), tokens)


def _expert_rows(case: Case) -> Iterator[Row]:
    """Yield the training of bases and experts, size by size; given checkpoints cost nothing.

    Sizes under another training setting have the base of the size as the config lists it.
    """
    study = case.study
    for size in study.sizes:
        at = SweepSize(case, size.name)
        if size.architecture and not size.setting:
            yield training_row(at, "base")
        if trained := trained_at(study, size.name):
            yield training_row(at, "expert", trained)


def _sweep_rows(case: Case) -> Iterator[Row]:
    """Yield the chunks of each size and method, as the config has them."""
    for size in case.study.size_names:
        at = SweepSize(case, size)
        for method in case.study.methods:
            yield chunk_row(SweepMethod(at, method), chunks(case.study, size))
    yield _light("losses", 1)


def _analysis_rows(case: Case) -> Iterator[Row]:
    """Yield statistics of task vectors, laws and report."""
    for size in case.study.size_names:
        yield task_vectors_row(SweepSize(case, size))
    for rule in ("curves", "fits"):
        yield _light(rule, 1)
    yield _light("analysis", case.n_analyses)
    yield _light("figure", case.n_figures)
    yield _light("page", 1)


def _light(rule: str, n_jobs: int, read: int = 0, written: int = 0, n_tokens: int = 0) -> Row:
    """Return jobs without a model, which read and write text, shared evenly, or small tables."""
    each = LIGHT_SECONDS[rule] + n_tokens / TEXT_TOKENS_PER_SECOND / max(1, n_jobs)
    return Row(
        rule,
        n_jobs=n_jobs,
        bytes_read=read,
        bytes_written=written,
        job_seconds=n_jobs * each,
        longest_job_seconds=each,
    )


def _pretraining_tokens(case: Case) -> int:
    training = case.study.training.base
    contexts = [size.architecture.context for size in case.study.sizes if size.architecture]
    return training.steps * training.batch_rows * max(contexts)
