"""Pools of checkpoints on disk: read block by block, or held in memory as they are stored."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mergelaw.checkpoints.headers import Entry
from mergelaw.checkpoints.lora import LoraAdapter
from mergelaw.checkpoints.low_rank import LowRankDeltas
from mergelaw.checkpoints.reading import BlockReader, read_tensor
from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.merging.pool import SPAN, Place, Segment, not_finite_error, segments
from mergelaw.merging.workers import cores
from mergelaw.preflight.report import Preflight


class StreamedPool:
    """A pool on disk: every read takes entries from files into a buffer that is used again.

    Parameters
    ----------
    base : TensorStore
    experts : mapping of str to TensorStore or LoraAdapter
        Adapters are bound to the base.
    parts : tuple of Segment
        The tensors that are merged.
    reader : BlockReader
        Reads the files.
    n_workers : int
        Processes that share a pass.
    """

    def __init__(
        self,
        base: TensorStore,
        experts: Mapping[str, TensorStore | LoraAdapter],
        parts: tuple[Segment, ...],
        reader: BlockReader,
        n_workers: int,
    ) -> None:
        self.segments, self.n_workers = parts, n_workers
        self._base, self._reader = base.entries, reader
        self._entries = {name: _whole_tensors(expert) for name, expert in experts.items()}
        self._updates = {
            name: LowRankDeltas(expert.updates)
            for name, expert in experts.items()
            if isinstance(expert, LoraAdapter)
        }
        self._raw = torch.empty(0, dtype=torch.uint8)

    def read(self, place: Place, experts: Sequence[str]) -> tuple[Tensor, Iterator[Tensor]]:
        """Return the base and, one by one, the experts' task vectors at a place, shape (n,)."""
        base = self._load(self._base[place.tensor], place)
        return base, (self._delta(place, expert, base) for expert in experts)

    def _delta(self, place: Place, expert: str, base: Tensor) -> Tensor:
        entry, update = self._entries[expert].get(place.tensor), self._updates.get(expert)
        delta = torch.zeros_like(base) if entry is None else self._load(entry, place).sub_(base)
        if update is not None:
            delta.add_(update.delta(place.tensor, place.start, place.stop))
        return delta

    def origin(self, expert: str, tensor: str) -> str:
        """Return the file of a tensor of an expert, or of `base`."""
        entries = self._base if expert == BASE else self._entries[expert]
        return str((entries.get(tensor) or self._base[tensor]).path)

    def _load(self, entry: Entry, place: Place) -> Tensor:
        """Return entries as float32 in memory of their own."""
        if self._raw.numel() < 8 * place.n:
            self._raw = torch.empty(8 * place.n, dtype=torch.uint8)
        stored = self._reader.read(entry, place.start, place.stop, self._raw)
        return stored.to(torch.float32, copy=True)


def _whole_tensors(expert: TensorStore | LoraAdapter) -> Mapping[str, Entry]:
    return expert.entries if isinstance(expert, TensorStore) else expert.replacements


class HeldPool(StreamedPool):
    """A pool whose tensors are held in memory, in the types that they are stored in.

    The parameters are those of `StreamedPool`; `hold` comes before the first read.
    """

    def hold(self) -> None:
        """Read all tensors.

        Raises
        ------
        CheckpointError
            If a file cannot be read, or an entry is not finite.
        """
        self._held: dict[tuple[Path, str], Tensor] = {}
        for part in self.segments:
            for owner, entries in ((BASE, self._base), *self._entries.items()):
                entry = entries.get(part.name)
                if entry is not None:
                    self._held[entry.path, entry.name] = self._finite(entry, owner)

    def _finite(self, entry: Entry, owner: str) -> Tensor:
        tensor = read_tensor(entry).flatten()
        if not all(part.isfinite().all() for part in torch.split(tensor, SPAN)):
            raise not_finite_error(self.origin(owner, entry.name), entry.name)
        return tensor

    def _load(self, entry: Entry, place: Place) -> Tensor:
        """Return entries as float32 in memory of their own."""
        held = self._held[entry.path, entry.name]
        return held[place.start : place.stop].to(torch.float32, copy=True)


def pool_of(
    checked: Preflight, reader: BlockReader, n_workers: int = 0, held: bool = False
) -> StreamedPool:
    """Return the pool of checked models: on disk, or held in memory as stored.

    Parameters
    ----------
    checked : Preflight
        Without problems.
    reader : BlockReader
        Reads the files.
    n_workers : int
        Processes that share a pass; 0 for one on each core.
    held : bool
        Whether all tensors are read into memory here.
    """
    parts = segments({name: checked.base.shapes[name] for name in checked.tensors})
    kind = HeldPool if held else StreamedPool
    pool = kind(checked.base, checked.experts, parts, reader, n_workers or cores())
    if isinstance(pool, HeldPool):
        pool.hold()
    return pool
