"""Tensors that ought to be equal: stored copies of tied embeddings, and what is not merged."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mergelaw.checkpoints.reading import BlockReader
from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError
from mergelaw.merging.pool import BLOCK, Place, Segment, spans
from mergelaw.preflight.report import Preflight


def verify_copies(checked: Preflight, reader: BlockReader) -> None:
    """Refuse tensors that ought to be equal and are not, entry by entry.

    These are stored copies of tied embeddings, and tensors that are taken over from the base.

    Raises
    ------
    CheckpointError
        If such a tensor differs; the first is named.
    """
    stores = {BASE: checked.base, **checked.experts}
    whole = {name: store for name, store in stores.items() if isinstance(store, TensorStore)}
    for copy in checked.redundant:
        store = whole[copy.owner]
        if not _same(store, copy.name, store, copy.twin, reader):
            raise CheckpointError(
                f"{store.folder}: {copy.name} is to be a copy of {copy.twin} (tied embeddings) "
                "and differs from it; set tie_word_embeddings to false in every config.json and "
                "store both tensors everywhere, or remove the copy"
            )
    for name, store in whole.items():
        for tensor in checked.copied:
            if not _same(checked.base, tensor, store, tensor, reader):
                raise CheckpointError(
                    f"expert {name!r}: {tensor} holds integers that differ from the base's; "
                    "they cannot be averaged"
                )


def _same(one: TensorStore, name: str, other: TensorStore, twin: str, reader: BlockReader) -> bool:
    """Tell whether two tensors are equal, also where their types differ."""
    buffers = [torch.empty(8 * BLOCK, dtype=torch.uint8) for _ in range(2)]
    for place in entry_blocks(one, (name,)):
        parts: list[Tensor] = [
            reader.read(store.entries[key], place.start, place.stop, buffer)
            for store, key, buffer in zip((one, other), (name, twin), buffers, strict=True)
        ]
        if not torch.equal(parts[0], parts[1].to(parts[0].dtype)):
            return False
    return True


def entry_blocks(store: TensorStore, names: tuple[str, ...]) -> Iterator[Place]:
    """Yield the entries of some tensors block by block."""
    for name in names:
        for span in spans([Segment(name, 0, store.shapes[name])]):
            yield from span.cut(BLOCK)
