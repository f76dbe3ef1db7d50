"""What the theory stage's jobs read, looked for at once: all that is missing, and what makes it."""

from collections.abc import Iterable
from pathlib import Path

from mergelaw.config import Study
from mergelaw.design import BASE
from mergelaw.errors import DataError, TableError, listing
from mergelaw.hub import is_hub_name
from mergelaw.laws.schemas import CURVES, FITS, PREDICTIONS
from mergelaw.laws.schemas.scales import SCALE_CURVES, SCALE_FITS
from mergelaw.paths import StudyPaths, checkpoint_ref

Needed = Iterable[tuple[Path, str]]
"""Files and folders, each with what makes it."""

ALL = "snakemake full --configfile FILE makes all that is missing, in order"


def require_models_and_text(study: Study, paths: StudyPaths, size: str) -> None:
    """Look for the checkpoints of a size's pool and for the evaluation text.

    Raises
    ------
    DataError
        With every one that is not there, and the command that makes it.
    """
    refs = {n: checkpoint_ref(study, paths, size, n) for n in (BASE, *study.expert_names)}
    models = [
        (Path(ref), f"mergelaw experts {'base' if name == BASE else 'expert'} --config FILE")
        for name, ref in refs.items()
        if not is_hub_name(ref)
    ]
    made = "mergelaw data shards --config FILE"
    shards = [(paths.shard(name), made) for name in study.domain_names]
    problems = _missing([*models, *shards])
    if problems:
        raise DataError(listing(f"theory of size {size!r} ({ALL})", problems))


def require_tables(study: Study, paths: StudyPaths) -> None:
    """Look for the tables that predictions are made from and compared with.

    Raises
    ------
    TableError
        With every one that is not there, and the command that makes it.
    """
    of_laws = [(CURVES, "curves"), (FITS, "fits"), (PREDICTIONS, "fits")]
    if study.scales:
        of_laws += [(SCALE_CURVES, "analysis"), (SCALE_FITS, "analysis")]
    files = [(paths.losses, "mergelaw sweep collect --config FILE")]
    files += [
        (paths.laws / table.file, f"mergelaw laws {command} --config FILE")
        for table, command in of_laws
    ]
    for size in study.size_names:
        files += [(paths.task_vectors(size), "mergelaw merge-cell statistics --config FILE")]
        made = "mergelaw theory derivatives --config FILE"
        files += [(paths.derivatives(size), made), (paths.updates(size), made)]
    problems = _missing(files)
    if problems:
        raise TableError(listing(f"predictions ({ALL})", problems))


def _missing(needed: Needed) -> list[str]:
    return [f"{path}: is missing; make it ({made})" for path, made in needed if not path.exists()]
