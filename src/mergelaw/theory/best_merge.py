"""The best merge of given checkpoints on given text, and the recipe that writes it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mergelaw.config.methods import METHODS, Method
from mergelaw.config.models import Evaluation
from mergelaw.config.recipe import MergeRecipe, recipe_of
from mergelaw.config.study import Lineage
from mergelaw.config.theory import Objective
from mergelaw.errors import DataError, listing
from mergelaw.evaluation.shards import EvalShard
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.sweep.engine import Engine, Settings
from mergelaw.theory import ways
from mergelaw.theory.comparison import Compared
from mergelaw.theory.heldout import HeldOut
from mergelaw.theory.layers import groups_of
from mergelaw.theory.weights import judge_of, row_of, search_all


@dataclass(frozen=True)
class Asked:
    """What is merged, for what, and how it is searched.

    Attributes
    ----------
    base : str
    experts : mapping of str to str
    objective : Objective
    route : {"gauss_newton", "hvp", "pairs"}
        How curvature is measured.
    baselines : bool
        Whether all other ways to choose weights are tried.
    dtype : {"float32", "bfloat16"}
        Of the weights, scored and written alike.
    lineage : {"strict", "report"}
    batch_tokens : int
    """

    base: str
    experts: Mapping[str, str]
    objective: Objective
    route: Literal["gauss_newton", "hvp", "pairs"] = "gauss_newton"
    baselines: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    lineage: Literal["strict", "report"] = "strict"
    batch_tokens: int = 4096


@dataclass(frozen=True)
class BestMerge:
    """What a search has found.

    Attributes
    ----------
    rows : list of dict
        One for each way, the search first (columns of `WEIGHTS` but for the size, and seconds).
    recipe : MergeRecipe
        Of the search's merge.
    notes : list of str
        What was measured otherwise than asked, and why.
    """

    rows: list[dict[str, Any]]
    recipe: MergeRecipe
    notes: list[str]


def best_merge(asked: Asked, calibration: EvalText, heldout: EvalText) -> BestMerge:
    """Search for the best weights on one text, and judge them on the other.

    Raises
    ------
    CheckpointError
        If experts do not match the base, or a number is not finite.
    ConfigError
        If the objective does not fit the text or the pool.
    DataError
        If a text was prepared with another tokenizer.
    """
    settings = Settings(
        dtype=asked.dtype,
        lineage=Lineage(check=asked.lineage),
        evaluation=Evaluation(batch_tokens=asked.batch_tokens),
    )
    objectives = [asked.objective]
    if asked.objective.groups == "layers":
        plain = {"label": "model", "groups": "model"}
        objectives.append(asked.objective.model_copy(update=plain))
    beside = ways.WAYS if asked.baselines else ways.REFERENCES
    with Engine.open(settings, asked.base, asked.experts) as engine:
        for text in (calibration, heldout):
            check_vocabulary(text, engine.folders, engine.model)
        found = search_all(engine, settings, calibration, objectives, "0", beside, asked.route)
        judge = judge_of(engine, settings, heldout, found)
        counts = calibration.length.n_scored, heldout.length.n_scored
        rows = [row for one in found for row in _told(one, judge, counts)]
        recipe = _recipe(asked, found[0], engine.checked.tensors)
        notes = dict.fromkeys(note for one in found for note in one.notes)
    return BestMerge(rows, recipe, list(notes))


def _told(one: Compared, judge: HeldOut, counts: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Yield the rows of one comparison; of the one beside a search by layers, the search's."""
    for found in one.found:
        if one.objective.label != "model" or found is one.found[0]:
            yield row_of(one, found, judge, counts) | {"seconds": found.spent.seconds}


