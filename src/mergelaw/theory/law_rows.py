"""Rows of what the theorem names: floor and tail, best scale, and the terms they are made of."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from mergelaw.laws.analyses.published_laws import first_k
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas.theory import PREDICTED_LAWS, TERMS
from mergelaw.tables import ALL_TENSORS
from mergelaw.theory.cases import Case
from mergelaw.theory.curve_prediction import Curve, law_sums
from mergelaw.theory.curve_rows import known
from mergelaw.theory.study_facts import StudyFacts

RETURNS = (0.85, 0.9)
"""Shares of the fall that k85 and k90 reach."""

EXACT = "hvp"
"""The route that takes curvature of the loss itself, with no step."""

SMALL_K = (1, 2, 3)
"""Experts at which what higher orders add is told."""


def law_table(facts: StudyFacts) -> pl.DataFrame:
    """Return floor, tail, k85, k90 and best scale, schema `PREDICTED_LAWS`."""
    return PREDICTED_LAWS.frame([row for case in facts.cases for row in _laws(case, facts)])


def _laws(case: Case, facts: StudyFacts) -> Iterator[dict[str, Any]]:
    curve, size, method = Curve.of(case.one.curve), case.one.size, case.one.method
    floor_error, tail_error = _errors(case)
    wanted = {f"k{share * 100:.0f}": (share, curve.k_for_return(share)) for share in RETURNS}
    best = curve.best_scale()
    for d, domain in enumerate(case.domains):
        told = {name: ks[d] for name, (_, ks) in wanted.items()}
        measured = _measured(facts, case, domain)
        for name, (share, _) in wanted.items():
            told[f"{name}_measured"] = None if measured is None else first_k(measured, share)
        yield {
            **case.place,
            "domain": domain,
            "floor": float(curve.floor[d]),
            "floor_stderr": known(floor_error[d]),
            "floor_fitted": facts.parameters.get((size, method, domain, "floor")),
            "tail": float(curve.tail[d]),
            "tail_stderr": known(tail_error[d]),
            "tail_fitted": facts.parameters.get((size, method, domain, "tail")),
            **told,
            "best_scale": known(best[d]),
            "best_scale_fitted": facts.best_scales.get((size, facts.scale_label(method), domain)),
        }


def _errors(case: Case) -> tuple[Array, Array]:
    """Return the standard errors of floor and tail from the choice of text."""
    floor, tail = law_sums(case.text.curve)
    return case.draws.stderr(floor), case.draws.stderr(tail)


def _measured(facts: StudyFacts, case: Case, domain: str) -> Array | None:
    """Return the measured curve of a domain; None where a k was not measured."""
    losses = [
        facts.curves.get((case.one.size, case.one.method, domain, k)) for k in case.ks.tolist()
    ]
    return None if None in losses else np.array([point[0] for point in losses if point])


def term_table(facts: StudyFacts) -> pl.DataFrame:
    """Return the terms of the theorem by size, schema `TERMS`."""
    return TERMS.frame([row for case in facts.cases for row in _terms(case, facts)])


def _terms(case: Case, facts: StudyFacts) -> Iterator[dict[str, Any]]:
    """Yield the terms of each domain, from derivatives at the merge and the task vectors' Gram."""
    curve, size, method = Curve.of(case.one.curve), case.one.size, case.one.method
    mean_norm, spread_norm = _norms(facts, case)
    predicted = curve.at(curve.ks)
    for d, domain in enumerate(case.domains):
        at_base = facts.curves.get((size, method, domain, 0))
        yield {
            **case.place,
            "domain": domain,
            "n_params_billions": facts.n_params_billions[size],
            "mean_norm": mean_norm,
            "spread_norm": spread_norm,
            "trace": float(curve.trace[d]),
            "mean_curvature": float(curve.radial[d]),
            "mean_slope": float(curve.slope[d]),
            "tail": float(curve.tail[d]),
            "tail_fitted": facts.parameters.get((size, method, domain, "tail")),
            "offset": known(curve.offset[d]),
            "base_predicted": float(curve.base[d]),
            "base": None if at_base is None else at_base[0],
            **_order_shares(facts, case, domain, predicted[d]),
        }


def _norms(facts: StudyFacts, case: Case) -> tuple[float | None, float | None]:
    """Return the norm of the mean of psi(v) and the root of the trace of their covariance.

    From the dot products of the task vectors; psi's random masks change the squared norms, which
    are known, and leave the other products as they are in the mean.
    """
    rows = facts.task_vectors.filter(size=case.one.size, method=case.one.method, tensor=ALL_TENSORS)
    if rows.is_empty():
        return None, None
    gram = np.array(rows["dots"].to_list())
    kept = rows["squared_norm_kept"].fill_null(1.0).to_numpy()
    np.fill_diagonal(gram, np.diag(gram) * kept)
    n = len(gram)
    mean_square = max(float(gram.mean()), 0.0)
    spread = (float(np.trace(gram)) - n * mean_square) / (n - 1)
    return float(np.sqrt(mean_square)), float(np.sqrt(max(spread, 0.0)))


def _order_shares(
    facts: StudyFacts, case: Case, domain: str, predicted: Array
) -> dict[str, float | None]:
    """Return what higher orders add at few experts, as a share of the fall from k = 1 to M.

    By exact curvature alone: of other routes it would hold what they err by at second order.
    """
    shares: dict[str, float | None] = {f"order_share_{k}": None for k in SMALL_K}
    measured = _measured(facts, case, domain) if case.one.route == EXACT else None
    if measured is None or not measured[0] > measured[-1]:
        return shares
    found = (measured - predicted) / (measured[0] - measured[-1])
    return shares | {f"order_share_{k}": float(found[k - 1]) for k in SMALL_K if k <= len(found)}
