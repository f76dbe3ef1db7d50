"""Prepared shards as files of the data stage."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.data.encode import Encoder
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import DataError, listing
from mergelaw.evaluation.shards import (
    EvalShard,
    prepare_shard,
    read_shards_at,
    shards_digest,
    write_shard,
)
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint, provenance
from mergelaw.tables import ITEMS, SHARDS, SHARDS_KEY, read_table, write_table


def encoder_of(study: Study, paths: StudyPaths) -> Encoder:
    """Return the encoder of the study's evaluation text: its tokenizer, what is cut and scored."""
    settings, tokenizer = study.evaluation, load_tokenizer(paths.tokenizer)
    return Encoder(tokenizer, settings.max_length, settings.scored, study.tokenizer.system)


def write_shards(study: Study, paths: StudyPaths) -> Path:
    """Prepare the evaluation shard of every domain, and the table of what they hold."""
    settings, encoder = study.evaluation, encoder_of(study, paths)
    keys, contents = encoder.keys() | {"config": fingerprint(study, "data", "shards")}, []
    shards = []
    for domain in study.domain_names:
        items = read_table(paths.items(domain), ITEMS)
        shard = prepare_shard(domain, items, encoder, settings.tokens_per_domain, keys)
        write_shard(paths.shard(domain), shard)
        shards.append(replace(shard, items=()))
        n_heldout = items.filter(split="heldout").height
        contents.append({"n_heldout": n_heldout, **shard.contents()})
    origin = provenance(study, "data", "shards") | {"text": shards_digest(shards)}
    frame = pl.DataFrame(contents, schema=dict(SHARDS))
    write_table(paths.shard_contents, frame, SHARDS, SHARDS_KEY, origin)
    return paths.shard_contents


def read_shards(study: Study, paths: StudyPaths) -> list[EvalShard]:
    """Read the shards of all domains, in the config's order.

    Raises
    ------
    DataError
        If one is missing, damaged, or was prepared under another config.
    """
    shards = read_shards_at([paths.shard(name) for name in study.domain_names])
    wanted = fingerprint(study, "data", "shards")
    stale = [
        f"{paths.shard(shard.domain)}: was prepared under other `evaluation` or `domains`"
        for shard in shards
        if shard.keys.get("config") != wanted
    ]
    if stale:
        raise DataError(listing("make the evaluation text again (mergelaw data shards)", stale))
    return shards
