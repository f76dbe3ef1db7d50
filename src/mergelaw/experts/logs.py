"""The logs of a size's trainings as one table."""

from pathlib import Path

import polars as pl

from mergelaw.config import Study
from mergelaw.design import MULTITASK
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import TRAINING_LOG, TRAINING_LOG_KEY, read_table, write_table


def join_logs(study: Study, paths: StudyPaths, size: str) -> Path:
    """Write the logs of all experts that are trained at a size, and of the multitask baseline.

    Raises
    ------
    TableError
        If a log is missing or broken.
    """
    given = study.size(size).experts
    names = [name for name in study.expert_names if name not in given]
    if study.multitask is not None and size in study.ladder:
        names.append(MULTITASK)
    logs = [read_table(paths.training_log(size, name), TRAINING_LOG) for name in names]
    frame = pl.concat([pl.DataFrame(schema=dict(TRAINING_LOG)), *logs])
    origin = provenance(study, "experts", "training_logs", size=size)
    write_table(paths.training_logs(size), frame, TRAINING_LOG, TRAINING_LOG_KEY, origin)
    return paths.training_logs(size)
