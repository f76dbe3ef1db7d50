"""Rows about single subsets: predicted losses, how well they rank, and who helps whom."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import rankdata

from mergelaw.laws.analyses.synergy import donor_gain
from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Predicted, best_chances
from mergelaw.laws.schemas.theory import CROSS_CURVATURE, PREDICTED_SUBSETS, RANKINGS
from mergelaw.theory.cases import Case, MeasuredSubsets
from mergelaw.theory.curve_rows import known
from mergelaw.theory.study_facts import StudyFacts

ALL_K = 0
"""In a column `k`: subsets of all k together."""


class Ranked(NamedTuple):
    """The measured subsets of a case and what is predicted of them, domain by domain."""

    case: Case
    measured: MeasuredSubsets
    predicted: list[Predicted]


def ranked_cases(facts: StudyFacts) -> Iterator[Ranked]:
    """Yield every case whose route tells single subsets, where some were measured."""
    for case in facts.cases:
        measured = facts.measured_subsets(case)
        if case.subsets is not None and measured is not None:
            found = case.subsets.predicted(
                measured.members,
                measured.names,
                case.subset_draws,
                measured.losses,
                case.text_subsets,
                case.seed,
            )
            yield Ranked(case, measured, found)


def subset_table(ranked: list[Ranked]) -> pl.DataFrame:
    """Return predicted losses of the measured subsets, schema `PREDICTED_SUBSETS`."""
    frames = [_subsets(one, d) for one in ranked for d in range(len(one.predicted))]
    return pl.concat(frames) if frames else PREDICTED_SUBSETS.frame([])


def _subsets(one: Ranked, d: int) -> pl.DataFrame:
    found, draws = one.predicted[d], one.case.subset_draws
    is_known = np.append(draws.n_folds, draws.n_folds.min())[d] > 1  # else nothing of other text
    frame = pl.DataFrame(
        {
            "subset": one.measured.names,
            "k": one.measured.ks,
            "loss_predicted": found.losses,
            "stderr": found.stderr if is_known else None,
            "p_best": best_chances(found.draws) if is_known else None,
            "loss": one.measured.losses[d],
        }
    )
    place = {**one.case.place, "domain": one.case.domains[d]}
    return PREDICTED_SUBSETS.of(frame.with_columns(**{n: pl.lit(v) for n, v in place.items()}))


def ranking_table(ranked: list[Ranked]) -> pl.DataFrame:
    """Return how well subsets are ranked at each k and together, schema `RANKINGS`."""
    rows = []
    for one in ranked:
        losses = np.stack([found.losses for found in one.predicted])
        for k in (ALL_K, *np.unique(one.measured.ks).tolist()):
            mine = one.measured.ks == k if k else np.ones(len(one.measured.ks), bool)
            measured, predicted = one.measured.of(mine), losses[:, mine]
            correlations = _correlations(predicted, measured.losses)
            for d, domain in enumerate(one.case.domains):
                place = {**one.case.place, "domain": domain, "k": k}
                told = _ranking(measured.names, measured.losses[d], predicted[d])
                rows.append({**place, **told, "rank_correlation": known(correlations[d])})
    return RANKINGS.frame(rows)


def _ranking(names: Sequence[str], losses: Array, predicted: Array) -> dict[str, Any]:
    chosen, best = int(np.argmin(predicted)), int(np.argmin(losses))
    errors = np.abs(predicted - losses) / losses
    return {
        "n_subsets": len(losses),
        "median_error": float(np.median(errors)),
        "p95_error": float(np.quantile(errors, 0.95)),
        "chosen": names[chosen],
        "best": names[best],
        "regret": float(losses[chosen] - losses[best]),
        "regret_random": float(losses.mean() - losses[best]),
    }


def _correlations(first: Array, second: Array) -> Array:
    """Return Spearman's rank correlation of each domain's losses, shape (domains + 1,).

    NaN for fewer than three subsets, and where all losses are alike.
    """
    if first.shape[1] < 3:
        return np.full(len(first), np.nan)
    ranks = [rankdata(losses, axis=1) for losses in (first, second)]
    ranks = [values - values.mean(axis=1, keepdims=True) for values in ranks]
    scale = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    found: Array = np.sum(ranks[0] * ranks[1], axis=1) / np.where(scale > 0, scale, np.nan)
    return found


def synergy_table(ranked: list[Ranked]) -> pl.DataFrame:
    """Return gains of every donor to every receiver, schema `CROSS_CURVATURE`.

    `mergelaw.laws.analyses.synergy.donor_gain` of predicted losses, and of measured ones, of the
    same subsets: the two differ by the predictions alone.
    """
    return CROSS_CURVATURE.frame([row for one in ranked for row in _gains(one)])


def _gains(one: Ranked) -> Iterator[dict[str, Any]]:
    predicted = np.stack([found.losses for found in one.predicted])
    both = np.vstack([predicted, one.measured.losses]).T
    for donor, name in enumerate(one.case.one.curve.experts):
        gains, _, _ = donor_gain(one.measured.members, both, donor)
        if gains is None:
            continue
        for d, receiver in enumerate(one.case.domains):
            told = {"gain_predicted": float(gains[d]), "gain": float(gains[d + len(predicted)])}
            yield {**one.case.place, "donor": name, "receiver": receiver, **told}
