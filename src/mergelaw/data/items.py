"""Items of a domain and their split: one problem text is on one side only.

The split is a function of the text and the study's seed, never of the order of drawing, so that
it is itself the filter against leaks: whatever repeats falls on the same side everywhere. A
conversation goes with its first question, and so with every conversation that it begins like.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.config.data import DatasetsSource, FilesSource, ProceduralSource, Shares
from mergelaw.data.data_sets import read_dataset
from mergelaw.data.domains import generate
from mergelaw.data.domains.problem import Problem
from mergelaw.data.records import Message, read_files, to_messages
from mergelaw.errors import DataError
from mergelaw.tables import ITEMS

SPLITS = ("base", "train", "heldout")

BLOCK = 8192
"""Items held as Python objects before they become rows of a table, which are far smaller."""


class Item(NamedTuple):
    """An item as it is drawn or read."""

    messages: list[Message]  # empty for plain text
    plain: str
    place: str


def domain_items(study: Study, domain: str) -> pl.DataFrame:
    """Return all items of a domain with their split.

    Parameters
    ----------
    study : Study
        The study; its seed decides drawn problems and the split.
    domain : str
        Name of the domain.

    Returns
    -------
    polars.DataFrame
        Columns of `mergelaw.tables.ITEMS`; each problem text once.

    Raises
    ------
    DataError
        If the source cannot be read, or a split that has a share stays empty.
    """
    frame, n_repeats = _distinct(study, _source_items(study, domain))
    if n_repeats:
        print(f"domain {domain!r}: {n_repeats} records repeat a problem; left out")
    _check_splits(frame, study.data.shares, domain)
    return frame


def _distinct(study: Study, items: Iterator[Item]) -> tuple[pl.DataFrame, int]:
    """Return the table of items with the first of each problem, and how many repeat one."""
    blocks, rows = [pl.DataFrame(schema=dict(ITEMS))], list[tuple[Any, ...]]()
    seen: set[str] = set()
    n_repeats = 0
    for item in items:
        item_id = text_digest("\n".join(m["content"] for m in item.messages[:-1]) or item.plain)
        if item_id in seen:
            n_repeats += 1
            continue
        seen.add(item_id)
        rows.append((item_id, side_of(*item[:2], study.data.shares, study.seed), *item))
        if len(rows) == BLOCK:
            blocks.append(_frame(rows))
            rows.clear()
    return pl.concat([*blocks, _frame(rows)]), n_repeats


def _frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(ITEMS), orient="row")


def text_digest(text: str) -> str:
    """Return 32 hexadecimal digits of a text's SHA-256, blind to case and white space."""
    normal = re.sub(r"\s+", " ", text).strip().casefold()
    return hashlib.sha256(normal.encode()).hexdigest()[:32]


def side_of(messages: Sequence[Message], plain: str, shares: Shares, seed: int) -> str:
    """Return the split of an item: that of its first question, or of a plain text itself."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    return split_of(text_digest(asked[0] if asked else plain), shares, seed)


def split_of(digest: str, shares: Shares, seed: int) -> str:
    """Return the split that a text's digest falls into: a uniform number, cut at the shares."""
    number = hashlib.sha256(f"{seed}/{digest}".encode()).digest()[:8]
    position = int.from_bytes(number) / 2**64
    if position < shares.base:
        return "base"
    return "train" if position < shares.base + shares.train else "heldout"


def _source_items(study: Study, domain: str) -> Iterator[Item]:
    source = study.domain(domain).source
    match source:
        case ProceduralSource():
            generator = random.Random(f"{study.seed}/{domain}")
            problems = generate(source.generator, generator, source.items)
            for index, problem in enumerate(problems):
                yield Item(_chat(problem), _plain(problem), f"{source.generator}[{index}]")
        case FilesSource():
            folder = Path(study.data_folder)
            for place, record in read_files(source, folder):
                yield Item(*to_messages(record, source.fields, str(folder / place)), place)
        case DatasetsSource():
            for place, record in read_dataset(source):
                yield Item(*to_messages(record, source.fields, place), place)


def _chat(problem: Problem) -> list[Message]:
    return [
        {"role": "user", "content": problem.prompt},
        {"role": "assistant", "content": problem.response},
    ]


def _plain(problem: Problem) -> str:
    """Write a problem as running text, without the marks of the chat format."""
    return (
        f"Problem. {problem.prompt} Solution. {'. '.join(problem.steps)}. Hence {problem.answer}."
    )


def _check_splits(frame: pl.DataFrame, shares: Shares, domain: str) -> None:
    counts = dict(frame.group_by("split").len().iter_rows())
    empty = [name for name in SPLITS if getattr(shares, name) > 0 and not counts.get(name)]
    if empty:
        raise DataError(
            f"domain {domain!r}: {frame.height} distinct items leave split "
            f"{' and '.join(empty)} empty; give more items or another data.shares"
        )
