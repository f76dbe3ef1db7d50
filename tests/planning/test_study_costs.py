"""Hours of a study's sizes, from records of its jobs as they are kept."""

import json

import pytest

from mergelaw.config import read_study
from mergelaw.jobs.record import cost_path
from mergelaw.jobs.recording import recorded
from mergelaw.paths import StudyPaths
from mergelaw.planning.study_costs import serving_hours, study_costs
from mergelaw.provenance import fingerprint
from tests.workflow.workspace import ROOT

GPU = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def study(tmp_path):
    """The smoke study and a tree of its own, without results."""
    return read_study(ROOT / "config" / "smoke.yaml"), StudyPaths(tmp_path)


def finish(study, paths, rule, hours, *, wall=3600.0, **cost):
    """Record a job as done, and what it cost."""
    targets = {
        name: cost.pop(name) for name in ("size", "expert", "method", "chunk") if name in cost
    }
    with recorded(study, paths, rule, **targets):
        pass
    stage = "sweep" if rule == "chunk" else "experts"
    given = {"wall_seconds": wall, "device_hours": hours, "device": GPU, "stage": stage, **cost}
    given |= {"slice": fingerprint(study, stage, rule, **targets), "n_tokens": 1}
    path = cost_path(paths, rule, {name: str(value) for name, value in targets.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(given))


def test_nothing_is_known_before_a_job_has_run(study):
    assert study_costs(*study, {"w16": 1.0}) == {}


def test_hours_are_means_over_jobs_and_merges(study):
    for expert, hours in (("algebra", 2.0), ("physics", 4.0)):
        finish(*study, "expert", {GPU: hours}, size="w16", expert=expert)
    finish(*study, "multitask", {GPU: 9.0}, size="w16")
    chunk = {"n_merges": 10, "merge_seconds": 36.0, "score_seconds": 360.0}
    finish(*study, "chunk", {GPU: 2.0}, size="w16", method="ties", chunk=0, **chunk)
    found = study_costs(*study, {"w16": 0.5})
    assert found.keys() == {"w16"}
    costs = found["w16"]
    assert (costs.device, costs.train_expert, costs.train_multitask) == ("H100", 3.0, 9.0)
    assert costs.merge_by_method == pytest.approx({"ties": 2 * 3.6 / 3600})  # two devices
    assert costs.evaluate == pytest.approx(2 * 36 / 3600)
    flops = 2 * 0.5e9 * 1e9
    assert costs.serve_per_billion_tokens == pytest.approx(flops / (0.4 * 66.9e12) / 3600)


def test_jobs_that_the_laws_do_not_wait_for_do_not_count(study):
    finish(*study, "base", {GPU: 50.0}, size="w16")
    assert study_costs(*study, {"w16": 1.0}) == {}


def test_jobs_of_another_config_do_not_count(study):
    config, paths = study
    finish(config, paths, "expert", {GPU: 2.0}, size="w16", expert="algebra")
    other = config.model_copy(update={"seed": 5})
    assert study_costs(other, paths, {"w16": 1.0}) == {}


def test_serving_is_two_n_flops_a_token():
    from mergelaw.costs.devices import DEVICES

    assert serving_hours(7.0, DEVICES["H100"], "bfloat16", 0.5) == pytest.approx(
        2 * 7e9 * 1e9 / (0.5 * 989.4e12) / 3600
    )
