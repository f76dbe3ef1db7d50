"""Partial runs: exactly which jobs a target or an edit runs, by dry runs; all others stay."""

from collections.abc import Iterable, Mapping

import pytest

from tests.workflow.reruns import EDITS, FINISHED, JOBS, TARGETS, matching
from tests.workflow.workspace import Workspace, edited


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The study of the cases, recorded as finished."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    workspace.finish(FINISHED)
    return workspace


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same with nothing made."""
    return Workspace(tmp_path_factory.mktemp("fresh"))


def assert_exactly(jobs: Iterable[str], runs: Mapping[str, int]) -> None:
    """Every job is one of a pattern's, and each pattern has as many as it says."""
    jobs = list(jobs)
    assert {pattern: len(matching(jobs, pattern)) for pattern in runs} == dict(runs)
    expected = {job for pattern in runs for job in matching(jobs, pattern)}
    assert set(jobs) - expected == set()


def test_the_whole_study_has_the_jobs_that_the_cases_leave_out(fresh):
    assert fresh.jobs(FINISHED) == JOBS


def test_a_finished_study_runs_nothing(finished):
    assert finished.jobs(FINISHED) == []


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_runs_what_it_needs(fresh, name):
    case = TARGETS[name]
    assert_exactly(fresh.jobs(FINISHED, *case.arguments), case.runs)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_what_it_decides(finished, name):
    case = EDITS[name]
    jobs = finished.jobs(edited(FINISHED, **case.changes), *case.arguments)
    assert_exactly(jobs, case.runs)
