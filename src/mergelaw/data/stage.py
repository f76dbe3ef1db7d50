"""The data stage: items of every domain, the tokenizer, the pre-training tokens."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from mergelaw.config import Study
from mergelaw.data.items import domain_items
from mergelaw.errors import DataError
from mergelaw.files import atomic_directory, atomic_file
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import ITEMS, ITEMS_KEY, read_table, write_table


def write_items(study: Study, paths: StudyPaths, domain: str) -> Path:
    """Draw or read a domain's items, split them, and write their table."""
    origin = provenance(study, "data", "items", domain=domain)
    write_table(paths.items(domain), domain_items(study, domain), ITEMS, ITEMS_KEY, origin)
    return paths.items(domain)


def read_items(study: Study, paths: StudyPaths) -> pl.DataFrame:
    """Read the items of all domains."""
    return pl.concat(read_table(paths.items(name), ITEMS) for name in study.domain_names)


def write_tokenizer(study: Study, paths: StudyPaths) -> Path:
    """Train the study's tokenizer, or copy the one that the config names; with its template.

    Raises
    ------
    DataError
        If there is no such tokenizer, or the template does not fit it.
    """
    from mergelaw.data.pretraining import tokenizer_texts
    from mergelaw.data.templates import set_template
    from mergelaw.data.tokenizer import load_tokenizer, train_tokenizer

    if study.tokenizer.vocab_size is None:
        tokenizer = load_tokenizer(str(study.tokenizer.path))
    else:
        texts = tokenizer_texts(study, read_items(study, paths))
        tokenizer = train_tokenizer(texts, study.tokenizer.vocab_size)
    if study.tokenizer.template is not None:
        set_template(tokenizer, study.tokenizer.template)
    with atomic_directory(paths.tokenizer) as part:
        tokenizer.save_pretrained(part)
    return paths.tokenizer


def write_pretraining(study: Study, paths: StudyPaths) -> Path:
    """Write as many tokens as the hungriest base of the study needs."""
    from mergelaw.data.pretraining import token_stream
    from mergelaw.data.tokenizer import load_tokenizer

    contexts = [size.architecture.context for size in study.sizes if size.architecture]
    if not contexts:
        raise DataError("no size of this study has an architecture: nothing is pre-trained")
    n_tokens = study.training.base.steps * study.training.base.batch_rows * max(contexts)
    tokens = token_stream(
        study, read_items(study, paths), load_tokenizer(paths.tokenizer), n_tokens
    )
    with atomic_file(paths.pretraining) as part:
        save_file({"input_ids": tokens}, part)
    return paths.pretraining


def read_pretraining(paths: StudyPaths) -> NDArray[np.int32]:
    """Read the pre-training tokens, int32 of shape (n_tokens,)."""
    tokens: NDArray[np.int32] = load_file(paths.pretraining)["input_ids"]
    return tokens
