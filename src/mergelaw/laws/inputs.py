"""What analyses read, each table read once and only when it is asked for."""

from functools import cached_property

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws import schemas
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import scales, subsets
from mergelaw.laws.schemas.table import Table
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES, SCALE_LOSSES, read_table


class Inputs:
    """The tables of a study that analyses read.

    Raises
    ------
    TableError
        By each attribute, if its file is missing, broken or not the study's.
    """

    def __init__(self, study: Study, paths: StudyPaths) -> None:
        self.study = study
        self._paths = paths

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Losses with their items, from `mergelaw.laws.rows.prepare`."""
        return prepare(read_table(self._paths.losses, LOSSES), self.study)

    @cached_property
    def losses(self) -> pl.DataFrame:
        """A loss per subset and domain, from `mergelaw.laws.rows.subset_losses`."""
        return subset_losses(self.rows)

    @cached_property
    def curves(self) -> pl.DataFrame:
        """Schema `CURVES`."""
        return self._law_table(schemas.CURVES)

    @cached_property
    def fits(self) -> pl.DataFrame:
        """Schema `FITS`."""
        return self._law_table(schemas.FITS)

    @cached_property
    def variance(self) -> pl.DataFrame:
        """Schema `VARIANCE`."""
        return self._law_table(schemas.VARIANCE)

    @cached_property
    def estimators(self) -> pl.DataFrame:
        """Schema `SYNERGY_ESTIMATORS`."""
        return self._law_table(subsets.SYNERGY_ESTIMATORS)

    @cached_property
    def scale_fits(self) -> pl.DataFrame:
        """Schema `SCALE_FITS`."""
        return self._law_table(scales.SCALE_FITS)

    @cached_property
    def scales(self) -> pl.DataFrame:
        """Losses of merges at several scales, schema `SCALE_LOSSES`, all sizes."""
        if self.study.scales is None:
            raise NotMadeError("the config has no `scales`")
        sizes = self.study.size_names
        return pl.concat(read_table(self._paths.scales(size), SCALE_LOSSES) for size in sizes)

    @cached_property
    def best_scales(self) -> pl.DataFrame:
        """Losses of merges at the best scales, schema `SCALE_LOSSES`, all sizes."""
        if self.study.scales is None:
            raise NotMadeError("the config has no `scales`")
        sizes = self.study.size_names
        return pl.concat(read_table(self._paths.best_scales(size), SCALE_LOSSES) for size in sizes)

    @cached_property
    def orders(self) -> pl.DataFrame:
        """Losses of one subset in several orders and under several mask seeds, all sizes."""
        if self.study.orders is None:
            raise NotMadeError("the config has no `orders`")
        sizes = self.study.size_names
        return pl.concat(read_table(self._paths.orders(size), LOSSES) for size in sizes)

    def _law_table(self, table: Table) -> pl.DataFrame:
        return read_table(self._paths.laws / table.file, table.schema)
