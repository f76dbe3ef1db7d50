"""The job that writes what derivatives predict of a whole study; it reads tables alone."""

import hashlib
import json
from pathlib import Path

from mergelaw.config import Study
from mergelaw.laws.schemas import theory as schemas
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import write_table
from mergelaw.theory.curve_rows import curve_table
from mergelaw.theory.law_rows import law_table, term_table
from mergelaw.theory.needed import require_tables
from mergelaw.theory.refusals import refusals
from mergelaw.theory.study_facts import StudyFacts
from mergelaw.theory.subset_rows import ranked_cases, ranking_table, subset_table, synergy_table


def write_predictions(study: Study, paths: StudyPaths) -> Path:
    """Write the tables of predictions: curves, laws, subsets, rankings, terms and synergy.

    What is not predicted, and why, stands in each table's provenance under `notes`.

    Returns
    -------
    Path
        The predicted curves.

    Raises
    ------
    TableError
        If a table that it reads is missing, broken or not the study's.
    FitError
        If derivatives are not finite.
    """
    require_tables(study, paths)
    facts = StudyFacts(study, paths)
    ranked = list(ranked_cases(facts))
    tables = (
        (schemas.PREDICTED_CURVES, curve_table(facts)),
        (schemas.PREDICTED_LAWS, law_table(facts)),
        (schemas.PREDICTED_SUBSETS, subset_table(ranked)),
        (schemas.RANKINGS, ranking_table(ranked)),
        (schemas.TERMS, term_table(facts)),
        (schemas.CROSS_CURVATURE, synergy_table(ranked)),
    )
    notes, origin = refusals(facts), _origin(study, paths)
    for note in notes:
        print(f"note: {note}")
    if notes:
        origin |= {"notes": json.dumps(notes)}
    for table, frame in tables:
        path = paths.theory_table(table.file.removesuffix(".parquet"))
        write_table(path, frame, table.schema, table.key, origin)
    return paths.theory_table(schemas.PREDICTED_CURVES.file.removesuffix(".parquet"))


def _origin(study: Study, paths: StudyPaths) -> dict[str, str]:
    """Return the job's provenance with a digest of the derivatives and losses that it read."""
    content = hashlib.sha256(paths.losses.read_bytes())
    for size in study.size_names:
        for path in (paths.derivatives(size), paths.updates(size)):
            content.update(path.read_bytes())
    return provenance(study, "theory", "predictions") | {"data_hash": content.hexdigest()[:16]}
