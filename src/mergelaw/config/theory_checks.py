"""What a search for weights asks of a study: domains that it has, limits that leave room."""

from collections.abc import Iterator, Sequence

from mergelaw.config.messages import likeliest
from mergelaw.config.theory import Objective

MEANS = {"macro": "the mean over domains", "worst": "the worst domain"}
"""Targets that are no domain."""


def objective_problems(
    key: str, objective: Objective, domains: Sequence[str], n_experts: int
) -> Iterator[str]:
    """Yield what is wrong with a search.

    Parameters
    ----------
    key : str
        Where it stands in the config.
    objective : Objective
        The search.
    domains : sequence of str
        The study's.
    n_experts : int
        Experts of the pool.
    """
    yield from _wrong_target(key, objective, domains)
    yield from _wrong_bounds(key, objective)
    most = objective.max_experts
    if most is not None and most > n_experts:
        yield f"{key}.max_experts = {most}: allowed 1 to {n_experts}, the number of experts"


def _wrong_target(key: str, objective: Objective, domains: Sequence[str]) -> Iterator[str]:
    """Yield domains that the study has not, and targets with two meanings or none."""
    if objective.mixture is None:
        target = objective.target
        if target not in (*MEANS, *domains):
            yield f"{key}.target = {target!r}: no domain; {likeliest(target, [*MEANS, *domains])}"
        if target == "worst" and target in domains:
            yield f"{key}.target = {target!r}: is a domain and {MEANS[target]}; rename the domain"
        return
    if objective.target != "macro":
        yield f"{key}: give either `target` or `mixture`"
    for name in objective.mixture:
        if name not in domains:
            yield f"{key}.mixture.{name}: no domain; {likeliest(name, domains)}"
    if not sum(objective.mixture.values()):
        yield f"{key}.mixture: its weights add up to 0; give one above 0"


def _wrong_bounds(key: str, objective: Objective) -> Iterator[str]:
    """Yield limits that contradict each other or leave no room."""
    low, high = objective.bounds
    told = f"{key}.bounds = [{low:g}, {high:g}]"
    if objective.sums_to_one and (low, high) != Objective.model_fields["bounds"].default:
        yield f"{told}: with sums_to_one weights lie in [0, 1]; leave out one of the two"
    elif low >= high:
        yield f"{told}: must be two numbers, the smaller first"
    elif objective.max_experts is not None and not low <= 0 <= high:
        yield f"{told}: max_experts sets weights to 0, which must lie within"
