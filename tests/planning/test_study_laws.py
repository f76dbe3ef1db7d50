"""A study's law file: its losses and errors are those of predictions.parquet; gains have theirs."""

import numpy as np
import polars as pl
import pytest

from mergelaw.laws import schemas
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.point_noise import Noise
from mergelaw.laws.prediction_errors import prediction_errors
from mergelaw.laws.stage import write_curves, write_fits
from mergelaw.laws.weighting import pose
from mergelaw.paths import StudyPaths
from mergelaw.planning.finding import find
from mergelaw.planning.plan import plan
from mergelaw.planning.stage import write_law_file
from mergelaw.tables import SHARDS, SHARDS_KEY, read_table, write_table
from tests.laws.conftest import losses_of, study_of

METHODS = ({"label": "avg", "method": "average"}, {"label": "dare", "method": "dare"})


def falling(s, m, subset, d, seed):
    spread = 0.05 * np.sin(5 * sum(subset) + d) / max(1, len(subset))
    return np.array([2.0, 2.4, 2.1]) * (1 + 1 / (s + 1)) + 1 / (len(subset) + 0.3) + spread


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A made-up study with its laws, and its law file."""
    study = study_of(5, 2, methods=METHODS)
    paths = StudyPaths(tmp_path_factory.mktemp("laws"))
    paths.losses.parent.mkdir(parents=True)
    losses_of(study, falling, n_tokens=(10, 30, 20)).write_parquet(paths.losses)
    for write in (write_curves, write_fits):
        write(study, paths)
    contents = pl.DataFrame([], schema=dict(SHARDS))
    write_table(paths.shard_contents, contents, SHARDS, SHARDS_KEY, {"text": "abc"})
    write_law_file(study, paths)
    return study, paths, find(str(paths.root)).file


def test_losses_and_errors_are_those_of_the_predictions(made):
    _, paths, file = made
    predictions = read_table(paths.laws / "predictions.parquet", schemas.PREDICTIONS.schema)
    points = read_table(paths.laws / "curves.parquet", schemas.CURVES.schema)
    n_curves = 0
    for law in file.laws:
        for curve in law.curves:
            own = {"method": law.method, "domain": law.domain, "size": curve.size}
            rows = predictions.filter(law="floor_tail", **own).sort("k")
            assert list(curve.loss) == rows["loss_predicted"].to_list()
            assert list(curve.stderr) == rows["stderr"].to_list()
            measured = points.filter(**own).filter(pl.col("k") > 0).sort("k")["loss"]
            assert list(curve.measured) == measured.to_list()
            assert len(curve.gain_stderr) == 4
            assert curve.floor_stderr > 0.9 * curve.stderr[-1]  # the text's error is in it
            n_curves += 1
    assert n_curves == 2 * 3 * 4


def test_the_file_tells_what_it_is_of(made):
    study, _, file = made
    assert (file.name, file.text, file.pool) == ("test-seed7", "abc", 5)
    assert tuple(size.name for size in file.sizes) == study.size_names
    assert all(size.costs is None for size in file.sizes)  # no job of it has run
    base = next(b for b in file.baselines if (b.size, b.domain) == ("s0", "d0"))
    assert base.base is not None
    assert base.expert is not None
    assert base.multitask is None
    assert {law.domain for law in file.laws} == {"macro", "d0", "d1"}
    assert all(law.joint is not None for law in file.laws)


def test_a_plan_of_the_study_has_the_predictions_interval_or_a_wider_one(made):
    """Degrees of freedom are the least of a curve's: intervals are never narrower."""
    _, paths, _ = made
    predictions = read_table(paths.laws / "predictions.parquet", schemas.PREDICTIONS.schema)
    found = plan(str(paths.root), method="avg", domain="d1", size="s2").laws[0].sizes[0]
    own = {"law": "floor_tail", "method": "avg", "domain": "d1", "size": "s2"}
    for point, row in zip(found.points, predictions.filter(**own).rows(named=True), strict=True):
        assert point.low <= row["low"] + 1e-12
        assert point.high >= row["high"] - 1e-12


def test_errors_of_gains_are_of_paired_losses():
    """Noise that moves the whole curve leaves gains as they are; other noise is that of A v."""
    k = np.arange(1.0, 8)
    values = {"floor": 2.0, "tail": 0.5, "offset": 0.0}
    problem = pose(FLOOR_TAIL, {"k": k}, FLOOR_TAIL.function(k, **values)).problem
    common = Noise(np.full((7, 7), 0.3**2), 20)
    found = prediction_errors(problem, values, [common], 0.0, {"k": k})
    np.testing.assert_allclose(found.stderr, 0.3)
    np.testing.assert_allclose(found.gain_stderr, 0, atol=1e-7)
    own = Noise(np.diag(0.01 * k) ** 2, 20)
    found = prediction_errors(problem, values, [common, own], 0.02, {"k": np.append(k, 9.0)})
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), found.stderr, rtol=1e-9)
    slope = np.column_stack([np.ones(7), 1 / k])
    follow = np.column_stack([np.ones(8), 1 / np.append(k, 9)]) @ np.linalg.pinv(slope)
    apart = follow - np.eye(8, 7)
    apart[7] = follow[7]
    spread = follow @ own.covariance @ follow.T + 0.02**2 * (apart @ apart.T)
    spread[7, 7] += 0.02**2  # nothing was measured there
    step = np.eye(7, 8) - np.eye(7, 8, 1)
    np.testing.assert_allclose(
        found.gain_stderr, np.sqrt(np.diag(step @ spread @ step.T)), rtol=1e-4
    )
