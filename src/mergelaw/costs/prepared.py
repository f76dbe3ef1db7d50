"""What is prepared of a study's text, where it is of this config; polars takes 0.1 s of a job."""

from pathlib import Path
from typing import Any

from mergelaw.config import Study
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint


def shard_rows(study: Study, contents: Path) -> list[dict[str, Any]] | None:
    """Return what the prepared shards hold, a row per domain (columns of `SHARDS`).

    None where there are none, or of another config.

    Parameters
    ----------
    study : Study
        The study.
    contents : Path
        Table of the prepared shards.
    """
    if not contents.exists():
        return None
    from mergelaw.tables import SHARDS, read_provenance, read_table

    if read_provenance(contents).get("slice") != fingerprint(study, "data", "shards"):
        return None
    return read_table(contents, SHARDS).to_dicts()


def count_training_items(study: Study, paths: StudyPaths, domain: str) -> int | None:
    """Return the training items of a domain; None where its items are not prepared, or others."""
    path = paths.items(domain)
    if not path.exists():
        return None
    import polars as pl

    from mergelaw.tables import read_provenance

    if read_provenance(path).get("slice") != fingerprint(study, "data", "items", domain=domain):
        return None
    trained = pl.scan_parquet(path).select((pl.col("split") == "train").sum())
    return int(trained.collect().item())
