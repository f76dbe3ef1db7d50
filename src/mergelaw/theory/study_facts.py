"""What predictions of a study are made from and compared with, by size and method."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.config.method_checks import has_scale
from mergelaw.config.methods import Method
from mergelaw.laws.inputs import Inputs
from mergelaw.laws.scale_surface import best_scale, split, values_of
from mergelaw.laws.schemas import CURVES, FITS, PREDICTIONS
from mergelaw.laws.schemas.scales import SCALE_CURVES, SCALE_FITS
from mergelaw.laws.schemas.table import Table
from mergelaw.laws.schemas.theory import DERIVATIVES, UPDATES
from mergelaw.paths import StudyPaths
from mergelaw.tables import read_table
from mergelaw.theory.cases import Case, MeasuredSubsets
from mergelaw.theory.measured_rows import read_derivatives, second_route, text_route
from mergelaw.theory.subset_prediction import named_members
from mergelaw.variants import at_scale

FITTED = "floor_tail"
"""The law whose fits predictions stand beside: that of one size."""


ScalePoints = dict[tuple[int, float], dict[str, dict[str, Any]]]
"""Rows of measured losses by domain, by k and scale."""


class StudyFacts:
    """The tables of a study that predictions read.

    Raises
    ------
    TableError
        By each attribute, if its file is missing, broken or not the study's.
    """

    def __init__(self, study: Study, paths: StudyPaths) -> None:
        self.study, self._paths = study, paths
        self._inputs = Inputs(study, paths)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Every route at every merge that derivatives were taken at, in the study's order."""
        return tuple(case for size in self.study.size_names for case in self._cases(size))

    @cached_property
    def updates(self) -> pl.DataFrame:
        """Schema `UPDATES`, all sizes."""
        sizes = self.study.size_names
        return pl.concat(read_table(self._paths.updates(s), UPDATES.schema) for s in sizes)

    @cached_property
    def curves(self) -> Mapping[tuple[str, str, str, int], tuple[float, float | None]]:
        """Measured mean and standard deviation by size, method, domain and k."""
        return {(s, m, d, k): (loss, sd) for s, m, d, k, loss, sd, _ in self._points}

    @cached_property
    def masked_once(self) -> frozenset[tuple[str, str]]:
        """Size and method of curves under one draw of masks: no mean over masks."""
        return frozenset((s, m) for s, m, *_, n in self._points if n == 1)

    @cached_property
    def _points(self) -> list[tuple[str, str, str, int, float, float | None, int]]:
        names = ("size", "method", "domain", "k", "loss", "sd", "n_mask_seeds")
        return self._law(CURVES).filter(pl.col("n_subsets") > 0).select(names).rows()

    @cached_property
    def fitted(self) -> Mapping[tuple[str, str, str, int], float]:
        """The law's loss by size, method, domain and k."""
        table = self._law(PREDICTIONS).filter(law=FITTED)
        names = ("size", "method", "domain", "k", "loss_predicted")
        return {(s, m, d, k): loss for s, m, d, k, loss in table.select(names).rows()}

    @cached_property
    def parameters(self) -> Mapping[tuple[str, str, str, str], float]:
        """Parameters of the law by size, method, domain and name, where it is identified."""
        table = self._law(FITS).filter(pl.col("identified"), law=FITTED)
        names = ("size", "method", "domain", "parameter", "value")
        return {(s, m, d, p): value for s, m, d, p, value in table.select(names).rows()}

    @cached_property
    def scale_points(self) -> Mapping[tuple[str, str], ScalePoints]:
        """Rows of `SCALE_CURVES` by size and method, then by k, scale and domain."""
        table = self._law(SCALE_CURVES) if self.study.scales else SCALE_CURVES.frame([])
        found: dict[tuple[str, str], ScalePoints] = {}
        for row in table.iter_rows(named=True):
            points = found.setdefault((row["size"], row["method"]), {})
            points.setdefault((row["k"], row["scale"]), {})[row["domain"]] = row
        return found

    @cached_property
    def best_scales(self) -> Mapping[tuple[str, str, str], float]:
        """Best scale of the whole pool by size, method and domain, of the identified surfaces."""
        table = self._law(SCALE_FITS) if self.study.scales else SCALE_FITS.frame([])
        found = {}
        for place, fit in split(table.filter(pl.col("identified"))).items():
            values = values_of(fit)
            del values["level"]
            found[place] = float(best_scale(len(self.study.experts), **values))
        return found

    @cached_property
    def task_vectors(self) -> pl.DataFrame:
        """Columns of `mergelaw.tables.TASK_VECTORS`."""
        return self._inputs.task_vectors

    @cached_property
    def n_params_billions(self) -> Mapping[str, float]:
        """By size, as the laws count them."""
        return dict(self._law(CURVES).select("size", "n_params_billions").unique().rows())

    def measured_subsets(self, case: Case) -> MeasuredSubsets | None:
        """Return the measured losses of subsets, mask seeds averaged; None without any."""
        one = case.one
        wide = self._wide.get((one.size, one.method))
        if wide is None:
            return None
        names = tuple(wide["subset"])
        values = wide.select(case.domains).to_numpy().T
        return MeasuredSubsets(names, named_members(names, one.curve.experts), values)

    @cached_property
    def _wide(self) -> Mapping[tuple[str, str], pl.DataFrame]:
        """Losses of subsets by size and method, a column for each domain."""
        losses = self._inputs.losses.filter(pl.col("k") > 0)
        parts = losses.partition_by("size", "method", as_dict=True, maintain_order=True)
        return {
            (size, method): part.pivot("domain", index="subset", values="loss")
            for (size, method), part in parts.items()
        }

    def scale_label(self, method: str) -> str:
        """Return the label under which a method was merged at several scales.

        Entries that differ in their scale alone are merged once; Average is task arithmetic at
        scale 1 (`mergelaw.variants.scaled_methods`).
        """
        twins = (label for label in self._scaled if self._same_vectors(label, method))
        return next(twins, method)

    @cached_property
    def _scaled(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(method for _, method in self.scale_points))

    def unmasked(self, case: Case) -> Case | None:
        """Return the same route at the same scale without masks; None where no method has it."""
        for other in self.cases:
            same = (other.one.size, other.one.route) == (case.one.size, case.one.route)
            plain = self._method(other.one.method).method in ("average", "task_arithmetic")
            if same and plain and np.isclose(other.one.curve.scale, case.one.curve.scale):
                return other
        return None

    def _cases(self, size: str) -> Iterator[Case]:
        rows = read_table(self._paths.derivatives(size), DERIVATIVES.schema)
        found = read_derivatives(rows)
        for one in found:
            texts = text_route(one, found), text_route(one, found, whole=True)
            yield Case(one, second_route(one, found), *texts, self.study.seed)

    def _same_vectors(self, label: str, other: str) -> bool:
        entries = [self._method(name) for name in (label, other)]
        if not all(map(has_scale, entries)):
            return False
        first, second = (at_scale(e, 1.0).model_dump_json(exclude={"label"}) for e in entries)
        return first == second

    def _method(self, label: str) -> Method:
        return next(entry for entry in self.study.methods if entry.label == label)

    def _law(self, table: Table) -> pl.DataFrame:
        return read_table(self._paths.laws / table.file, table.schema)
