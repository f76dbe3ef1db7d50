"""How far a fit's parameters are known, for each of three questions ("targets").

- "pool": this pool and this text. The points scatter about the law; how far does that let the
  parameters move? (`mergelaw.laws.profile`.)
- "experts": had the experts been other draws from the same population, how would the answer vary?
  Answered by the jackknife: the fit to every pool of M-1 and of M-2 of the experts. M is small, so
  Student's t with M-1 degrees of freedom. "loss_pool" is then the law at k = M, as curves of k < M
  show it. It takes the experts for draws of one population: with one expert for each domain, the
  own expert of a domain differs from the others, and the interval of that domain is wide for it.
  Only with all subsets measured; nothing is said where subsets were sampled.
- "text": had the evaluation items been others of their domain? Items are resampled, the same draw
  for every k, and the curve is refitted each time; Student's t with as many degrees of freedom as
  a domain has items less one. (Percentiles of the draws cover less: docs/coverage.md.)

The three do not add up to one interval: each answers its own question, and none allows for a law
of the wrong form.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.estimates import split_by
from mergelaw.laws.forms import Array
from mergelaw.laws.law import JOINT, LAWS, Law, ParameterSpec
from mergelaw.laws.profile import LOSS_AT, profile_intervals
from mergelaw.laws.projection import Problem
from mergelaw.laws.refit import refit
from mergelaw.laws.resampling import (
    Cell,
    Draws,
    by_cell,
    curve_draws,
    jackknife_error,
    reach,
    smaller_pools,
)
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.doubts import INTERVALS
from mergelaw.laws.search import best, ends
from mergelaw.laws.uncertainty import ItemDraws, item_draws
from mergelaw.laws.weighting import pose

LOSS_POOL = ParameterSpec("loss_pool")
"""The law's value at k = M, treated like a parameter."""

OFTEN = 0.1
"""A parameter at a bound in a larger share of the refits is noted: its error means less."""

FEW_ITEMS = 20


class Subject(NamedTuple):
    """A fit that intervals are asked for."""

    problem: Problem
    near: Array  # searched parameters
    estimates: Array  # parameters and the loss of the pool
    at: Mapping[str, Array]  # where the loss of the pool is

    @property
    def specs(self) -> tuple[ParameterSpec, ...]:
        """The quantities, in the order of the estimates."""
        return (*self.problem.law.parameters, LOSS_POOL)


class Spread(NamedTuple):
    """Refits to draws, and what they say."""

    target: str
    how: str
    refits: Array  # (draws, quantities)
    errors: Array  # (quantities,)
    freedom: int
    note: str | None = None


class Given(NamedTuple):
    """What all fits of a study share."""

    items: ItemDraws
    text: Draws
    pools: Mapping[int, Draws]  # by the number of experts left out
    n_experts: int


def intervals(
    rows: pl.DataFrame, losses: pl.DataFrame, curves: pl.DataFrame, study: Study
) -> pl.DataFrame:
    """Return intervals of every fit of one size, and of the joint fits of the macro loss.

    Parameters
    ----------
    rows, losses : polars.DataFrame
        From `mergelaw.laws.rows`: `prepare` and `subset_losses`.
    curves : polars.DataFrame
        Schema `CURVES`.

    Returns
    -------
    polars.DataFrame
        Schema `INTERVALS`. A held parameter has no rows, nor has a target that the data say
        nothing about.

    Raises
    ------
    NotMadeError
        If no curve has enough points for a fit.
    """
    items = item_draws(rows, study)
    n_experts = len(study.experts)
    pools = {n: smaller_pools(losses, study, n).losses for n in (1, 2) if n < n_experts}
    given = Given(items, by_cell(items), pools, n_experts)
    found = [row for law in LAWS.values() for row in _of_law(law, curves, given, study)]
    if not found:
        raise NotMadeError("no curve has three distinct k")
    return INTERVALS.frame(found)


def _of_law(law: Law, curves: pl.DataFrame, given: Given, study: Study) -> list[dict[str, Any]]:
    found = []
    for (method, domain, size), points in split_by(curves, law, study.off_ladder):
        if law is JOINT and domain != MACRO:
            continue
        label = {"law": law.name, "method": method, "domain": domain, "size": size}
        try:
            found += [label | row for row in _of_curve(law, points, given)]
        except FitError:  # fits.json says why
            continue
    return found


def _of_curve(law: Law, points: pl.DataFrame, given: Given) -> list[dict[str, Any]]:
    arrays = {name: points[name].to_numpy().astype(float) for name in law.variables}
    loss, errors = points["loss"].to_numpy(), points["subset_se"].to_numpy()
    at = {name: values.max(keepdims=True) for name, values in arrays.items()}
    at["k"] = np.array([float(given.n_experts)])
    subject = subject_of(pose(law, arrays, loss, "measured", errors).problem, at)
    point = {name: float(value[0]) for name, value in at.items()}
    profiles = profile_intervals(law, arrays, loss, "measured", errors, at=point)
    found = profile_rows(subject, profiles)
    cells = list(points.select("size", "method", "domain", "k").iter_rows())
    spreads = [experts(subject, cells, given.pools, n, given.n_experts) for n in given.pools]
    spreads.append(text(subject, cells, given.text, given.items))
    return found + [row for spread in spreads if spread for row in spread_rows(subject, spread)]


