"""From checkpoints on disk to a merged checkpoint on disk: checked, streamed, resumed, told."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mergelaw.checkpoints.reading import TORCH_DTYPE, BlockReader
from mergelaw.checkpoints.shards import OutTensor
from mergelaw.checkpoints.writer import CheckpointWriter
from mergelaw.config.recipe import MergeRecipe
from mergelaw.design import BASE
from mergelaw.merging.carry import carry
from mergelaw.merging.copies import entry_blocks, verify_copies
from mergelaw.merging.digests import weights_digest
from mergelaw.merging.disk_pool import pool_of
from mergelaw.merging.pool import BLOCK, SPAN, Place
from mergelaw.merging.record import write_record, write_statistics
from mergelaw.merging.statistics import Sums, by_tensor
from mergelaw.merging.stream import Merge
from mergelaw.preflight.members import entries
from mergelaw.preflight.report import Preflight, out_dtype, preflight
from mergelaw.progress import progress
from mergelaw.provenance import STAGE_VERSION, digest

ACCUMULATE = {"float32": torch.float32, "sequential_bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Streaming:
    """How a merge is carried out; no merged weight depends on it.

    Attributes
    ----------
    io : {"pread", "mmap"}
        How files are read.
    n_workers : int
        Processes; 0 for one on each core.
    shard_bytes : int
        Most bytes of tensors in one file of the output.
    statistics : bool
        Whether tables of task vectors and merged tensors are written beside the weights.
    """

    io: Literal["pread", "mmap"] = "pread"
    n_workers: int = 0
    shard_bytes: int = 5 * 10**9
    statistics: bool = False


def merge_checkpoints(
    recipe: MergeRecipe,
    out: Path,
    streaming: Streaming = Streaming(),
    accumulate: Literal["float32", "sequential_bfloat16"] = "float32",
) -> tuple[Preflight, dict[str, Any]]:
    """Merge checkpoints into one, in memory that depends neither on their size nor on their number.

    Parameters
    ----------
    recipe : MergeRecipe
        What is merged, and how.
    out : Path
        Folder to be made; it is there when everything in it is complete. After a kill, the same
        call goes on from the spans that were written.
    streaming : Streaming
        How it is carried out.
    accumulate : {"float32", "sequential_bfloat16"}
        Arithmetic of the sum over experts.

    Returns
    -------
    Preflight
        What was checked, with notes for the user.
    dict
        The record that lies in the folder as `mergelaw.json`.

    Raises
    ------
    CheckpointError
        If the checkpoints cannot be merged (all problems that headers tell are listed), a file is
        broken, an entry is NaN or infinite, or `out` exists.
    OSError
        If the disk is full or cannot be written.
    """
    checked = _checked(recipe, out)
    inputs = {BASE: weights_digest(checked.base)}
    inputs |= {name: weights_digest(model) for name, model in sorted(checked.experts.items())}
    identity = recipe_identity(recipe, inputs, accumulate)
    metadata = {"mergelaw_recipe": identity, "mergelaw_inputs": json.dumps(inputs)}
    work = digest([identity, streaming.statistics, SPAN, BLOCK, file_states(checked)])
    with BlockReader(streaming.io) as reader:
        verify_copies(checked, reader)
        with CheckpointWriter(
            out, _out_tensors(checked), streaming.shard_bytes, metadata, work
        ) as writer:
            merge = _planned(recipe, checked, reader, streaming, accumulate)
            _copy_others(checked, reader, writer)
            sums = _write(merge, writer, out.name)
            made: dict[str, Any] = {}

            def finish(part: Path) -> None:
                notes = carry(checked.base.folder, part, _one_dtype(recipe, checked))
                made.update(write_record(part, out.name, recipe, checked, inputs, merge, sums))
                made["notes"] = [*checked.notes, *_alike(inputs, recipe.stand_in), *notes]
                if streaming.statistics:
                    write_statistics(part, recipe, checked, merge, sums, identity)

            writer.commit(finish)
    return checked, made


def _checked(recipe: MergeRecipe, out: Path) -> Preflight:
    """Check a merge from headers; raise all problems."""
    checked = preflight(
        recipe.base,
        dict(recipe.experts),
        out=out,
        dtype=recipe.dtype,
        lineage=recipe.lineage,
        stand_in=recipe.stand_in,
    )
    checked.raise_problems()
    return checked


def file_states(checked: Preflight) -> list[list[int]]:
    """Return what changes when an input's file is changed: unfinished work then begins anew.

    The length and the time of change of each, in whole seconds: some shared file systems tell finer
    ones to the node alone that made the change.
    """
    models = (checked.base, *(model for _, model in sorted(checked.experts.items())))
    paths = [path for model in models for path in sorted({e.path for e in entries(model)})]
    stats = [path.stat() for path in paths]
    return [[stat.st_size, stat.st_mtime_ns // 10**9] for stat in stats]


def _alike(inputs: Mapping[str, str], stand_in: str | None) -> list[str]:
    """Say which models hold the same weights in different files, by their digests."""
    names: dict[str, list[str]] = {}
    for name, weights in inputs.items():
        if name != BASE or stand_in is None:
            names.setdefault(weights, []).append(name)
    return [
        f"{' and '.join(same)} seem to hold the same weights: is one a copy of the other?"
        for same in names.values()
        if len(same) > 1
    ]


def recipe_identity(recipe: MergeRecipe, inputs: Mapping[str, str], accumulate: str) -> str:
    """Return the digest of all that decides a merged checkpoint's weights; no paths."""
    settings = recipe.model_dump(mode="json", exclude={"base", "experts", "lineage"})
    return digest([settings, dict(inputs), accumulate, STAGE_VERSION["merge"]])


