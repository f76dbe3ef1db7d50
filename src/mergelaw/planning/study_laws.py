"""A study's law file: its fits with the errors of losses and gains, baselines, costs."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.errors import TableError
from mergelaw.laws import schemas
from mergelaw.laws.estimates import errors_of, split_by
from mergelaw.laws.law import LAWS
from mergelaw.laws.point_noise import Sources, sources
from mergelaw.laws.rows import prepare
from mergelaw.laws.schemas.training import MULTITASK
from mergelaw.paths import StudyPaths
from mergelaw.planning.law_file import METRIC, Baseline, Curve, Joint, Law, LawFile, Size
from mergelaw.planning.study_costs import study_costs
from mergelaw.provenance import provenance
from mergelaw.tables import LOSSES, read_provenance, read_table

CAVEATS = (
    "Floors are extrapolations to endless experts: a pool reaches L(M) only.",
    "Errors are of the mean loss over all subsets of this pool on new text of the same domains, "
    "not of other experts, nor of another seed of training.",
)


ENDLESS = 1e9
"""Experts at which the error of the law's loss is that of its floor: of the text, too, which the
error of the fitted parameter leaves out."""


class FitRecord(NamedTuple):
    """One fit as fits.json keeps it (`mergelaw.laws.estimates.Fitted`)."""

    law: str
    method: str
    domain: str
    size: str | None
    values: Mapping[str, float]
    misfit: float | None
    identified: bool
    notes: tuple[str, ...]


def study_laws(study: Study, paths: StudyPaths) -> LawFile:
    """Return the law file of a study that is fitted.

    The errors are those of predictions.parquet, from the same functions; those of gains are from
    the same covariance of what is predicted.

    Raises
    ------
    TableError
        If a table that it reads is missing, broken or not the study's.
    """
    curves = read_table(paths.laws / schemas.CURVES.file, schemas.CURVES.schema)
    fits = _read_fits(paths)
    rows = prepare(read_table(paths.losses, LOSSES), study)
    of_n = dict(curves.select("size", "n_params_billions").unique().iter_rows())
    costs = study_costs(study, paths, of_n)
    return LawFile(
        name=_name(study),
        source=_source(study, rows),
        caveats=CAVEATS + study.notes,
        metric=METRIC,
        text=read_provenance(paths.shard_contents).get("text"),
        pool=len(study.experts),
        experts=tuple(study.expert_names),
        n_params=study.laws.n_params,
        sizes=tuple(
            Size(name=size, n_params_billions=of_n.get(size), costs=costs.get(size))
            for size in study.size_names
        ),
        laws=tuple(_laws(study, fits, curves, sources(rows, study))),
        baselines=tuple(_baselines(study, paths, curves)),
        provenance=_origin(study, paths),
    )


def _name(study: Study) -> str:
    return f"{study.name}-seed{study.seed}" if study.seed else study.name


def _source(study: Study, rows: pl.DataFrame) -> str:
    n_subsets = rows.filter(pl.col("k") > 0)["subset"].n_unique()
    counts = f"{n_subsets:,} subsets, {len(study.methods)} methods, {len(study.size_names)} sizes"
    return f"study {study.name}, seed {study.seed}: {counts}"


def _origin(study: Study, paths: StudyPaths) -> dict[str, str]:
    content = hashlib.sha256()
    for path in (paths.laws / schemas.CURVES.file, paths.laws / schemas.FITS_JSON, paths.losses):
        content.update(path.read_bytes())
    return provenance(study, "planning", "law_file") | {"data_hash": content.hexdigest()[:16]}


def _read_fits(paths: StudyPaths) -> list[FitRecord]:
    path = paths.laws / schemas.FITS_JSON
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return [_fit(record) for record in raw["fits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: is no record of fits ({error}); make it again (mergelaw laws fits)"
        ) from error


def _fit(record: Mapping[str, Any]) -> FitRecord:
    parameters = record["parameters"]
    return FitRecord(
        **{name: record[name] for name in ("law", "method", "domain", "size")},
        values={name: parameter["value"] for name, parameter in parameters.items()},
        misfit=record["misfit"],
        identified=record["identified"],
        notes=tuple(record["notes"]),
    )


def _laws(
    study: Study, fits: list[FitRecord], curves: pl.DataFrame, given: Sources
) -> Iterator[Law]:
    """Yield the laws of every method and domain that has a curve fitted, macro first."""
    by_key = {(fit.law, fit.method, fit.domain, fit.size): fit for fit in fits}
    points = {key: part for key, part in split_by(curves, LAWS["floor_tail"])}
    for method in study.method_labels:
        for domain in (schemas.MACRO, *study.domain_names):
            found = [
                _curve(fit, points[method, domain, size], given)
                for size in study.size_names
                if (fit := by_key.get(("floor_tail", method, domain, size)))
            ]
            joint = by_key.get(("joint", method, domain, None))
            if found:
                over_sizes = joint and Joint(**joint.values, identified=joint.identified)
                yield Law(method=method, domain=domain, curves=tuple(found), joint=over_sizes)


def _curve(fit: FitRecord, points: pl.DataFrame, given: Sources) -> Curve:
    ks = range(1, given.n_experts + 1)
    loss = LAWS[fit.law].function(k=np.arange(1.0, given.n_experts + 1), **fit.values)
    known = errors_of(fit, points, pl.DataFrame({"k": [*map(float, ks), ENDLESS]}), given)
    stderr, gain_stderr = ((), ()) if known is None else (known.stderr, known.gain_stderr[:-1])
    measured = dict(points.select("k", "loss").iter_rows())
    return Curve(
        size=str(fit.size),
        floor=fit.values["floor"],
        floor_stderr=None if known is None else float(known.stderr[-1]),
        tail=fit.values["tail"],
        offset=fit.values["offset"],
        identified=fit.identified,
        notes=fit.notes,
        loss=tuple(map(float, loss)),
        stderr=tuple(map(float, stderr[: len(ks)])),
        gain_stderr=tuple(map(float, gain_stderr)),
        freedom=None if known is None else _freedom(known.freedom[:-1]),
        measured=tuple(measured.get(k) for k in ks),
    )


def _freedom(freedoms: Any) -> float | None:
    """Return the least of a curve's degrees of freedom; None where errors are as good as normal."""
    least = float(min(freedoms))
    return least if math.isfinite(least) else None