def subject_of(problem: Problem, at: Mapping[str, Array]) -> Subject:
    """Return the fit of a problem as a subject; `at` is where the loss of the pool is."""
    values = best(ends(problem)).values
    near = np.array([values[spec.name] for spec in problem.law.searched])
    estimates = _quantities(problem.law, np.array([list(values.values())]), at)[0]
    return Subject(problem, near, estimates, at)


def _quantities(law: Law, parameters: Array, at: Mapping[str, Array]) -> Array:
    """Append the loss of the pool to parameters of shape (draws, parameters)."""
    by_name = {spec.name: parameters[:, i] for i, spec in enumerate(law.parameters)}
    return np.column_stack([parameters, law.function(**at, **by_name)])


def refits(subject: Subject, problem: Problem, losses: Array) -> Array:
    """Return the quantities of a subject for draws of its points (or of those of fewer k)."""
    near = subject.near if len(subject.near) > 1 else None
    return _quantities(problem.law, refit(problem, losses, near), subject.at)


def experts(
    subject: Subject, cells: list[Cell], pools: Mapping[int, Draws], n_left_out: int, n_experts: int
) -> Spread | None:
    """Return the jackknife over experts.

    None unless all points used have all their subsets, and the smaller pools enough k for the law.
    """
    problem, kept = subject.problem, subject.problem.variables["k"] <= n_experts - n_left_out
    smaller = [cell for cell, keep in zip(cells, kept, strict=True) if keep]
    losses = curve_draws(pools[n_left_out], smaller)
    if losses is None:
        return None
    variables = {name: values[kept] for name, values in problem.variables.items()}
    try:
        part = pose(problem.law, variables, losses[0]).problem
    except FitError:
        return None
    if part.law.n_free < problem.law.n_free:  # too few k for the offset: another law
        return None
    found = refits(subject, part, losses)
    errors = jackknife_error(found, n_experts, n_left_out)
    return Spread("experts", f"delete_{n_left_out}", found, errors, n_experts - 1)


def text(subject: Subject, cells: list[Cell], draws: Draws, items: ItemDraws) -> Spread | None:
    """Return the refits to resampled items; None where a domain has one item."""
    losses = curve_draws(draws, cells)
    if losses is None:
        return None
    domain = cells[0][2]
    found = refits(subject, subject.problem, losses)
    n_items = items.n_items[domain]
    note = f"rough: {n_items} items a domain" if n_items < FEW_ITEMS else None
    freedom = items.freedom[domain]
    return Spread("text", "items", found, found.std(axis=0, ddof=1), freedom, note)


def spread_rows(subject: Subject, spread: Spread) -> list[dict[str, Any]]:
    """Return the rows of one target: estimate -+ t stderr, cut at the bounds."""
    found = []
    for i, spec in enumerate(subject.specs):
        if spec.minimum == spec.maximum:
            continue
        stderr, notes = float(spread.errors[i]), _notes(spec, spread.refits[:, i])
        estimate = float(subject.estimates[i])
        row: dict[str, Any] = {
            "quantity": spec.name,
            "target": spread.target,
            "how": spread.how,
            "estimate": estimate,
            "n_refits": len(spread.refits),
        }
        if _always(spec, spread.refits[:, i]):
            row |= {"stderr": None, "low": None, "high": None}
        else:
            half = reach(spread.freedom) * stderr
            low, high = estimate - half, estimate + half
            if low < spec.minimum or high > spec.maximum:
                notes.append("cut at the bound")
            row |= {
                "stderr": stderr,
                "low": max(low, spec.minimum),
                "high": min(high, spec.maximum),
            }
        found.append(row | {"note": "; ".join([*notes, *filter(None, [spread.note])]) or None})
    return found


def _always(spec: ParameterSpec, values: Array) -> bool:
    return any(bool(np.all(values == bound)) for bound in (spec.minimum, spec.maximum))


def _notes(spec: ParameterSpec, values: Array) -> list[str]:
    """Return notes on refits that end at a bound of a parameter."""
    if _always(spec, values):
        return [f"at its bound {values[0]:g} in every refit: no interval"]
    return [
        f"at its bound {bound:g} in {share:.0%} of the refits"
        for bound in (spec.minimum, spec.maximum)
        if (share := float(np.mean(values == bound))) > OFTEN
    ]


def profile_rows(subject: Subject, profiles: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the profile intervals."""
    values = dict(zip([spec.name for spec in subject.specs], subject.estimates, strict=True))
    return [
        {
            "quantity": (quantity := LOSS_POOL.name if name == LOSS_AT else name),
            "target": "pool",
            "how": "profile",
            "estimate": float(values[quantity]),
            **interval._asdict(),
        }
        for name, interval in profiles.items()
    ]
