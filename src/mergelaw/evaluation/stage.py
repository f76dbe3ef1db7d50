"""Prepared shards as files of the data stage."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.data.tokenizer import load_tokenizer, vocabulary_digest
from mergelaw.evaluation.shards import EvalShard, prepare_shard, read_shard, write_shard
from mergelaw.paths import StudyPaths
from mergelaw.tables import ITEMS, read_table


def write_shards(study: Study, paths: StudyPaths) -> Path:
    """Prepare the evaluation shard of every domain; return their folder."""
    tokenizer = load_tokenizer(paths.tokenizer)
    vocabulary = vocabulary_digest(tokenizer)
    for domain in study.domain_names:
        items = read_table(paths.items(domain), ITEMS)
        shard = prepare_shard(domain, items, tokenizer, study.evaluation, vocabulary)
        write_shard(paths.shard(domain), shard)
    return paths.shard(study.domain_names[0]).parent


def read_shards(study: Study, paths: StudyPaths) -> list[EvalShard]:
    """Read the shards of all domains, in the config's order."""
    return [read_shard(paths.shard(name)) for name in study.domain_names]
