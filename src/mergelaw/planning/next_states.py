"""What is known of the curves that `mergelaw next` plans for: given points, or a study's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import comb

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.design import Subset
from mergelaw.design.subset import subset_of
from mergelaw.errors import FitError, TableError
from mergelaw.laws import schemas
from mergelaw.paths import StudyPaths
from mergelaw.planning.curve_errors import scale_of
from mergelaw.planning.estimators import Through, estimate
from mergelaw.planning.few_points import sampling_errors
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.forecasting import fit_law
from mergelaw.planning.law_file import Costs
from mergelaw.planning.next_points import State, spreads
from mergelaw.planning.study_costs import study_costs
from mergelaw.tables import LOSSES, read_table


@dataclass(frozen=True)
class Known:
    """One size's curve.

    Attributes
    ----------
    done
        By k: the subsets measured; None where only their number is known.
    costs
        Of the size; None: every merge costs the same.
    """

    size: str
    law: FittedLaw
    state: State
    experts: tuple[str, ...]
    done: Mapping[int, tuple[Subset, ...]] | None
    costs: Costs | None = None
    notes: tuple[str, ...] = field(default=())


def known_points(law: FittedLaw, sds: Mapping[int, float]) -> Known:
    """Return what given points tell; experts are numbered, as nothing names them.

    Parameters
    ----------
    sds : mapping of int to float
        Spread of the losses over subsets at some k; a point's error and count tell its own.

    Raises
    ------
    FitError
        If a point has neither an error nor all its subsets in.
    """
    if sampling_errors(law.points) is None:
        lacking = ", ".join(str(point.k) for point in law.points if point.error is None)
        raise FitError(
            f"the errors of k = {lacking} are not known: give --errors, or --subsets with --sd"
        )
    found = {
        point.k: _own_sd(point.error, point.n_subsets, point.k, law.pool) for point in law.points
    }
    known = {k: sd for k, sd in found.items() if sd is not None} | dict(sds)
    counts = {
        point.k: point.n_subsets or _counted(point.error, point.k, law.pool) for point in law.points
    }
    names = tuple(str(i + 1) for i in range(law.pool))
    return Known("", law, state_of(law, counts, known), names, None)


def with_spreads(
    errors: Iterable[tuple[float, float]],
    n_subsets: Iterable[tuple[float, float]],
    sds: Mapping[int, float],
    pool: int,
) -> list[tuple[float, float]]:
    """Return errors, with those that counts of subsets and spreads tell where none is given."""
    told = list(errors)
    spread = spreads(sds, pool) if sds and pool > 1 else {}
    for k, n in n_subsets:
        sd = spread.get(int(k)) if k == int(k) else None
        if (
            sd is not None
            and not any(k == other for other, _ in told)
            and 1 <= n <= comb(pool, int(k))
        ):
            told.append((k, sd * float(np.sqrt(1 / n - 1 / comb(pool, int(k))))))
    return told


def _own_sd(error: float | None, n: int | None, k: int, pool: int) -> float | None:
    """Return the spread over subsets that makes this error; None where nothing tells it."""
    left = None if n is None else 1 / n - 1 / comb(pool, k)
    return None if not left or not error else float(error / np.sqrt(left))


def _counted(error: float | None, k: int, pool: int) -> int:
    """Return all subsets where there is no error; 1, the least, where they were not counted."""
    return comb(pool, k) if error == 0 else 1


def state_of(law: FittedLaw, counts: Mapping[int, int], sds: Mapping[int, float]) -> State:
    """Return the state of a law's curve."""
    ks, losses = law.arrays
    errors = np.array(sampling_errors(law.points))
    curve = law.curve if law.case != "not_identified" else _straightest(ks, losses)
    sigma = scale_of(curve, ks, losses, errors, law.misfit).value
    by_k = {point.k: float(error) for point, error in zip(law.points, errors, strict=True)}
    return State(law.pool, curve, sigma, counts, by_k, spreads(sds, law.pool))


def _straightest(ks: np.ndarray, losses: np.ndarray) -> Through:
    """Return a curve to plan by where the points have none: an offset of 0 through their ends."""
    fall = max(abs(losses[0] - losses[-1]), 1e-3 * float(losses.mean()))
    ends = np.array([losses[-1] + fall, losses[-1]])
    return estimate(ks[[0, -1]], ends)._replace(weights=np.ones(len(ks)))


def known_study(
    study: Study, paths: StudyPaths, method: str, domain: str, sizes: Iterable[str]
) -> list[Known]:
    """Return what a study's sweep and laws tell of one method and domain, size by size.

    Raises
    ------
    TableError
        If its tables are not there, or have no points of that curve.
    FitError
        If a size has fewer than two k.
    """
    curves = read_table(paths.laws / schemas.CURVES.file, schemas.CURVES.schema)
    losses = read_table(paths.losses, LOSSES).filter(pl.col("k") > 0)
    billions = dict(curves.select("size", "n_params_billions").unique().iter_rows())
    costs = study_costs(study, paths, billions)
    found = []
    for size in sizes:
        mine = {"size": size, "method": method}
        rows = curves.filter(pl.col("k") > 0, domain=domain, **mine)
        if rows.is_empty():
            raise TableError(f"{paths.laws}: has no curve of {method}, {domain} at {size}")
        subsets = losses.filter(**mine)["subset"].unique().to_list()
        done: dict[int, list[Subset]] = {}
        for subset in sorted(subsets):
            one = subset_of(subset.split("+"))
            done.setdefault(one.k, []).append(one)
        whole = {k: tuple(those) for k, those in done.items()}
        found.append(_of_size(size, rows, whole, study, method, costs.get(size)))
    return found


def _of_size(
    size: str,
    rows: pl.DataFrame,
    done: Mapping[int, tuple[Subset, ...]],
    study: Study,
    method: str,
    costs: Costs | None,
) -> Known:
    pool = len(study.experts)
    counts = dict(rows.select("k", "n_subsets").iter_rows())
    sds = {
        k: sd for k, sd, n in rows.select("k", "sd", "n_subsets").iter_rows() if n > 1 and k < pool
    }
    spread = spreads(sds, pool)
    errors, notes = {}, []
    for k, error, n in rows.select("k", "subset_se", "n_subsets").iter_rows():
        if error is None:
            notes.append(f"{size}: the error at k = {k} is taken as that of a random sample")
            error = (spread[k] or 0.0) * np.sqrt(1 / n - 1 / comb(pool, k))
        errors[k] = float(error)
    points = dict(rows.select("k", "loss").iter_rows())
    law = fit_law(points, pool, errors=errors, n_subsets=counts, method=_kind(study, method))
    state = state_of(law, counts, sds)
    return Known(size, law, state, tuple(study.expert_names), done, costs, tuple(notes))


def _kind(study: Study, label: str) -> str:
    """Return the method behind a label of the config."""
    return next(entry.method for entry in study.methods if entry.label == label)
