"""The benchmark of forecast intervals, on a made-up study that follows the law."""

import polars as pl
import pytest

from benchmarks.plan_calibration import misses
from benchmarks.plan_forecast import measure, text
from mergelaw.laws.schemas import CURVES
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table
from tests.laws.conftest import losses_of, study_of
from tests.laws.curve_points import curve


@pytest.fixture
def folder(tmp_path):
    study = study_of(n_experts=9, n_domains=9, sizes=("s0",))
    paths = StudyPaths(tmp_path)
    paths.config.write_text(study.model_dump_json(by_alias=True), encoding="utf-8")
    losses = losses_of(study, lambda s, m, subset, d, seed: [_loss(subset)] * 2)
    truth = {k: 1.5 + 0.8 / (k + 0.2) for k in range(1, 10)}
    curves = pl.concat(curve(truth, domain=name) for name in ("d0", "macro"))
    write_table(paths.losses, losses, LOSSES, LOSSES_KEY, {})
    write_table(paths.laws / CURVES.file, CURVES.of(curves), CURVES.schema, CURVES.key, {})
    return tmp_path


def _loss(subset):
    k = len(subset)
    lean = sum(subset) / k - 4 if k else 0.0  # the mean over all subsets is 0
    return 1.5 + 0.8 / (k + 0.2) + 0.01 * lean


def test_a_true_law_is_held_at_every_k(folder):
    figures = measure([folder])
    exact = figures["workloads"]["k = 1, 2, 4 and 1, 3, 6, all subsets in"]
    assert figures["not_identified"] == {}
    assert exact["all"]["all"]["forecasts"] == 2 * (5 + 4)  # k = 5 to 9, and 6 was measured
    assert exact["all"]["all"]["coverage"] == 1
    assert exact["all"]["all"]["median_error"] == pytest.approx(0, abs=1e-9)
    sampled = figures["workloads"]["k = 1, 2, 4 and 1, 3, 6, 12 random subsets of each"]
    assert sampled["all"]["all"]["median_error"] > 0
    assert "| method average | 18 | 100.0% |" in text(figures)


def test_a_true_law_misses_nothing(folder):
    assert all(abs(one.errors).max() < 1e-6 for one in misses(folder))
