"""What a study will do, told from its config alone: the subset list and the number of merges."""

from pathlib import Path
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.design import chunks
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import SUBSETS, SUBSETS_KEY, write_table


def write_subsets(study: Study, paths: StudyPaths) -> Path:
    """Write the subset list of all sizes."""
    rows = [
        {
            "size": size,
            "subset": subset.name,
            "k": subset.k,
            "experts": list(subset.experts),
            "chunk": chunk.index,
        }
        for size in study.size_names
        for chunk in chunks(study, size)
        for subset in chunk.subsets
    ]
    frame = pl.DataFrame(rows, schema=dict(SUBSETS))
    write_table(paths.subsets, frame, SUBSETS, SUBSETS_KEY, provenance(study, "design", "design"))
    return paths.subsets


def study_counts(study: Study) -> dict[str, Any]:
    """Return the number of merges (the base counts as none) and chunks, by size and in all."""
    methods = len(study.methods)
    sizes = [
        {
            "size": size,
            "merges": methods * (sum(len(c.subsets) for c in chunks(study, size)) - 1),
            "chunks": methods * len(chunks(study, size)),
        }
        for size in study.size_names
    ]
    return {
        "study": study.name,
        "sizes": sizes,
        "merges": sum(row["merges"] for row in sizes),
        "chunks": sum(row["chunks"] for row in sizes),
    }
