"""Experts of one base trained in several ways: losses, floors and tails, and how they change.

Settings of a base share its weights, its domains and the scored items. The error of a change is
therefore that of the paired difference: the same items are drawn anew under both settings, or the
same expert is left out of both pools. Each setting was trained once: what another seed of training
would change is in none of these errors.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.laws.analyses.intervals import LOSS_POOL, Subject, experts, subject_of, text
from mergelaw.laws.analyses.size_fits import CURVE, Key
from mergelaw.laws.estimates import split_by
from mergelaw.laws.forms import Array
from mergelaw.laws.inputs import Inputs
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.resampling import Draws, by_cell, jackknife_error, smaller_pools
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.capacity import CAPACITY
from mergelaw.laws.training_settings import described, movements, trainings
from mergelaw.laws.uncertainty import ItemDraws, item_draws
from mergelaw.laws.weighting import pose

FITTED = ("floor", "tail", "offset")


class Value(NamedTuple):
    """A quantity of a curve, with the columns of its own."""

    value: float
    stderr: float | None
    identified: bool | None


class Redraws(NamedTuple):
    """What quantities of a curve would have been: arrays of equal length, by quantity."""

    text: Mapping[str, Array]  # with other items
    experts: Mapping[str, Array]  # with one expert left out


class Sources(NamedTuple):
    """What redraws are made from."""

    items: ItemDraws
    text: Draws
    pools: Draws
    n_experts: int


def capacity(given: Inputs) -> pl.DataFrame:
    """Return losses, floors and tails of every setting, and how they differ from the reference's.

    Returns
    -------
    polars.DataFrame
        Schema `CAPACITY`. A quantity that a curve does not have, as its k were not measured or
        are too few for a fit, has no row.

    Raises
    ------
    NotMadeError
        If the study has one way of training its experts.
    """
    study, settings = given.study, _settings(given)
    items, n_experts = item_draws(given.rows, study), len(study.experts)
    pools = smaller_pools(given.losses, study, 1).losses
    sources = Sources(items, by_cell(items), pools, n_experts)
    values = _values(given)
    redraws = {
        (str(size), method, domain): _redraws(points, sources)
        for (method, domain, size), points in split_by(given.curves, FLOOR_TAIL)
    }
    rows = []
    for (size, method, domain), found in values.items():
        reference = (study.size(size).base_size, method, domain)
        label = settings[size] | {"method": method, "domain": domain}
        for quantity, value in found.items():
            row = label | {"quantity": quantity} | value._asdict()
            before = values.get(reference, {}).get(quantity)
            if before is not None and size in study.off_ladder:
                row["change"] = value.value - before.value
                pair = redraws[size, method, domain], redraws[reference]
                row |= _errors(quantity, *pair, n_experts)
            rows.append(row)
    return CAPACITY.frame(rows)


def _settings(given: Inputs) -> dict[str, dict[str, Any]]:
    """Return the columns that tell how experts were trained, by size."""
    found = {size: described(given.study, size) for size in given.study.size_names}
    for table in (trainings(given.training, given.study), movements(given.task_vectors)):
        for row in table.iter_rows(named=True):
            found[row["size"]] |= row
    return found


def _values(given: Inputs) -> dict[Key, dict[str, Value]]:
    """Return the quantities of every curve, in the order of the curves."""
    ends = {1: "loss_1", len(given.study.experts): "loss_pool"}
    found: dict[Key, dict[str, Value]] = {}
    points = given.curves.filter(pl.col("k").is_in(list(ends)))
    for *key, k, loss, error in points.select(*CURVE, "k", "loss", "loss_se").iter_rows():
        found.setdefault(_key(key), {})[ends[k]] = Value(loss, error, None)
    for *key, loss in _own_losses(given).iter_rows():
        found[_key(key)]["loss_own"] = Value(loss, None, None)
    fits = given.fits.filter(pl.col("law") == FLOOR_TAIL.name)
    columns = (*CURVE, "parameter", "value", "stderr", "identified")
    for *key, name, value, error, identified in fits.select(columns).iter_rows():
        found.setdefault(_key(key), {})[name] = Value(value, error, identified)
    return found


def _own_losses(given: Inputs) -> pl.DataFrame:
    """Return the mean loss of single experts on their home domains: columns of `CURVE`, loss.

    Macro is the mean over domains, where each of them is some expert's home.
    """
    homes = [(e.name, e.domain) for e in given.study.experts if e.domain is not None]
    pairs = pl.DataFrame(homes, schema=("subset", "domain"), orient="row")
    single = given.losses.filter(pl.col("k") == 1).join(pairs, on=("subset", "domain"))
    own = single.group_by(CURVE, maintain_order=True).agg(pl.col("loss").mean())
    macro = own.group_by("size", "method", maintain_order=True).agg(
        pl.col("loss").mean(), pl.len().alias("n"), domain=pl.lit(MACRO)
    )
    whole = macro.filter(pl.col("n") == len(given.study.domains))
    return pl.concat([own, whole.select(own.columns)])


def _key(names: list[str]) -> Key:
    size, method, domain = names
    return size, method, domain


def _redraws(points: pl.DataFrame, given: Sources) -> Redraws:
    """Return a curve's quantities for other items and for each smaller pool."""
    cells = list(points.select("size", "method", "domain", "k").iter_rows())
    ends = {"loss_1": (*cells[0][:3], 1), "loss_pool": (*cells[0][:3], given.n_experts)}
    by_text = {name: given.text[cell] for name, cell in ends.items() if cell in given.text}
    by_experts = {"loss_1": given.pools[ends["loss_1"]]} if ends["loss_1"] in given.pools else {}
    for subject in _subjects(points, given.n_experts):
        if spread := text(subject, cells, given.text, given.items):
            by_text |= _named(subject, spread.refits, FITTED)
        if spread := experts(subject, cells, {1: given.pools}, 1, given.n_experts):
            by_experts |= _named(subject, spread.refits, (*FITTED, LOSS_POOL.name))
    return Redraws(by_text, by_experts)


def _subjects(points: pl.DataFrame, n_experts: int) -> Iterator[Subject]:
    """Yield the curve's fit, where its k are enough for one."""
    k, loss = points["k"].to_numpy().astype(float), points["loss"].to_numpy()
    if len(np.unique(k)) >= FLOOR_TAIL.variables["k"][0]:
        posed = pose(FLOOR_TAIL, {"k": k}, loss, "measured", points["subset_se"].to_numpy())
        yield subject_of(posed.problem, {"k": np.array([float(n_experts)])})


def _named(subject: Subject, refits: Array, names: tuple[str, ...]) -> dict[str, Array]:
    places = {spec.name: i for i, spec in enumerate(subject.specs)}
    return {name: refits[:, places[name]] for name in names}


def _errors(
    quantity: str, mine: Redraws, reference: Redraws, n_experts: int
) -> dict[str, float | None]:
    """Return the standard errors of a change, from the differences of redraws."""
    by_text = _difference(quantity, mine.text, reference.text)
    by_experts = _difference(quantity, mine.experts, reference.experts)
    return {
        "change_text_se": None if by_text is None else float(by_text.std(ddof=1)),
        "change_experts_se": None
        if by_experts is None
        else float(jackknife_error(by_experts, n_experts, 1)),
    }


def _difference(
    quantity: str, mine: Mapping[str, Array], reference: Mapping[str, Array]
) -> Array | None:
    """Return the differences of redraws; None where one is not known (a domain of one item)."""
    if quantity not in mine or quantity not in reference:
        return None
    found: Array = mine[quantity] - reference[quantity]
    return found if np.isfinite(found).all() else None
