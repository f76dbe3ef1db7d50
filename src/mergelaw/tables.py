"""Tables on disk: parquet with a checked schema, unique keys, finite numbers and provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from mergelaw.errors import TableError, listing
from mergelaw.files import atomic_file

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

ITEMS: Schema = {
    "item_id": pl.String,  # digest of the problem text
    "split": pl.String,  # base, train or heldout
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),  # empty: plain text
    "plain": pl.String,  # the item as a document
    "place": pl.String,  # where it was read: file.json[3], file.jsonl:12, data set or generator[5]
}
ITEMS_KEY = ("item_id",)

SHARDS: Schema = {
    "domain": pl.String,
    "n_heldout": pl.Int64,  # held-out items of the domain
    "n_items": pl.Int64,  # items that are scored
    "n_skipped": pl.Int64,  # items drawn that have no scored token within max_length
    "n_tokens": pl.Int64,  # tokens of the scored items, prompts included
    "n_scored": pl.Int64,
    "n_truncated": pl.Int64,  # tokens cut off at max_length
    "n_items_truncated": pl.Int64,  # items that they were cut off
}
SHARDS_KEY = ("domain",)

SUBSETS: Schema = {
    "size": pl.String,
    "subset": pl.String,
    "k": pl.Int8,
    "experts": pl.List(pl.String),
    "chunk": pl.Int32,
}
SUBSETS_KEY = ("size", "subset")

LOSSES: Schema = {
    "size": pl.String,
    "n_params_total": pl.Int64,
    "n_params_nonembedding": pl.Int64,
    "method": pl.String,
    "subset": pl.String,
    "k": pl.Int8,
    "order": pl.String,  # the experts in the order of summation
    "mask_seed": pl.Int64,
    "accumulate": pl.String,
    "domain": pl.String,
    "nll_sum": pl.Float64,  # nats
    "n_tokens": pl.Int64,
    "item_nll_sum": pl.List(pl.Float64),  # nats, one entry per evaluation item
    "item_n_tokens": pl.List(pl.Int32),
}
LOSSES_KEY = ("size", "method", "order", "mask_seed", "accumulate", "domain")

SCALE_LOSSES: Schema = {**LOSSES, "scale": pl.Float64}
"""Losses of merges whose method's scale is not the config's."""
SCALE_LOSSES_KEY = (*LOSSES_KEY, "scale")

TRAINING_LOG: Schema = {
    "size": pl.String,
    "expert": pl.String,  # or base, or multitask
    "step": pl.Int64,  # from 1
    "loss": pl.Float64,  # nats per scored token of the step's items
    "learning_rate": pl.Float64,
    "gradient_norm": pl.Float64,  # before clipping
    "n_scored": pl.Int64,  # response tokens of the step
    "n_tokens": pl.Int64,  # all tokens of the step, padding aside
    "seconds": pl.Float64,
    "tokens_per_second": pl.Float64,  # n_tokens / seconds
    "memory_bytes": pl.Int64,  # peak so far: of a GPU, of the process without one
}
TRAINING_LOG_KEY = ("size", "expert", "step")

SNAPSHOTS: Schema = {  # experts along their training, each on its own domain
    "size": pl.String,
    "n_params_total": pl.Int64,
    "n_params_nonembedding": pl.Int64,
    "expert": pl.String,
    "domain": pl.String,
    "step": pl.Int64,  # 0: the base; the last: the expert itself
    "training_tokens": pl.Int64,  # all tokens that it was trained on so far
    "training_flops": pl.Float64,  # 6 N D
    "nll_sum": pl.Float64,
    "n_tokens": pl.Int64,
    "item_nll_sum": pl.List(pl.Float64),
    "item_n_tokens": pl.List(pl.Int32),
}
SNAPSHOTS_KEY = ("size", "expert", "step")

COSTS: Schema = {  # what jobs cost; null: not known, or not for such jobs
    "stage": pl.String,
    "rule": pl.String,
    "size": pl.String,  # null: the rule has none
    "method": pl.String,
    "device": pl.String,  # that models ran on; null: none did
    "n_jobs": pl.Int64,  # that are done: all sums but those of failed attempts are over these
    "wall_seconds": pl.Float64,
    "cpu_seconds": pl.Float64,
    "device_hours": pl.Float64,
    "peak_memory_bytes": pl.Int64,  # the largest of any job, on the host
    "peak_device_bytes": pl.Int64,  # the same, of one GPU
    "n_tokens": pl.Int64,  # that models read
    "flops": pl.Float64,  # of models, estimated
    "energy_joules": pl.Float64,
    "n_merges": pl.Int64,
    "prepare_seconds": pl.Float64,  # holding base and experts, and trimming or masking them once
    "merge_seconds": pl.Float64,  # of all these merges
    "n_failed": pl.Int64,  # attempts that failed or were killed, before or in place of the done
    "failed_seconds": pl.Float64,  # wall time of these
    "failed_device_hours": pl.Float64,
}
COSTS_KEY = ("stage", "rule", "size", "method", "device")

ALL_TENSORS = "*"
"""In a column `tensor`: all of them together."""

TASK_VECTORS: Schema = {
    "size": pl.String,  # of a study; elsewhere the base's name
    "method": pl.String,
    "tensor": pl.String,  # or ALL_TENSORS
    "expert": pl.String,
    "n": pl.Int64,  # entries
    "norm": pl.Float64,  # of expert - base
    "dots": pl.List(pl.Float64),  # with each expert's, in the order of the names
    "cosines": pl.List(pl.Float64),
    "density": pl.Float64,  # share of entries that are not 0 after psi
    "squared_norm_kept": pl.Float64,  # squared norm of psi(v) over that of v
}
TASK_VECTORS_KEY = ("size", "method", "tensor", "expert")

MERGED_TENSORS: Schema = {
    "size": pl.String,
    "method": pl.String,
    "tensor": pl.String,  # or ALL_TENSORS
    "n": pl.Int64,
    "norm": pl.Float64,  # of merged - base
    "norm_over_mean": pl.Float64,  # that over the norm of the plain mean of the task vectors
    "cosine_with_mean": pl.Float64,
    "sign_agreement": pl.Float64,  # mean of |sum of signs| / number of signs, where there are any
    "rounding_loss": pl.Float64,  # norm of what rounding changed over `norm`
}
MERGED_TENSORS_KEY = ("size", "method", "tensor")


def write_table(
    path: Path,
    frame: pl.DataFrame,
    schema: Schema,
    key: Sequence[str],
    provenance: Mapping[str, str],
) -> None:
    """Check a table and write it atomically as parquet.

    Parameters
    ----------
    path : Path
        Where the table goes.
    frame : polars.DataFrame
        The rows; columns in any order.
    schema : mapping of str to polars type
        Columns and types; extra and missing columns are errors.
    key : sequence of str
        Columns that together name a row.
    provenance : mapping of str to str
        Stored in the file's metadata.

    Raises
    ------
    TableError
        If a column is wrong, a key occurs twice, or a number is NaN or infinite.
    """
    check_schema(frame, schema, path)
    problems = _duplicate_keys(frame, key) + _non_finite(frame)
    if problems:
        raise TableError(listing(f"{path}", problems))
    with atomic_file(path) as part:
        frame.select(list(schema)).write_parquet(part, metadata=dict(provenance))


def read_table(path: Path, schema: Schema) -> pl.DataFrame:
    """Read a table written by `write_table`.

    Raises
    ------
    TableError
        If the file is missing or broken, or has other columns than `schema`.
    """
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise TableError(f"{path}: is missing; make it first") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TableError(f"{path}: is not a readable parquet file ({error})") from error
    check_schema(frame, schema, path)
    return frame


def read_provenance(path: Path) -> dict[str, str]:
    """Return the metadata that `write_table` stored."""
    return {k: v for k, v in pl.read_parquet_metadata(path).items() if k != "ARROW:schema"}


def check_schema(frame: pl.DataFrame, schema: Schema, origin: Path) -> None:
    """Raise a `TableError` that names every missing, extra and wrongly typed column."""
    problems = [f"lacks column {name!r}" for name in schema if name not in frame.columns]
    problems += [f"has an unknown column {name!r}" for name in frame.columns if name not in schema]
    problems += [
        f"column {name!r} is {frame.schema[name]}, not {dtype}"
        for name, dtype in schema.items()
        if name in frame.columns and frame.schema[name] != dtype
    ]
    if problems:
        raise TableError(listing(f"{origin}", problems))


def _duplicate_keys(frame: pl.DataFrame, key: Sequence[str]) -> list[str]:
    repeated = frame.group_by(list(key)).len().filter(pl.col("len") > 1).sort(list(key))
    return [
        f"{row.pop('len')} rows for " + ", ".join(f"{k}={v}" for k, v in row.items())
        for row in repeated.head(10).to_dicts()
    ]


def _non_finite(frame: pl.DataFrame) -> list[str]:
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    lists = [n for n, d in frame.schema.items() if isinstance(d, pl.List) and d.inner.is_float()]
    finite = [pl.col(name).is_finite().all() for name in floats]
    finite += [pl.col(name).explode().is_finite().all().alias(name) for name in lists]
    row = frame.select(finite).row(0, named=True) if finite else {}
    return [
        f"column {name!r} has a NaN or infinite number" for name, good in row.items() if not good
    ]
