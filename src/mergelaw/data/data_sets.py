"""Records of data sets through the `datasets` library: local, cached, or fetched when asked to."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mergelaw.config.data import DatasetsSource
from mergelaw.errors import CheckpointError, DataError
from mergelaw.hub import is_hub_name, snapshot
from mergelaw.progress import progress


def read_dataset(source: DatasetsSource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, record) of a data set.

    Parameters
    ----------
    source : DatasetsSource
        Its path is a local folder or file (JSON, JSONL, CSV, parquet), or a name of the hub. Of a
        name, the snapshot of its revision in the hub's cache is read, so that another revision
        than the one asked for never takes its place; `fetch` downloads what the cache lacks, and
        tells the commit on standard error where no revision is given.

    Raises
    ------
    DataError
        If it cannot be loaded, or is not cached and not to be fetched.
    """
    try:
        records = _fetched(source) if _is_remote(source) else _local(source)
        yield from _places(source, records)
    except DataError:
        raise
    except Exception as error:  # the library passes on those of pyarrow, fsspec, httpx and others
        reason = error.__cause__ or error  # of a broken file, the error itself only says "an error"
        raise DataError(f"data set {source.path!r}: cannot be loaded ({reason})") from error


def _places(
    source: DatasetsSource, records: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the first records with their places, showing progress where their number is known."""
    known = [n for n in (source.items, _length(records)) if n is not None]
    chosen = itertools.islice(records, source.items)
    shown = progress(chosen, min(known), f"read {source.path}", "record") if known else chosen
    for index, record in enumerate(shown):
        yield f"{source.path}[{index}]", record


def _length(records: Any) -> int | None:
    return len(records) if hasattr(records, "__len__") else None


def _is_remote(source: DatasetsSource) -> bool:
    return source.fetch and is_hub_name(source.path)


def _local(source: DatasetsSource) -> Iterable[Mapping[str, Any]]:
    """Open a folder or file, or the snapshot of a hub's name in the cache."""
    import datasets  # a second of imports that studies on files do not pay

    path = Path(source.path).expanduser()
    if is_hub_name(source.path):
        path = _cached(source)
    elif not path.exists():
        raise DataError(
            f"data set {source.path!r}: no such folder or file (a data set of the Hugging Face Hub "
            "is written org/name)"
        )
    folder, files = (path, None) if path.is_dir() else (path.parent, path.name)
    records: Iterable[Mapping[str, Any]] = datasets.load_dataset(
        str(folder.absolute()),  # absolute, for a folder may be called as one of its own formats
        source.subset,
        data_files=files,
        split=source.split,
        streaming=source.streaming,
    )
    return records


def _cached(source: DatasetsSource) -> Path:
    try:
        return snapshot(source.path, source.revision, "dataset")
    except CheckpointError as error:
        raise DataError(f"data set {error}; or set `fetch: true`") from error


def _fetched(source: DatasetsSource) -> Iterable[Mapping[str, Any]]:
    """Open a name of the hub at one commit; what the cache lacks is downloaded.

    The library falls back on any cached revision when the hub does not answer: that is refused.
    """
    import datasets
    from huggingface_hub import HfApi

    commit = HfApi().dataset_info(source.path, revision=source.revision).sha
    builder = datasets.load_dataset_builder(source.path, source.subset, revision=commit)
    if builder.hash != commit:
        raise DataError(
            f"data set {source.path!r}: the hub did not answer, and `datasets` would read revision "
            f"{builder.hash} instead of {commit}; try again, or set `fetch: false` to read the "
            "cache"
        )
    if source.revision is None:
        print(
            f"data set {source.path!r}: read at commit {commit}, which is the newest; to read the "
            f"same text next time, set `revision: {commit}`",
            file=sys.stderr,
        )
    if source.streaming:
        return builder.as_streaming_dataset(source.split)  # type: ignore[no-any-return]
    builder.download_and_prepare()
    return builder.as_dataset(source.split)  # type: ignore[no-any-return]
