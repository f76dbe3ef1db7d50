"""One job of the sweep: subsets of one size and method, merged and scored on all domains."""

from pathlib import Path

from mergelaw.config import Study
from mergelaw.design import chunks
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.sweep.scoring import Job, run_job
from mergelaw.variants import Series


def run_chunk(study: Study, paths: StudyPaths, size: str, method: str, index: int) -> Path:
    """Merge and score the subsets of one chunk; write one row per subset and domain.

    A job that was killed goes on from the subsets that it had scored.

    Parameters
    ----------
    size, method : str
        Name of the size, label of the method.
    index : int
        Index of the chunk in the design.

    Returns
    -------
    Path
        The table (columns of `mergelaw.tables.LOSSES`).

    Raises
    ------
    CheckpointError
        If experts do not match the base, or a loss is not finite.
    DataError
        If the study's text was prepared with another tokenizer, or does not fit the model.
    """
    entry, subsets = study.method(method), chunks(study, size)[index].subsets
    targets = {"size": size, "method": method, "chunk": index}
    series = [Series(entry, subsets, seed, study.accumulate) for seed in study.mask_seeds_of(entry)]
    origin = provenance(study, "sweep", "chunk", **targets)
    return run_job(
        study, paths, Job(size, series, paths.chunk(size, method, index), origin, targets)
    )
