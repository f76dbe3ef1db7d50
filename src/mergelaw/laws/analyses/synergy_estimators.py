"""Which expert helps which domain, estimated in four ways that do not mean quite the same.

"balanced", "regression" and "shapley" give every k the same say, and within k every subset.
"balanced" and "regression" start at one expert: what a donor does to a merge that exists. They aim
at the same number; regression reaches it from a sample, as far as the loss is quadratic in the mean
of the task vectors. "shapley" also counts the step from the base to the donor alone, so that all
gains add up to L(base) - L(pool): mostly what fine-tuning did, not what merging did.
"trajectory" is the paper's: a mean over the steps of permutations, whatever their k. A gain shrinks
like 1/k, so such a mean depends on where in the permutations a donor happened to stand: two equal
donors get different numbers, and two studies with other permutations cannot be compared.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.design import PermutationPart
from mergelaw.design import permutations
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.synergy import donor_gain
from mergelaw.laws.analyses.synergy_surface import surface_gains
from mergelaw.laws.forms import Array
from mergelaw.laws.members import Measured, measured
from mergelaw.laws.schemas.subsets import SYNERGY_ESTIMATORS


class Gains(NamedTuple):
    """Gains of every expert to every domain, nats per token; NaN where nothing is measured."""

    gain: Array
    stderr: Array | None = None


def synergy_estimators(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the gains of every donor to every domain by four estimators.

    What a size's subsets do not allow has no rows: "shapley" without all 2^M subsets and the base;
    a donor without pairs of subsets that differ by it, at every k ("balanced") or at any
    ("trajectory"), or that the subsets do not tell apart ("regression").

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.

    Returns
    -------
    polars.DataFrame
        Schema `SYNERGY_ESTIMATORS`.

    Raises
    ------
    NotMadeError
        If no estimator has a gain to tell.
    """
    rows = []
    for table in measured(losses, study, study.domain_names):
        estimates = {
            "balanced": balanced(table.merges),
            "shapley": shapley(table),
            "regression": Gains(surface_gains(table.merges.members, table.merges.losses)),
            "trajectory": trajectory(table.merges, _orders(study, table.size)),
        }
        for estimator, gains in estimates.items():
            names = {"size": table.size, "method": table.method, "estimator": estimator}
            rows += [names | row for row in _rows(gains, study)]
    if not rows:
        raise NotMadeError("no measured subsets differ by one expert, and they are too few to fit")
    return SYNERGY_ESTIMATORS.frame(rows)


def balanced(table: Measured) -> Gains:
    """Return the mean over k of the mean over S, |S| = k, of L(S) - L(S + donor).

    Over every k that was measured with k + 1: NaN for a donor without a pair at one of them, since
    gains shrink with k and a mean over other k cannot be compared.
    """
    ks = set(table.members.sum(axis=1).tolist())
    n_steps = sum(k + 1 in ks for k in ks)
    gains = np.full((table.members.shape[1], table.losses.shape[1]), np.nan)
    for donor in range(len(gains)):
        gain, _, n_k = donor_gain(table.members, table.losses, donor)
        if gain is not None and n_k == n_steps:
            gains[donor] = gain
    return Gains(gains)


def shapley(table: Measured) -> Gains:
    """Return the Shapley values of -L, the base as the empty set; NaN without all 2^M subsets.

    ``gain = sum over S of |S|! (M - |S| - 1)! / M! (L(S) - L(S + donor))``: the mean over all M!
    orders of the step that adds the donor (Shapley 1953, A value for n-person games). There are
    (M - 1)! / (|S|! (M - 1 - |S|)!) subsets of each k = 0..M-1 without the donor, so that it is the
    balanced mean with k = 0 among the k.
    """
    n_experts = table.members.shape[1]
    if len(table.members) < 2**n_experts:
        return Gains(np.full((n_experts, table.losses.shape[1]), np.nan))
    return balanced(table)


def trajectory(table: Measured, orders: Sequence[Sequence[int]]) -> Gains:
    """Return the paper's gains (appendix M.1): means over the steps that permutations take.

    The step that adds a donor to the prefix before it counts wherever both are measured, from the
    second expert on (the paper's 11 to 13 steps of a pair in 15 permutations leave the first out).

    Parameters
    ----------
    table : Measured
        Without the base.
    orders : sequence of permutations of the experts' column numbers

    Returns
    -------
    Gains
        With the standard error of each mean, sd / sqrt(n), as if steps were independent and of one
        kind; NaN for a single step.
    """
    rows = zip(table.members, table.losses, strict=True)
    losses = {members.tobytes(): loss for members, loss in rows}
    n_experts, n_domains = table.members.shape[1], table.losses.shape[1]
    steps: list[list[Array]] = [[] for _ in range(n_experts)]
    for order in orders:
        prefixes = np.tri(n_experts, dtype=bool)[:, np.argsort(order)]  # row t: the first t + 1
        found = [losses.get(row.tobytes()) for row in prefixes]
        for donor, before, after in zip(order[1:], found[:-1], found[1:], strict=True):
            if before is not None and after is not None:
                steps[donor].append(before - after)
    gain, stderr = np.full((2, n_experts, n_domains), np.nan)
    for donor, gains in enumerate(steps):
        if gains:
            gain[donor] = np.mean(gains, axis=0)
        if len(gains) > 1:
            stderr[donor] = np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains))
    return Gains(gain, stderr)


def _orders(study: Study, size: str) -> tuple[tuple[int, ...], ...]:
    """Return the permutations of a size's design; those of Algorithm 1 where it has none."""
    parts = study.size(size).design or study.design
    own = [part for part in parts if isinstance(part, PermutationPart)]
    part = own[0] if own else PermutationPart(kind="max_min_hamming")
    return _permutations(study.expert_names, part.permutations, part.candidates, study.seed)


@lru_cache(maxsize=8)
def _permutations(
    pool: tuple[str, ...], count: int, candidates: int, seed: int
) -> tuple[tuple[int, ...], ...]:
    orders = permutations(pool, count, candidates, seed)
    return tuple(tuple(pool.index(name) for name in order) for order in orders)


def _rows(gains: Gains, study: Study) -> list[dict[str, object]]:
    """Return one row for each donor and receiver with a gain."""
    stderr = np.full_like(gains.gain, np.nan) if gains.stderr is None else gains.stderr
    return [
        {
            "donor": study.expert_names[i],
            "receiver": study.domain_names[j],
            "gain": float(gains.gain[i, j]),
            "stderr": None if np.isnan(stderr[i, j]) else float(stderr[i, j]),
        }
        for i, j in np.argwhere(~np.isnan(gains.gain))
    ]
