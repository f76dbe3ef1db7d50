"""One model whose weights are, in turn, the merges of one pool."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from mergelaw.checkpoints.reading import TORCH_DTYPE, BlockReader
from mergelaw.checkpoints.store import read_json
from mergelaw.config import Study
from mergelaw.config.models import Evaluation
from mergelaw.config.study import Lineage, Sweep
from mergelaw.costs.memory import (
    FIXED_BYTES,
    Holding,
    available_bytes,
    choose_holding,
    other_bytes,
)
from mergelaw.costs.model import USABLE, working_bytes
from mergelaw.costs.shapes import shape_of_config
from mergelaw.design import Subset
from mergelaw.evaluation.checkpoint import Score, score_model
from mergelaw.evaluation.memory import Room
from mergelaw.evaluation.text import EvalText
from mergelaw.hub import Ref
from mergelaw.merging.checkpoint import ACCUMULATE, file_states
from mergelaw.merging.copies import verify_copies
from mergelaw.merging.digests import weights_digest
from mergelaw.merging.disk_pool import pool_of
from mergelaw.merging.in_memory import ExactMerger, Merger, RunningMerger, hold
from mergelaw.merging.methods import Recipe
from mergelaw.merging.pool import Pool
from mergelaw.models.devices import DeviceMap, device_names, visible_devices
from mergelaw.preflight.report import Preflight, preflight
from mergelaw.sweep.copies import Copies, node_copies
from mergelaw.sweep.live import LiveModel


class PoolSettings(Protocol):
    """What an engine, and what is opened over it, read of a study; `Settings` where none is."""

    @property
    def seed(self) -> int:
        """Names the random numbers, with a mask seed."""

    @property
    def dtype(self) -> Literal["float32", "bfloat16"]:
        """Type of merged weights and of the forward pass."""

    @property
    def accumulate(self) -> Literal["float32", "sequential_bfloat16"]:
        """Arithmetic of the sum over experts."""

    @property
    def sweep(self) -> Sweep:
        """How merges are made in memory."""

    @property
    def lineage(self) -> Lineage:
        """What is done about an expert whose own files name another base."""

    @property
    def evaluation(self) -> Evaluation:
        """How merges are scored."""


@dataclass(frozen=True)
class Settings:
    """The same for tools that work without a study; see `PoolSettings`."""

    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    accumulate: Literal["float32", "sequential_bfloat16"] = "float32"
    sweep: Sweep = field(default_factory=Sweep)
    lineage: Lineage = field(default_factory=Lineage)
    evaluation: Evaluation = field(default_factory=Evaluation)


class Engine:
    """Merges of one pool, made on the processor by the merge engine's arithmetic, and a model.

    Weights therefore do not depend on the device; on a GPU the next merge is made while one is
    scored. Base and experts are held once, in the fastest way that fits the memory.

    Parameters
    ----------
    study : Study or Settings
        Its types, arithmetic and `sweep` decide the weights.
    checked : Preflight
        Base and experts, without problems, where they lie.
    reader : BlockReader
        Reads their files.
    holding : Holding, optional
        How base and experts are held; chosen from the free memory without it.
    device_map : DeviceMap, optional
        Where the model is placed; the processor without it.
    copies : Copies, optional
        The same models as they are read; without it, where they lie.

    Attributes
    ----------
    checked : Preflight
    live : LiveModel
        The model, and the vector that merges are written to.
    holding : Holding
    """

    def __init__(
        self,
        study: PoolSettings,
        checked: Preflight,
        reader: BlockReader,
        holding: Holding | None = None,
        device_map: DeviceMap | None = None,
        copies: Copies | None = None,
    ) -> None:
        self.checked = checked
        self._copies = copies or Copies(checked)
        near = self._copies.checked
        self.holding = holding or holding_of(study, checked, on_gpu=device_map is not None)
        self._accumulate = study.accumulate
        self._incremental = study.sweep.incremental
        self._pool = pool_of(near, reader, held=self.holding == "stored")
        self._merger: Merger | None = None
        self._exact: ExactMerger | None = None
        self._room = Room()
        self._seconds = dict.fromkeys(("prepare_seconds", "merge_seconds", "score_seconds"), 0.0)
        dtype = getattr(torch, study.dtype)
        self.live = LiveModel(near.base.folder, self._pool.segments, dtype, device_map)

    @classmethod
    @contextmanager
    def open(
        cls,
        study: PoolSettings,
        base: Ref,
        experts: Mapping[str, Ref],
        holding: Holding | None = None,
    ) -> Iterator["Engine"]:
        """Check base and experts, and hold them until the block ends.

        Raises
        ------
        CheckpointError
            If experts do not match the base (all problems are listed), or cannot be read.
        """
        checked = preflight(base, experts, lineage=study.lineage.check)
        checked.raise_problems()
        for note in checked.gathered_notes:
            print(f"note: {note}", file=sys.stderr)
        n_bytes = n_entries(checked) * getattr(torch, study.dtype).itemsize
        devices = visible_devices(n_bytes, forward_bytes(study, checked))
        with node_copies(checked) as copies, BlockReader() as reader:
            verify_copies(copies.checked, reader)
            yield cls(study, checked, reader, holding, devices, copies)

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        return self.live.model

    @property
    def folders(self) -> list[Path]:
        """Folders of the base and the experts."""
        return [self.checked.base.folder, *(m.folder for m in self.checked.experts.values())]

    @property
    def identity(self) -> list[object]:
        """What changes when a checkpoint does, or the device or the threads, which round otherwise.

        It is the same on every node, and whether or not copies are read.
        """
        near = self._copies.checked
        weights = [weights_digest(model) for model in (near.base, *near.experts.values())]
        devices = [device_names(self.model), torch.get_num_threads()]
        return [weights, file_states(self.checked), devices]

    def costs(self) -> dict[str, Any]:
        """Return what a cost.json tells of the engine."""
        facts = {"holding": self.holding, "device": device_names(self.model), **self._seconds}
        staging = round(self._copies.staging_seconds, 3)
        return facts | {"staged_bytes": self._copies.staged_bytes, "staging_seconds": staging}

    def use(
        self, steps: Recipe, before: Iterable[Subset] = (), accumulate: str | None = None
    ) -> None:
        """Take a recipe, and make the merges that go before where later ones hang on them.

        psi is planned here, and also applied where base and experts are held as float32.
        `accumulate` is the arithmetic of the sum over experts where it is not the study's.
        """
        self._merger = self._exact = None  # their memory is free before the next one's is taken
        summed = ACCUMULATE[accumulate or self._accumulate]
        with self._timing("prepare_seconds"):
            exact = hold(self._pool, list(self.checked.experts), steps, summed, self.holding)
            self._merger = self._exact = exact
            if self._incremental and steps.mean is not None:
                self._merger = RunningMerger(exact, steps.mean)
                for subset in before:
                    self._merger.merge_into(self.live.weights, subset.experts)

    def merge(self, experts: Sequence[str]) -> None:
        """Write the merge of some experts, summed in their order, to the live weights."""
        if self._merger is None:
            raise RuntimeError("no recipe is in use: call use()")
        with self._timing("merge_seconds"):
            self._merger.merge_into(self.live.weights, experts)

    @property
    def raw(self) -> Pool:
        """Base and task vectors before psi."""
        return self._pool

    @property
    def exact(self) -> ExactMerger:
        """What sums the merges of the recipe in use anew; its pool gives psi(v)."""
        if self._exact is None:
            raise RuntimeError("no recipe is in use: call use()")
        return self._exact

    def combine(
        self, experts: Sequence[str], weights: Sequence[float] | Mapping[str, Sequence[float]]
    ) -> None:
        """Show the model the base plus a weighted sum of psi(v).

        Takes the parameters of `mergelaw.merging.in_memory.ExactMerger.combine_into`.
        """
        with self._timing("merge_seconds"):
            self.exact.combine_into(self.live.weights, experts, weights)
            self.live.show()

    def merged(self, subsets: Sequence[Subset]) -> Iterator[Subset]:
        """Yield each subset when the model holds its merge.

        Where the model is on another device, the next merge is made in the meantime.
        """
        with ThreadPoolExecutor(1) as beside:
            coming: Future[None] | None = None
            for index, subset in enumerate(subsets):
                if coming is None:
                    self.merge(subset.experts)
                else:
                    coming.result()
                with self._timing("merge_seconds"):
                    self.live.show()
                following = subsets[index + 1 : index + 2] if self.live.staged else ()
                coming = beside.submit(self.merge, following[0].experts) if following else None
                yield subset

    def score(self, text: EvalText, owner: str) -> list[Score]:
        """Score the model on a text; see `mergelaw.evaluation.checkpoint.score_model`."""
        with self._timing("score_seconds"):
            return score_model(self.model, text, owner, room=self._room)

    @contextmanager
    def _timing(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - start


def arithmetic(study: Study, steps: Recipe) -> dict[str, str]:
    """Return what a table says of merges that are not summed anew."""
    if not study.sweep.incremental or steps.mean is None:
        return {}
    return {"incremental": "float32 running sum, from zero at the beginning of the chunk"}


def holding_of(study: PoolSettings, checked: Preflight, on_gpu: bool = False) -> Holding:
    """Return the fastest way of holding base and experts that the free memory allows."""
    n = n_entries(checked)
    entries = [checked.base.entries[name] for name in checked.tensors]
    stored = sum(entry.n * TORCH_DTYPE[entry.dtype].itemsize for entry in entries)
    beside = other_bytes(
        n,
        getattr(torch, study.dtype).itemsize,
        incremental=study.sweep.incremental,
        working_bytes=0 if on_gpu else forward_bytes(study, checked),
    )
    return choose_holding(
        n,
        len(checked.experts),
        stored / n,
        other_bytes=beside - FIXED_BYTES,  # this process has taken that already
        available_bytes=int(USABLE * available_bytes()),
    )


def forward_bytes(study: PoolSettings, checked: Preflight) -> int:
    """Return the memory of a forward pass beside the weights, as `estimate` counts it."""
    shape = shape_of_config(n_entries(checked), read_json(checked.base.folder / "config.json"))
    return working_bytes(shape, study.evaluation.batch_tokens, study.dtype)


def n_entries(checked: Preflight) -> int:
    """Return the number of entries that are merged."""
    return sum(checked.base.entries[name].n for name in checked.tensors)
