"""The sweep: subsets of one size and method, merged into a live model, scored on all domains."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from mergelaw.config import Study
from mergelaw.config.methods import DareMethod, Method
from mergelaw.costs import cost_report
from mergelaw.data.tokenizer import vocabulary_digest
from mergelaw.design import BASE, Subset, chunks, subsets
from mergelaw.errors import CheckpointError, DataError, TableError, listing
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.evaluation.shards import EvalShard
from mergelaw.evaluation.stage import read_shards
from mergelaw.merging.methods import merge_into, recipe
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.progress import progress
from mergelaw.provenance import provenance
from mergelaw.tables import LOSSES, LOSSES_KEY, read_table, write_table

disable_progress_bar()  # mergelaw shows its own

ACCUMULATE = {"float32": torch.float32, "sequential_bfloat16": torch.bfloat16}


class LiveModel:
    """A model whose parameters are slices of one flat buffer, so that a merge is one copy.

    Parameters
    ----------
    folder : Path
        Checkpoint of the base.
    vectors : TaskVectors
        Base and experts; their segments must be the model's parameters.
    dtype : torch.dtype
        Type of the merged weights and of the forward pass.
    """

    def __init__(self, folder: Path, vectors: TaskVectors, dtype: torch.dtype) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype
        ).eval()
        parameters = dict(self.model.named_parameters())
        names = {segment.name for segment in vectors.segments}
        if parameters.keys() != names:
            odd = sorted(parameters.keys() ^ names)
            raise CheckpointError(
                f"{folder}: tensors and the model's parameters differ on {odd[:5]}"
            )
        self.buffer = torch.empty(vectors.base.numel(), dtype=dtype)
        for segment in vectors.segments:
            parameters[segment.name].data = self.buffer[segment.span].view(segment.shape)

    def n_params(self) -> tuple[int, int]:
        """Return the number of parameters, tied weights once: in total, and without embeddings."""
        total = sum(p.numel() for p in self.model.parameters())
        embeddings = {
            id(m.weight): m.weight.numel()
            for m in (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        }
        return total, total - sum(embeddings.values())


@dataclass(frozen=True)
class EvalText:
    """All domains' items as one set of batches, and each domain's items in it."""

    shards: tuple[EvalShard, ...]
    batches: tuple[Any, ...]
    n_items: int

    @classmethod
    def of(cls, shards: Sequence[EvalShard], batch_tokens: int) -> "EvalText":
        """Batch the items of all domains together, by length."""
        items = [item for shard in shards for item in shard.items]
        return cls(tuple(shards), make_batches(items, batch_tokens), len(items))

    def by_domain(
        self, nll: NDArray[np.float64]
    ) -> Iterator[tuple[EvalShard, NDArray[np.float64]]]:
        """Split per-item sums into (shard, its items' sums)."""
        start = 0
        for shard in self.shards:
            yield shard, nll[start : start + len(shard.items)]
            start += len(shard.items)


def run_chunk(study: Study, paths: StudyPaths, size: str, method: str, index: int) -> Path:
    """Merge and score the subsets of one chunk; write one row per subset and domain.

    Parameters
    ----------
    size, method : str
        Name of the size, label of the method.
    index : int
        Index of the chunk in the design.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.LOSSES`).

    Raises
    ------
    CheckpointError
        If experts do not match the base, or a loss is not finite.
    """
    entry, chunk = study.method(method), chunks(study, size)[index]
    with cost_report(
        paths.chunk_cost(size, method, index),
        stage="sweep",
        size=size,
        method=method,
        chunk=index,
        n_merges=len(chunk.subsets),
    ):
        base = checkpoint_folder(study, paths, size, BASE)
        vectors = TaskVectors.load(
            base,
            {expert: checkpoint_folder(study, paths, size, expert) for expert in chunk.experts},
        )
        live = LiveModel(base, vectors, getattr(torch, study.dtype))
        text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
        _check_vocabulary(text, base, live.model.get_input_embeddings().num_embeddings)
        rows = [
            {"size": size, "method": method, **row}
            for mask_seed in _mask_seeds(study, entry)
            for row in _score(study, entry, mask_seed, vectors, chunk.subsets, live, text)
        ]
        origin = provenance(study, "sweep", "chunk", size=size, method=method, chunk=index)
        frame = pl.DataFrame(rows, schema=dict(LOSSES))
        write_table(paths.chunk(size, method, index), frame, LOSSES, LOSSES_KEY, origin)
    return paths.chunk(size, method, index)


def _mask_seeds(study: Study, method: Method) -> tuple[int, ...]:
    """Return the seeds that a method is repeated with: one where it draws no masks."""
    return study.mask_seeds if isinstance(method, DareMethod) else (0,)


def _score(
    study: Study,
    method: Method,
    mask_seed: int,
    vectors: TaskVectors,
    chunk: Sequence[Subset],
    live: LiveModel,
    text: EvalText,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one mask seed."""
    steps = recipe(method, f"{study.seed}/{mask_seed}")
    updates = {expert: steps.sparsify(vectors, expert) for expert in vectors.deltas}
    total, nonembedding = live.n_params()
    label = f"sweep {method.label}"
    for subset in progress(chunk, len(chunk), label, "merge"):
        rows = [updates[expert] for expert in subset.experts]
        merge_into(live.buffer, vectors.base, rows, steps.combine, ACCUMULATE[study.accumulate])
        nll = item_nll(live.model, text.batches, text.n_items)
        for shard, sums in text.by_domain(nll):
            if not np.isfinite(sums).all():
                raise CheckpointError(
                    f"the {method.label} merge of {subset.name} has a loss that is not finite "
                    f"on domain {shard.domain!r}; check those experts"
                )
            yield {
                "n_params_total": total,
                "n_params_nonembedding": nonembedding,
                "subset": subset.name,
                "k": subset.k,
                "order": subset.name,
                "mask_seed": mask_seed,
                "accumulate": study.accumulate,
                "domain": shard.domain,
                "nll_sum": float(sums.sum()),
                "n_tokens": int(shard.n_tokens.sum()),
                "item_nll_sum": sums.tolist(),
                "item_n_tokens": shard.n_tokens.tolist(),
            }


def _check_vocabulary(text: EvalText, folder: Path, n_embeddings: int) -> None:
    """Refuse text that was prepared with another tokenizer than the base's."""
    known = {shard.vocabulary for shard in text.shards}
    if (folder / "tokenizer.json").exists():
        known.add(vocabulary_digest(Tokenizer.from_file(str(folder / "tokenizer.json"))))
    largest = max(int(batch.input_ids.max()) for batch in text.batches)
    if len(known) > 1 or largest >= n_embeddings:
        raise DataError(
            f"the evaluation text was not prepared with the tokenizer of {folder}; "
            "name that folder in tokenizer.path"
        )


def collect(study: Study, paths: StudyPaths) -> Path:
    """Join all chunks into one table and check that it holds every cell once and nothing else.

    Raises
    ------
    TableError
        If a (size, method) lacks rows, or has rows that the design does not; all are listed.
    """
    frames, problems = [], []
    for size in study.size_names:
        for method in study.method_labels:
            cell = pl.concat(
                read_table(paths.chunk(size, method, chunk.index), LOSSES)
                for chunk in chunks(study, size)
            )
            frames.append(cell)
            problems += _differences(cell, _expected(study, size, method), f"{size}, {method}")
    if problems:
        raise TableError(listing(f"{paths.losses}", problems))
    origin = provenance(study, "sweep", "losses")
    write_table(paths.losses, pl.concat(frames), LOSSES, LOSSES_KEY, origin)
    return paths.losses


def _expected(study: Study, size: str, method: str) -> pl.DataFrame:
    """Return the keys that a cell must hold."""
    rows = itertools.product(
        [size],
        [method],
        [subset.name for subset in subsets(study, size)],
        _mask_seeds(study, study.method(method)),
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
