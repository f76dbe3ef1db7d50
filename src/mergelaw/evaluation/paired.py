"""Two models on one text: how their losses differ, from as many items as an answer needs."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergelaw.errors import DataError, listing
from mergelaw.evaluation.checkpoint import (
    Origin,
    Score,
    check_finite,
    open_checkpoint,
    read_origin,
    read_scores,
    read_text,
    score_model,
)
from mergelaw.evaluation.estimator import Difference, domain_difference
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.evaluation.memory import Room
from mergelaw.evaluation.text import EvalText
from mergelaw.hub import Ref, resolve

FIRST = 32
"""Items of each domain that are scored before a standard error is believed."""

GROWTH = 1.5
"""Items after a round over those before it: few looks, and little beyond what is needed."""

Scorer = Callable[[Sequence[int]], NDArray[np.float64]]
"""Returns the summed losses of items, given their numbers in the text."""


def model_scorer(model: Any, text: EvalText, batch_tokens: int, owner: str) -> Scorer:
    """Return a scorer that runs a model, in batches by length.

    The scorer raises CheckpointError if a loss is not finite, and DataError if memory runs out on
    an item alone.
    """
    items = [item for shard in text.shards for item in shard.items]
    room = Room()

    def score(indices: Sequence[int]) -> NDArray[np.float64]:
        batches = make_batches([items[i] for i in indices], batch_tokens)
        nll = item_nll(model, batches, len(indices), room, lambda i: text.item_source(indices[i]))
        check_finite(model, text, indices, nll, owner)
        return nll

    return score


def table_scorer(scores: Sequence[Score], text: EvalText, owner: str) -> Scorer:
    """Return a scorer that looks losses up, by domain and item.

    Raises
    ------
    DataError
        If the scores are not of this text: names the domains.
    """
    found = {score.domain: score for score in scores}
    known = {shard.domain: shard.n_tokens.tolist() for shard in text.shards}
    problems = [f"has no losses on domain {name!r}" for name in known if name not in found]
    problems += [
        f"has losses on other items of domain {name!r}: {len(found[name].item_n_tokens)} items, "
        f"{found[name].n_tokens} tokens; the text has {len(counts)} items, {sum(counts)} tokens"
        for name, counts in known.items()
        if name in found and found[name].item_n_tokens != counts
    ]
    if problems:
        raise DataError(listing(f"{owner} cannot be compared on this text", problems))
    sums = np.concatenate([found[name].item_nll_sum for name in known])
    return lambda indices: sums[list(indices)]


def _read_scorer(path: Path, text: EvalText, wanted: Origin) -> Scorer:
    """Return a scorer of a table, if its losses are of the text and the type that are wanted."""
    scores = read_scores(path)
    problems = read_origin(path).differences(wanted)
    if problems:
        raise DataError(listing(f"{path} cannot be compared on this text", problems))
    return table_scorer(scores, text, str(path))


def paired_difference(
    one: Scorer, other: Scorer, text: EvalText, standard_error: float | None = None
) -> Difference:
    """Return the difference of two models' losses; score all items, or until it is known enough.

    Items are taken in the shards' order, which is that of their digests and so as good as random,
    in growing rounds over all domains.

    Parameters
    ----------
    one, other : Scorer
        Of the two models; the difference is the loss of `one` less that of `other`.
    text : EvalText
        What they are scored on.
    standard_error : float, optional
        Largest standard error of the macro difference, in nats per token, as an estimate of the
        one on the whole text; without it all items are scored.

    Notes
    -----
    With all items the difference on this text is exact, so that every standard error is reached.
    In simulations (300 and 400 items a domain, one and four domains, 600 to 3,000 texts each) 92 to
    96% of the stopped intervals of 1.96 standard errors held the difference on all items where
    items' differences were normal or t(3); 81 to 94% where they were as skewed as a lognormal's.
    """
    goal = FIRST if standard_error is not None else text.n_items
    known: list[NDArray[np.float64]] = [np.empty(0) for _ in text.shards]
    while True:
        parts = _next_items(text, [len(done) for done in known], goal)
        indices = [index for part in parts for index in part]
        borders = np.cumsum([len(part) for part in parts])[:-1]
        apart = np.split(one(indices) - other(indices), borders)
        known = [np.append(done, new) for done, new in zip(known, apart, strict=True)]
        found = Difference.of(
            [
                domain_difference(shard.domain, done, shard.n_tokens)
                for shard, done in zip(text.shards, known, strict=True)
            ]
        )
        if not found.stopped or found.standard_error <= (standard_error or 0.0):
            return found
        goal = math.ceil(GROWTH * goal)


def _next_items(text: EvalText, n_done: Sequence[int], goal: int) -> list[range]:
    """Return each domain's items that bring it to a number of scored items, by their numbers."""
    parts, start = [], 0
    for shard, done in zip(text.shards, n_done, strict=True):
        parts.append(range(start + done, start + min(goal, len(shard.items))))
        start += len(shard.items)
    return parts


def compare_checkpoints(
    checkpoint: Ref,
    against: Ref,
    shard_paths: Sequence[Path],
    dtype: str,
    batch_tokens: int,
    standard_error: float | None = None,
) -> Difference:
    """Return how the losses of two checkpoints differ on prepared text.

    Parameters
    ----------
    checkpoint, against : str or Path
        Folders, or names in the Hub's cache; `against` may be a table of losses (`write_scores`).
        With a standard error both models are held at once.
    shard_paths : sequence of Path
        Prepared shards, one for each domain.
    dtype : {"float32", "bfloat16"}
        Type of the weights and of the forward pass.
    batch_tokens : int
        Padded tokens of a forward pass.
    standard_error : float, optional
        See `paired_difference`.

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be loaded, or a loss is not finite.
    DataError
        If a shard or the text does not fit the checkpoints, or a table's losses are of another
        text or type.
    TableError
        If `against` is a table without the columns of `SCORES`, or does not say what it is of.
    """
    text = read_text(shard_paths, batch_tokens)

    def scorer(ref: Ref) -> Scorer:
        folder = resolve(ref)
        model = open_checkpoint(folder, text, dtype)
        return model_scorer(model, text, batch_tokens, str(folder))

    if Path(against).suffix == ".parquet":
        other = _read_scorer(Path(against), text, Origin.of(str(checkpoint), dtype, text))
    elif standard_error is None:  # one model after the other
        folder = resolve(against)
        scores = score_model(open_checkpoint(folder, text, dtype), text, str(folder))
        other = table_scorer(scores, text, str(folder))
    else:
        other = scorer(against)
    return paired_difference(scorer(checkpoint), other, text, standard_error)