def _baselines(study: Study, paths: StudyPaths, curves: pl.DataFrame) -> Iterator[Baseline]:
    """Yield the losses of the base, the domain's own expert and the multitask baseline."""
    bases = curves.filter(k=0).unique(("size", "domain"), maintain_order=True)
    base = {(size, domain): x for size, domain, x in bases["size", "domain", "loss"].iter_rows()}
    own = _own(paths.laws / schemas.SPECIALISTS.file, study)
    trained = _multitask(study, paths)
    for size in study.size_names:
        for domain in (schemas.MACRO, *study.domain_names):
            losses = [table.get((size, domain)) for table in (base, own, trained)]
            if any(loss is not None for loss in losses):
                names = ("base", "expert", "multitask")
                told = dict(zip(names, losses, strict=True))
                yield Baseline(size=size, domain=domain, **told)


def _own(path: Path, study: Study) -> dict[tuple[str, str], float]:
    """Return the loss of a domain's own experts, as Average makes one of them; macro of all."""
    average = [method.label for method in study.methods if method.method == "average"][:1]
    table = read_table(path, schemas.SPECIALISTS.schema).filter(
        pl.col("is_own") & pl.col("method").is_in(average)
    )
    means = table.group_by("size", "domain", maintain_order=True).agg(pl.col("loss").mean())
    found = {(size, domain): loss for size, domain, loss in means.iter_rows()}
    for size in study.size_names:
        each = [found.get((size, domain)) for domain in study.domain_names]
        if all(loss is not None for loss in each):
            found[size, schemas.MACRO] = math.fsum(map(float, filter(None, each))) / len(each)
    return found


def _multitask(study: Study, paths: StudyPaths) -> dict[tuple[str, str], float]:
    path = paths.laws / MULTITASK.file
    if study.multitask is None:
        return {}
    table = read_table(path, MULTITASK.schema).filter(kind="multitask")
    return {(size, domain): x for size, domain, x in table["size", "domain", "loss"].iter_rows()}
