"""What to measure next, over one curve or the sizes of a study: ranked, named, or not worth it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergelaw.errors import ConfigError, FitError
from mergelaw.planning.law_file import Costs
from mergelaw.planning.next_points import Candidate, Target, candidates, stderr, target_of
from mergelaw.planning.next_states import Known
from mergelaw.planning.next_subsets import BatchSize, next_subsets
from mergelaw.planning.stopping import Stop

BATCH = 12
"""Subsets of a k measured at once."""

POINTLESS = 0.05
"""Share of the standard error that a batch must take away to be worth naming."""

QUANTITIES = "pool-loss, floor, k85, k90, loss:K with a K of the pool"


@dataclass(frozen=True)
class Suggestion:
    """A batch at one size; subsets are None where the experts measured are not known."""

    size: str
    batch: Candidate
    subsets: tuple[str, ...] | None


@dataclass(frozen=True)
class Answer:
    """What to measure next.

    Attributes
    ----------
    quantity, unit
        What is to be known better.
    now
        By size: its value, None where the points have no law, and its standard error.
    suggestions
        The most worth first.
        Each takes away `POINTLESS` of the standard error at least.
    pointless
        Whether no batch does.
    complete
        Whether every subset is measured.
    stops
        By size: where one more expert is not worth it.
    cost_unit
        What costs are in.
    """

    quantity: str
    unit: str
    now: dict[str, tuple[float | None, float]]
    suggestions: tuple[Suggestion, ...]
    pointless: bool
    complete: bool
    stops: dict[str, Stop | None]
    cost_unit: str
    notes: tuple[str, ...]


def what_next(
    known: Sequence[Known],
    quantity: str,
    method: str,
    top: int,
    eps: float,
    cost_per_merge: float | None = None,
    batch: int = BATCH,
) -> Answer:
    """Return the batches that lower a quantity's variance most for their cost.

    Over several sizes variances are shares of each size's loss, so that sizes count alike.

    Parameters
    ----------
    cost_per_merge : float, optional
        The same at every k; None: as the study's jobs took, or 1 a merge where that is not known.

    Raises
    ------
    ConfigError
        If the quantity is none.
    FitError
        If no batch can be judged: the spread over subsets is not known at any k.
    """
    found: list[tuple[float, Suggestion]] = []
    now: dict[str, tuple[float | None, float]] = {}
    unit = ""
    measured = cost_per_merge is None and all(_measured_cost(one, method) for one in known)
    for one in known:
        target = target_of(quantity, one.state.curve, one.state.pool)
        if target is None:
            raise ConfigError(quantity_problem(quantity, one.state.pool))
        unit = target.unit
        now[one.size] = _value(one, target), stderr(one.state, target, one.state.errors)
        each = (_measured_cost(one, method) if measured else cost_per_merge) or 1.0
        listed = candidates(one.state, target, BatchSize(one.state.pool, batch), each)
        level = float(one.law.points[-1].loss) ** 2
        found += [(item.worth / level, _suggestion(one, item)) for item in listed]
    if not found and any(_has_left(one) for one in known):
        raise FitError("no batch can be judged: the spread over subsets is not known (--sd K=SD)")
    ranked = [
        suggestion
        for _, suggestion in sorted(found, key=lambda pair: -pair[0])
        if suggestion.batch.shrinks >= POINTLESS
    ]
    return Answer(
        quantity=quantity,
        unit=unit,
        now=now,
        suggestions=tuple(_named(known, item) for item in ranked[:top]),
        pointless=not ranked,
        complete=not found,
        stops={one.size: _stop(one, eps) for one in known},
        cost_unit=_cost_unit(measured, cost_per_merge),
        notes=tuple(dict.fromkeys(note for one in known for note in _notes(one))),
    )


def _cost_unit(measured: bool, cost_per_merge: float | None) -> str:
    if measured:
        return "device-hours"
    return "merges" if cost_per_merge is None else "as given"


def quantity_problem(text: str, pool: int | None) -> str:
    """Return what is wrong with the name of a quantity; empty: nothing is.

    Parameters
    ----------
    pool : int, optional
        None: not known yet, so that any K is allowed and a pool is taken as large enough.
    """
    name, _, number = text.partition(":")
    few = pool is not None and pool <= 2
    if text in ("floor", "pool-loss") or (text in ("k85", "k90") and not few):
        return ""
    if name == "loss" and number.isdigit() and 1 <= int(number) <= (pool or int(number)):
        return ""
    return (
        f"--quantity {text!r}: must be one of {QUANTITIES}"
        + f", 1 to {pool}" * (pool is not None)
        + "; k85 and k90 need three experts" * few
    )


def _notes(one: Known) -> Iterator[str]:
    where = f"{one.size}: " if one.size else ""
    yield from (f"{where}{note}" for note in (*one.notes, *one.law.notes))


def _value(one: Known, target: Target) -> float | None:
    """Return the quantity itself; a k of a return is that of the law, no whole number."""
    if one.law.case == "not_identified":
        return None
    if target.unit == "experts":
        return float(target.at[1])
    return float(target.weights @ one.state.curve.loss(target.at))


def _has_left(one: Known) -> bool:
    return any(error > 0 for error in one.state.errors.values())


def _stop(one: Known, eps: float) -> Stop | None:
    return None if one.law.case == "not_identified" else one.law.stop(eps)


def _measured_cost(one: Known, method: str) -> float | None:
    """Return the device-hours of merging and scoring one subset; None where not measured."""
    costs: Costs | None = one.costs
    merge = None if costs is None else costs.merge_by_method.get(method, costs.merge)
    if costs is None or merge is None or costs.evaluate is None:
        return None
    return merge + costs.evaluate


def _suggestion(one: Known, item: Candidate) -> Suggestion:
    return Suggestion(one.size, item, None)


def _named(known: Sequence[Known], item: Suggestion) -> Suggestion:
    """Return a suggestion with the names of its subsets."""
    one = next(one for one in known if one.size == item.size)
    k, n_new = item.batch.k, item.batch.n_new
    if one.done is None and one.state.n_subsets.get(k):
        return item
    subsets = next_subsets(one.experts, k, n_new, () if one.done is None else one.done.get(k, ()))
    return Suggestion(item.size, item.batch, tuple(subset.name for subset in subsets))