def _planned(
    recipe: MergeRecipe,
    checked: Preflight,
    reader: BlockReader,
    streaming: Streaming,
    accumulate: str,
) -> Merge:
    dtypes = {
        name: TORCH_DTYPE[out_dtype(checked.base.entries[name], recipe.dtype)]
        for name in checked.tensors
    }
    return Merge.plan(
        pool_of(checked, reader, streaming.n_workers),
        checked.experts,
        recipe.method,
        f"{recipe.seed}/{recipe.mask_seed}",
        dtypes,
        ACCUMULATE[accumulate],
        streaming.statistics,
    )


def _write(merge: Merge, writer: CheckpointWriter, label: str) -> dict[str, Sums]:
    """Merge all spans that an earlier run did not write; return the sums of each tensor."""
    todo = [place for place in merge.spans() if _key(place) not in writer.done]
    n_entries = sum(place.n for place in todo)
    with closing(merge.run(todo, writer.write)) as done:  # no worker outlives an error here
        for place, sums in progress(
            done, n_entries, f"merge {label}", "param", weigh=lambda pair: pair[0].n
        ):
            writer.record(_key(place), sums)
    return by_tensor((place.tensor, writer.done[_key(place)]) for place in merge.spans())


def _key(place: Place) -> tuple[str, int, int]:
    return place.tensor, place.start, place.stop


def _out_tensors(checked: Preflight) -> list[OutTensor]:
    names = (*checked.tensors, *checked.copied)
    entries = {name: checked.base.entries[name] for name in names}
    return [
        OutTensor(name, out_dtype(entry, checked.dtype), entry.shape)
        for name, entry in entries.items()
    ]


def _one_dtype(recipe: MergeRecipe, checked: Preflight) -> str | None:
    """Return the output's type as configs call it; None where tensors keep several."""
    entries = (checked.base.entries[name] for name in checked.tensors)
    dtypes = {TORCH_DTYPE[out_dtype(entry, recipe.dtype)] for entry in entries}
    return str(dtypes.pop()).removeprefix("torch.") if len(dtypes) == 1 else None


def _copy_others(checked: Preflight, reader: BlockReader, writer: CheckpointWriter) -> None:
    """Write the tensors that are not merged: the base's."""
    buffer = torch.empty(8 * BLOCK, dtype=torch.uint8)
    for place in entry_blocks(checked.base, checked.copied):
        if _key(place) not in writer.done:
            entry = checked.base.entries[place.tensor]
            part = reader.read(entry, place.start, place.stop, buffer)
            writer.write(place.tensor, place.start, part.clone())
            writer.record(_key(place), {})
