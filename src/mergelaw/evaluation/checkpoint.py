"""Losses of a model: of one in memory, or of any checkpoint folder from disk."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from mergelaw.costs import add_work
from mergelaw.costs.inputs import TextLength
from mergelaw.costs.model import forward_flops
from mergelaw.costs.shapes import shape_of_config
from mergelaw.errors import CheckpointError, DataError, TableError, listing
from mergelaw.evaluation.loss import fault, item_nll
from mergelaw.evaluation.memory import Room
from mergelaw.evaluation.shards import EvalShard, read_shards_at
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.models.loading import devices_for, load_model
from mergelaw.provenance import digest, versions
from mergelaw.tables import LOSSES, read_provenance, read_table, write_table


@dataclass(frozen=True)
class Score:
    """Loss of a model on one domain, as sums and counts.

    Attributes
    ----------
    domain : str
        Name of the domain.
    nll_sum : float
        Summed negative log-likelihood of the scored tokens, in nats.
    n_tokens : int
        Number of scored tokens.
    item_nll_sum : list of float
        The same by item.
    item_n_tokens : list of int
        The same by item.
    """

    domain: str
    nll_sum: float
    n_tokens: int
    item_nll_sum: list[float]
    item_n_tokens: list[int]

    @classmethod
    def of(cls, shard: EvalShard, item_nll_sum: Sequence[float]) -> "Score":
        """Return the loss on a shard from the sums of its items."""
        counts = shard.n_tokens
        total = float(np.asarray(item_nll_sum, dtype=np.float64).sum())
        return cls(shard.domain, total, int(counts.sum()), list(item_nll_sum), counts.tolist())

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nll_sum / self.n_tokens

    def row(self) -> dict[str, Any]:
        """Return what a table holds of it (columns of `SCORES`)."""
        return dict(vars(self))

    def facts(self) -> dict[str, str | int | float]:
        """Return what a reader asks first, as plain data."""
        return {
            "domain": self.domain,
            "loss": self.loss,
            "nll_sum": self.nll_sum,
            "n_tokens": self.n_tokens,
            "n_items": len(self.item_n_tokens),
        }


SCORES = {name: LOSSES[name] for name in Score.__dataclass_fields__}
"""Columns of one checkpoint's losses: those of the sweep that need no study."""
SCORES_KEY = ("domain",)


@dataclass(frozen=True)
class Origin:
    """What losses are of: two models' are compared if text and type are the same.

    Attributes
    ----------
    checkpoint : str
        As it was given: a folder or a name of the Hub.
    dtype : str
        Type of the forward pass.
    text : mapping of str to str
        Digest of the keys of each domain's shard, which tell what its tokens were made from.
    """

    checkpoint: str
    dtype: str
    text: Mapping[str, str]

    @classmethod
    def of(cls, checkpoint: str, dtype: str, text: EvalText) -> "Origin":
        """Return what losses on a text are of."""
        keys = {shard.domain: digest(dict(shard.keys)) for shard in text.shards}
        return cls(checkpoint, dtype, keys)

    def differences(self, other: "Origin") -> list[str]:
        """Say what stands against comparing these losses with others, domain by domain."""
        problems = [
            f"has losses on another text of domain {name!r} (digest {self.text[name]}) than the "
            f"shard's (digest {mark}): give the shard that it was scored on, or score "
            f"{self.checkpoint} on this one"
            for name, mark in other.text.items()
            if self.text.get(name, mark) != mark
        ]
        if self.dtype != other.dtype:
            problems.append(
                f"has losses in {self.dtype}, the other model is scored in {other.dtype}: give "
                f"--dtype {self.dtype}, or score {self.checkpoint} with --dtype {other.dtype}"
            )
        return problems


def score_model(model: Any, text: EvalText, owner: str, room: Room | None = None) -> list[Score]:
    """Score a model on every domain of a text; the work counts as the running job's.

    Parameters
    ----------
    model : transformers causal language model
        In evaluation mode.
    text : EvalText
        What is scored.
    owner : str
        What an error calls the model.
    room : Room, optional
        What fits into memory, where many models are scored: found out once.

    Raises
    ------
    CheckpointError
        If a loss is not finite.
    DataError
        If memory runs out on an item alone.
    """
    nll = item_nll(model, text.batches, text.n_items, room, text.item_source)
    check_finite(model, text, range(text.n_items), nll, owner)
    add_work(text.length.n_tokens, scoring_flops(model, text.length))
    return [Score.of(shard, sums.tolist()) for shard, sums in text.by_domain(nll)]


