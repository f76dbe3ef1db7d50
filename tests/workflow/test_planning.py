"""The planner in the workflow: which edits of a finished study make it anew."""

import pytest

from tests.workflow.reruns import FINISHED
from tests.workflow.test_reruns import assert_exactly
from tests.workflow.workspace import CONFIG, Workspace, edited

PLANNER = "results/smoke/planning/planner.html"
OF_LAWS = {"curves": 1, "fits": 1, "analysis multitask": 1, "law_file": 1, "planner": 1}


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> Workspace:
    """The study of the cases, its planner recorded as made."""
    workspace = Workspace(tmp_path_factory.mktemp("planned"))
    workspace.pretend(FINISHED, PLANNER)
    done = workspace.snakemake(FINISHED, "--touch", "--forceall", "--cores", "2", PLANNER)
    assert done.returncode == 0, done.stderr[-4000:]
    return workspace


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({}, {}),
        ({"laws": {**CONFIG["laws"], "resamples": 50}}, OF_LAWS),
        ({"notes": ["another"]}, {"law_file": 1, "planner": 1}),
        ({"evaluation": {**CONFIG["evaluation"], "batch_tokens": 512}}, {}),
        ({"multitask": None}, {"law_file": 1, "planner": 1}),
    ],
    ids=["nothing", "laws", "notes", "batch_tokens", "no multitask baseline"],
)
def test_an_edit_makes_the_planner_anew_if_it_decides_it(planned, changes, runs):
    assert_exactly(planned.jobs(edited(FINISHED, **changes), PLANNER), runs)


def test_the_full_report_comes_with_the_planner(tmp_path):
    jobs = Workspace(tmp_path).jobs(FINISHED, "full")
    assert {"law_file", "planner"} <= set(jobs)
    assert not {"law_file", "planner"} & set(Workspace(tmp_path).jobs(FINISHED))
