"""What analyses read, each table read once and only when it is asked for."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import NotMadeError
from mergelaw.laws import schemas
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import scales, subsets, training
from mergelaw.laws.schemas.table import Table
from mergelaw.paths import StudyPaths
from mergelaw.tables import (
    LOSSES,
    SCALE_LOSSES,
    SNAPSHOTS,
    TASK_VECTORS,
    TRAINING_LOG,
    Schema,
    read_table,
)


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
    def logs(self) -> pl.DataFrame:
        """Logs of all trainings, schema `TRAINING_LOG`, all sizes."""
        return self._all_sizes(self._paths.training_logs, TRAINING_LOG)

    @cached_property
    def snapshots(self) -> pl.DataFrame:
        """Losses of experts along their training, schema `SNAPSHOTS`, all sizes."""
        return self._all_sizes(self._paths.snapshot_losses, SNAPSHOTS)

    @cached_property
    def post_training(self) -> pl.DataFrame:
        """Schema `POST_TRAINING`."""
        return self._law_table(training.POST_TRAINING)

    @cached_property
    def multitask(self) -> pl.DataFrame:
        """Losses of the multitask baseline, schema `LOSSES`, all sizes of the ladder."""
        if self.study.multitask is None:
            raise NotMadeError("the config has no `multitask`")
        sizes = self.study.ladder
        return pl.concat(read_table(self._paths.multitask_losses(size), LOSSES) for size in sizes)

    @cached_property
    def training(self) -> pl.DataFrame:
        """Logs of the trainings under every setting, schema `TRAINING_LOG`, all sizes."""
        if not self.study.off_ladder:
            raise NotMadeError("the config has no `training.settings`")
        return self.logs

    @cached_property
    def task_vectors(self) -> pl.DataFrame:
        """Statistics of the pools' task vectors, schema `TASK_VECTORS`, all sizes."""
        return self._all_sizes(self._paths.task_vectors, TASK_VECTORS)

    @cached_property
    def orders(self) -> pl.DataFrame:
        """Losses of one subset in several orders and under several mask seeds, all sizes."""
        if self.study.orders is None:
            raise NotMadeError("the config has no `orders`")
        sizes = self.study.size_names
        return pl.concat(read_table(self._paths.orders(size), LOSSES) for size in sizes)

    def _all_sizes(self, place: Callable[[str], Path], schema: Schema) -> pl.DataFrame:
        return pl.concat(read_table(place(size), schema) for size in self.study.size_names)

    def _law_table(self, table: Table) -> pl.DataFrame:
        return read_table(self._paths.laws / table.file, table.schema)