def scoring_flops(model: Any, length: TextLength) -> float:
    """Return the FLOPs of scoring a text once; see `mergelaw.costs.model.forward_flops`."""
    total = sum(parameter.numel() for parameter in model.parameters())
    shape = shape_of_config(total, model.config.to_dict())
    return forward_flops(shape, length.n_tokens, length.n_scored, length.squared_lengths)


def check_finite(
    model: Any, text: EvalText, items: Sequence[int], nll: NDArray[np.float64], owner: str
) -> None:
    """Refuse losses that are not finite: names domain and item, and where it begins.

    Parameters
    ----------
    items : sequence of int
        Numbers of the items in the text.
    nll : float64 array, shape (items,)
        Their summed losses.

    Raises
    ------
    CheckpointError
        If one is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(nll))
    if not bad.size:
        return
    first = int(items[bad[0]])
    encoded = [item for shard in text.shards for item in shard.items]
    domains = [shard.domain for shard in text.shards for _ in shard.items]
    raise CheckpointError(
        f"{owner} has a loss that is not finite on domain {domains[first]!r}: "
        f"{bad.size} of {len(items)} items, the first {text.item_source(first)}; "
        f"{fault(model, encoded[first])}; check its weights"
    )


def open_checkpoint(folder: Path, text: EvalText, dtype: str) -> Any:
    """Load a checkpoint that is to be scored on a text, on the GPUs that are visible, or without.

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    DataError
        If the text was prepared with another tokenizer.
    """
    model = load_model(folder, getattr(torch, dtype), devices_for(folder, dtype, text.batch_tokens))
    check_vocabulary(text, [folder], model)
    return model


def score_checkpoint(
    folder: Path, shard_paths: Sequence[Path], dtype: str, batch_tokens: int
) -> list[Score]:
    """Score a checkpoint from disk on prepared text.

    Given the shards of all domains of a study, in its order, and its `dtype` and `batch_tokens`,
    the sums are those of the study's sweep, bit for bit.

    Parameters
    ----------
    folder : Path
        The checkpoint: safetensors and a config.
    shard_paths : sequence of Path
        Prepared shards, one for each domain.
    dtype : {"float32", "bfloat16"}
        Type of the weights and of the forward pass.
    batch_tokens : int
        Padded tokens of a forward pass.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be loaded, or a loss is not finite.
    DataError
        If a shard is missing or broken, a domain occurs twice, or a shard was prepared with
        another tokenizer than the checkpoint's.
    """
    text = read_text(shard_paths, batch_tokens)
    return score_model(open_checkpoint(folder, text, dtype), text, str(folder))


def read_text(shard_paths: Sequence[Path], batch_tokens: int) -> EvalText:
    """Read prepared shards, one of each domain, as one text.

    Raises
    ------
    DataError
        If shards are missing or broken (all are listed), or a domain occurs twice.
    """
    shards = read_shards_at(shard_paths)
    counts = Counter(shard.domain for shard in shards)
    twice = [f"{n} shards of domain {name!r}" for name, n in counts.items() if n > 1]
    if twice:
        raise DataError(listing("every domain is scored once", twice))
    return EvalText.of(shards, batch_tokens)


def write_scores(path: Path, scores: Sequence[Score], origin: Origin) -> None:
    """Write the losses of one checkpoint as a table with the columns of `SCORES`.

    What they are of is stored in the table's metadata.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    frame = pl.DataFrame([score.row() for score in scores], schema=SCORES)
    facts = {"checkpoint": origin.checkpoint, "dtype": origin.dtype}
    facts |= {"text": json.dumps(dict(origin.text)), "versions": json.dumps(versions())}
    write_table(path, frame, SCORES, SCORES_KEY, facts)


def read_scores(path: Path) -> list[Score]:
    """Read what `write_scores` wrote.

    Raises
    ------
    TableError
        If the table is missing, or has not the columns of `SCORES`.
    """
    return [Score(**row) for row in read_table(path, SCORES).iter_rows(named=True)]


def read_origin(path: Path) -> Origin:
    """Read what the losses of a table are of, as `write_scores` wrote it.

    Raises
    ------
    TableError
        If the table does not say it, as those of earlier versions.
    """
    facts = read_provenance(path)
    try:
        return Origin(facts["checkpoint"], facts["dtype"], json.loads(facts["text"]))
    except KeyError as error:
        raise TableError(
            f"{path}: does not say of what text and dtype its losses are (an earlier version wrote "
            "it): write it again (mergelaw evaluate CHECKPOINT --shard FILE ... --out "
            f"{path}), or give the checkpoint itself"
        ) from error
