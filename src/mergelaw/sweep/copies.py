"""Base and experts read from copies on the node's own disk, where the workflow names one."""

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mergelaw.checkpoints.headers import Entry
from mergelaw.checkpoints.node_cache import CacheError, NodeCache, Source
from mergelaw.checkpoints.store import ADAPTER_CONFIG, INDEX, TensorStore
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError
from mergelaw.merging.digests import weights_digest
from mergelaw.preflight.members import Opened, entries
from mergelaw.preflight.report import Preflight

PLACE, LIMIT = "MERGELAW_CACHE", "MERGELAW_CACHE_GB"
"""Environment variables: a folder on the node's own disk, and the most that it may hold."""

BESIDE = (INDEX, "config.json", "generation_config.json", ADAPTER_CONFIG)
"""What is copied beside the weights, where a checkpoint has it: all that a model is made from."""


@dataclass(frozen=True)
class Copies:
    """Models that were checked, as they are read.

    Attributes
    ----------
    checked : Preflight
        The models in their copies; those without one in their own folders.
    staged_bytes : int
        What was copied for this job.
    staging_seconds : float
        What looking for copies, waiting and copying took.
    """

    checked: Preflight
    staged_bytes: int = 0
    staging_seconds: float = 0.0


@contextmanager
def node_copies(checked: Preflight) -> Iterator[Copies]:
    """Yield the models as they are to be read; their copies are held until the block ends.

    No merged weight depends on it. Without the environment variable `MERGELAW_CACHE` they are read
    in their own folders; a note says which others are, and why. Errors name the originals.
    """
    if not os.environ.get(PLACE):
        yield Copies(checked)
        return
    start = time.perf_counter()
    models = {BASE: checked.base, **checked.experts}
    folders: dict[str, Path] = {}
    cache: NodeCache | None = None
    try:
        cache, folders = _staged(models)
        staged_bytes = cache.staged_bytes if cache else 0
        copies = Copies(_moved(checked, folders), staged_bytes, time.perf_counter() - start)
        yield copies
    except CheckpointError as error:
        raise CheckpointError(_originals(str(error), models, folders)) from error
    finally:
        if cache is not None:
            cache.close()


def _staged(models: Mapping[str, Opened]) -> tuple[NodeCache | None, dict[str, Path]]:
    """Return the cache and the folder of every copy; note what has none.

    Copies that are there are taken first, so that none of them makes room for another.
    """
    try:
        cache = NodeCache(Path(os.environ[PLACE]), _limit())
    except (OSError, CacheError) as error:
        _note(f"checkpoints are not copied to {PLACE}={os.environ[PLACE]!r}: {_why(error)}")
        return None, {}
    sources = {name: source_of(name, model) for name, model in models.items()}
    folders: dict[str, Path] = {}
    failures: dict[str, list[str]] = {}
    for name, source in sources.items():
        with suppress(OSError):  # tried again below
            if found := cache.find(source):
                folders[name] = found
    for name in [name for name in sources if name not in folders]:
        try:
            folders[name] = cache.stage(sources[name])
        except (OSError, CacheError) as error:
            failures.setdefault(_why(error), []).append(name)
    if failures:
        told = "; ".join(f"{', '.join(names)} ({why})" for why, names in failures.items())
        _note(f"read from where they are, without a copy in {cache.folder}: {told}")
    return cache, folders


def _limit() -> int | None:
    """Return the most bytes that the cache may hold; None if that is not said."""
    text = os.environ.get(LIMIT)
    if not text:
        return None
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise CacheError(f"{LIMIT}={text!r} is no number of gigabytes, 0 or more")
    return int(gigabytes * 1e9)


def source_of(name: str, model: Opened) -> Source:
    """Return a model as it is copied: its weights and what it is made from, and no more."""
    weights = {str(entry.path.relative_to(model.folder)) for entry in entries(model)}
    beside = {file for file in BESIDE if (model.folder / file).is_file()}
    names = tuple(sorted(weights | beside))
    return Source(name, model.folder, names, lambda folder: weights_digest(_at(model, folder)))


def _moved(checked: Preflight, folders: Mapping[str, Path]) -> Preflight:
    """Return the same models in other folders, as far as there are any."""
    base = _at(checked.base, folders[BASE]) if BASE in folders else checked.base
    experts = {
        name: _at(model, folders[name]) if name in folders else model
        for name, model in checked.experts.items()
    }
    if not isinstance(base, TensorStore):
        raise TypeError("a base is a whole model")
    return replace(checked, base=base, experts=experts)


def _at(model: Opened, folder: Path) -> Opened:
    """Return a model whose files lie in another folder, under the same names."""

    def at(entry: Entry) -> Entry:
        return replace(entry, path=folder / entry.path.relative_to(model.folder))

    if isinstance(model, TensorStore):
        return TensorStore(folder, {name: at(entry) for name, entry in model.entries.items()})
    updates = {n: replace(u, a=at(u.a), b=at(u.b)) for n, u in model.updates.items()}
    whole = {name: at(entry) for name, entry in model.replacements.items()}
    return replace(model, folder=folder, updates=updates, replacements=whole)


def _originals(text: str, models: Mapping[str, Opened], folders: Mapping[str, Path]) -> str:
    """Return a message that names the checkpoints and not their copies."""
    for name, folder in folders.items():
        text = text.replace(str(folder), str(models[name].folder))
    return text


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)
