"""Merging against multitask training: one model trained on all domains, where it was measured."""

from dataclasses import dataclass

from mergelaw.planning.budget import cost_parts, multitask_cost, priced
from mergelaw.planning.law_file import Baseline, Curve, Size
from mergelaw.planning.question import Question


@dataclass(frozen=True)
class Rival:
    """The multitask baseline beside the merge.

    Attributes
    ----------
    loss
        Of the baseline, nats per token; None: not measured.
    k
        The fewest experts whose merge is as good by the law; None: not within the pool, or not
        known.
    best_k, best_loss
        The best merge of the pool by the law.
    cost, merge_cost
        Of the baseline, and of those k experts (of `best_k` where there is no such k), in the
        prices' currency; None: not asked for, or not known.
    reason
        The same in words.
    """

    loss: float | None
    k: int | None
    best_k: int
    best_loss: float
    cost: float | None
    merge_cost: float | None
    reason: str


def against_multitask(
    baseline: Baseline | None, size: Size, method: str, curve: Curve, asked: Question
) -> Rival | None:
    """Return the comparison; None where neither loss nor cost of the baseline is known."""
    loss = None if baseline is None else baseline.multitask
    best = min(range(len(curve.loss)), key=lambda i: curve.loss[i])
    k = _as_good(curve, loss)
    cost, merge_cost = _costs(size, method, k or best + 1, asked)
    if loss is None and cost is None:
        return None
    return Rival(
        loss, k, best + 1, curve.loss[best], cost, merge_cost, _words(loss, k, best + 1, curve)
    )


def _as_good(curve: Curve, loss: float | None) -> int | None:
    if loss is None:
        return None
    return next((k for k, value in enumerate(curve.loss, 1) if value <= loss), None)


def _costs(size: Size, method: str, k: int, asked: Question) -> tuple[float | None, float | None]:
    if asked.prices is None:
        return None, None
    found = priced(asked.prices, size.name, size.costs, method)
    if found.costs is None:
        return None, None
    cost = multitask_cost(asked.prices, found.costs)
    if found.lacking:
        return cost, None
    return cost, sum(cost_parts(asked.prices, found.costs, method, k).values())


def _words(loss: float | None, k: int | None, best: int, curve: Curve) -> str:
    if loss is None:
        return "the loss of multitask training was not measured here"
    apart = curve.loss[best - 1] - loss
    if k is None:
        return (
            f"multitask training reaches {loss:.4f}; the best merge of the pool, k = {best}, stays "
            f"{apart:.4f} above it"
        )
    experts = "1 expert" if k == 1 else f"{k} experts"
    return f"multitask training reaches {loss:.4f}; a merge of {experts} is as good by the law"
