"""A balanced study's losses are those rows of the exhaustive one, bit for bit."""

import polars as pl
import pytest

from mergelaw.design import subsets
from mergelaw.paths import StudyPaths
from mergelaw.sweep.chunk import run_chunk
from mergelaw.tables import LOSSES, read_table
from tests.helpers import run_data, run_experts, study_of

NAMES = ("algebra", "biology", "code", "physics")
POOL = [{"name": name, "domain": name} for name in NAMES]
DOMAINS = [
    {"name": name, "source": {"kind": "procedural", "generator": name, "items": 60}}
    for name in NAMES
]


def losses(study, paths):
    """Score the first chunk of DARE, whose masks are random, and of the average."""
    for method in ("average", "dare"):
        run_chunk(study, paths, "small", method, 0)
        yield read_table(paths.chunk("small", method, 0), LOSSES)


@pytest.fixture
def studies():
    shared = (("domains", DOMAINS), ("experts", POOL), ("sizes.1", None))
    few = [{"kind": "balanced", "merges": 11}]
    return (
        study_of(*shared, ("design", [{"kind": "exhaustive"}])),
        study_of(*shared, ("design", few), ("name", "few")),
    )


def test_the_losses_of_a_balanced_study_are_rows_of_the_exhaustive_one(studies, tmp_path):
    every, few = studies
    tables = []
    for study in studies:
        paths = StudyPaths(tmp_path / study.name)
        run_data(study, paths)
        run_experts(study, paths)
        tables.append(pl.concat(losses(study, paths)))
    whole, part = tables
    names = {subset.name for subset in subsets(few, "small")}
    assert len(names) == 12 < len(set(subsets(every, "small")))
    key = ["method", "subset", "domain"]
    assert part.sort(key).equals(whole.filter(pl.col("subset").is_in(names)).sort(key))