def _recipe(asked: Asked, compared: Compared, tensors: Sequence[str]) -> MergeRecipe:
    """Return the recipe of the search's weights; experts without one are left out."""
    found = compared.found[0]
    by_group = found.weights.reshape(len(compared.groups), -1)
    used = [name for i, name in enumerate(compared.experts) if (by_group[:, i] != 0).any()] or list(
        compared.experts[:1]
    )
    weights = [
        {name: float(row[compared.experts.index(name)]) for name in used} for row in by_group
    ]
    experts = {name: asked.experts[name] for name in used}
    method = _method(weights, tensors)
    return recipe_of(asked.base, experts, method, dtype=asked.dtype, lineage=asked.lineage)


def _method(weights: Sequence[Mapping[str, float]], tensors: Sequence[str]) -> Method:
    """Return the weighted sum that a recipe's method says."""
    if len(weights) == 1:
        parameters: dict[str, Any] = {"weight": weights[0], "normalize": False, "scale": 1.0}
        return METHODS["task_arithmetic"].model_validate(
            {"label": "optimized", "method": "task_arithmetic", "parameters": parameters}
        )
    grouped = groups_of(tensors, "layers")
    groups = [
        {"tensors": [name for name, of in zip(tensors, grouped.of_tensor, strict=True) if of == i]}
        | {"weight": dict(weights[i])}
        for i in range(len(grouped.names))
    ]
    parameters = {"weight": dict.fromkeys(weights[0], 0.0), "groups": groups}
    return METHODS["layerwise"].model_validate(
        {"label": "optimized", "method": "layerwise", "parameters": parameters}
    )


def divided(
    shards: Sequence[EvalShard], share: float
) -> tuple[tuple[EvalShard, ...], tuple[EvalShard, ...]]:
    """Deal the items of shards into calibration and held-out text, by digests of their tokens.

    Parameters
    ----------
    share : float
        Of the items of each domain that are for calibration; one at least is left to either.

    Raises
    ------
    DataError
        If a domain has one item only; all are listed.
    """
    alone = [f"domain {s.domain!r}: one item cannot be divided" for s in shards if len(s.items) < 2]
    if alone:
        raise DataError(listing("give held-out text of its own (--heldout)", alone))
    parts = [_divided(shard, share) for shard in shards]
    return tuple(one for one, _ in parts), tuple(other for _, other in parts)


def _divided(shard: EvalShard, share: float) -> tuple[EvalShard, EvalShard]:
    order = sorted(range(len(shard.items)), key=lambda i: _digest(shard, i))
    n_first = min(max(round(share * len(order)), 1), len(order) - 1)
    parts = [sorted(order[:n_first]), sorted(order[n_first:])]
    return _of_items(shard, parts[0]), _of_items(shard, parts[1])


def _of_items(shard: EvalShard, chosen: Sequence[int]) -> EvalShard:
    return replace(
        shard,
        items=tuple(shard.items[i] for i in chosen),
        sources=tuple(shard.sources[i] for i in chosen),
    )


def _digest(shard: EvalShard, index: int) -> str:
    return hashlib.sha256(shard.items[index].input_ids.tobytes()).hexdigest()


def check_apart(calibration: Sequence[EvalShard], heldout: Sequence[EvalShard]) -> None:
    """Refuse held-out text of other domains, or with items of the calibration text.

    Raises
    ------
    DataError
        With one line for each domain.
    """
    mine = {shard.domain: shard for shard in calibration}
    problems = []
    for name in sorted(mine.keys() ^ {shard.domain for shard in heldout}):
        where = "--heldout" if name in mine else "--shard"
        problems.append(f"domain {name!r}: has no {where} text; give one, or leave the other out")
    for shard in heldout:
        if shard.domain in mine:
            one = {_digest(mine[shard.domain], i) for i in range(len(mine[shard.domain].items))}
            n = sum(_digest(shard, i) in one for i in range(len(shard.items)))
            if n:
                problems.append(
                    f"domain {shard.domain!r}: {n} of {len(shard.items)} held-out items are "
                    "calibration items too: weights would be judged on what they were chosen on"
                )
    if problems:
        raise DataError(listing("the two texts", problems))
