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
from mergelaw.planning.few_points import Measured, sampling_errors
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
    told = {p.k: _own_sd(p.error, p.n_subsets, comb(law.pool, p.k)) for p in law.points}
    known = {k: sd for k, sd in told.items() if sd is not None} | dict(sds)
    spread = spreads(known, law.pool)
    counts = {p.k: p.n_subsets or _counted(p, spread[p.k], law.pool) for p in law.points}
    names = tuple(str(i + 1) for i in range(law.pool))
    return Known("", law, state_of(law, counts, known), names, None, notes=_uncounted(law, counts))


def _uncounted(law: FittedLaw, counts: Mapping[int, int]) -> tuple[str, ...]:
    """Return what was taken for the subsets that nothing counts."""
    taken = [f"k = {p.k}: {counts[p.k]}" for p in law.points if p.error and p.n_subsets is None]
    return (f"subsets are not counted (--subsets), taken as: {', '.join(taken)}",) if taken else ()


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
        sd = spread.get(int(k)) if np.isfinite(k) and k == int(k) else None
        if (
            sd is not None
            and not any(k == other for other, _ in told)
            and 1 <= n <= comb(pool, int(k))
        ):
            told.append((k, sd * float(np.sqrt(1 / n - 1 / comb(pool, int(k))))))
    return told


def _own_sd(error: float | None, n: int | None, n_pool: int) -> float | None:
    """Return the spread over subsets that makes this error; None where nothing tells it."""
    return float(error / np.sqrt(1 / n - 1 / n_pool)) if error and n and n < n_pool else None


def _counted(point: Measured, sd: float | None, pool: int) -> int:
    """Return the subsets that a point's error and spread tell of; 1, the least, without one."""
    n_pool = comb(pool, point.k)
    if not point.error:
        return n_pool
    told = 1 / ((point.error / sd) ** 2 + 1 / n_pool) if sd else 1.0
    return max(min(round(told), n_pool - 1), 1)


def state_of(law: FittedLaw, counts: Mapping[int, int], sds: Mapping[int, float]) -> State:
    """Return the state of a law's curve.

    A balanced design errs less than a random sample: where a k has an error, its spread is the one
    that this error and its count come from, and `sds` are for the other k.
    """
    ks, losses = law.arrays
    errors = np.array(sampling_errors(law.points))
    curve = law.curve if law.case != "not_identified" else _straightest(ks, losses)
    sigma = scale_of(curve, ks, losses, errors, law.misfit).value
    by_k = {point.k: float(error) for point, error in zip(law.points, errors, strict=True)}
    own = {k: _own_sd(error, counts[k], comb(law.pool, k)) for k, error in by_k.items()}
    known = {k: sd for k, sd in own.items() if sd is not None}
    return State(law.pool, curve, sigma, counts, by_k, spreads(sds, law.pool) | known)


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
    _require_tables(paths)
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


def _require_tables(paths: StudyPaths) -> None:
    lacking = [str(p) for p in (paths.losses, paths.laws / schemas.CURVES.file) if not p.is_file()]
    if lacking:
        raise TableError(
            f"{' and '.join(lacking)}: missing, so nothing of this study is measured: run it first "
            "(snakemake --configfile CONFIG), or give --points with --pool"
        )


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
