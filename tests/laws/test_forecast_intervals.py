"""Intervals of the three-point forecast: of no width without noise, none where draws have none."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.forecast import three_point
from mergelaw.laws.analyses.forecast_intervals import (
    Spread,
    forecast_intervals,
    forecast_rows,
    predict,
)
from mergelaw.laws.curves import curves
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas.doubts import FORECAST_INTERVALS

KS = [1, 2, 4]
LAW = floor_tail(np.array(KS), 1.8, 0.3, 0.4)


def table_of(study, losses):
    rows = prepare(losses, study)
    return forecast_intervals(rows, subset_losses(rows), curves(rows, study), study)


def on_the_law(scale=0.0):
    """Return losses on the law exactly, or with noise of each subset and item."""

    def items(size, method, subset, domain, seed):
        noise = np.random.default_rng([7, *subset]).normal(scale=scale, size=2)
        return floor_tail(len(subset), 1.8, 0.3, 0.4) + noise if subset else [3.0, 3.0]

    return items


def test_draws_that_are_all_the_same_have_an_interval_of_no_width():
    rows = forecast_rows(KS, LAW.tolist(), Spread("text", np.tile(LAW, (5, 1)), 3), 9)
    predicted = floor_tail(np.arange(1, 10), 1.8, 0.3, 0.4)
    np.testing.assert_allclose([row["loss_predicted"] for row in rows], predicted)
    np.testing.assert_allclose([row["low"] for row in rows], predicted)
    np.testing.assert_allclose([row["high"] for row in rows], predicted)


def test_points_of_the_law_forecast_it_without_an_error(make_study, make_losses):
    study = make_study(n_experts=6, n_domains=1, sizes=("s0",), resamples=20)
    found = table_of(study, make_losses(study, on_the_law()))
    assert set(found["target"]) == {"experts", "text"}
    assert dict(found.schema) == FORECAST_INTERVALS.schema
    np.testing.assert_allclose(found["high"] - found["low"], 0, atol=1e-9)
    np.testing.assert_allclose(found["loss_predicted"], found["loss"], rtol=1e-9)


def test_at_the_three_k_the_interval_is_that_of_the_point():
    draws = LAW + np.random.default_rng(0).normal(scale=1e-3, size=(200, 3))
    rows = forecast_rows(KS, LAW.tolist(), Spread("pool", draws, np.inf), 9)
    for k, column in zip(KS, draws.T, strict=True):
        half = 1.959964 * column.std(ddof=1)
        assert rows[k - 1]["stderr"] == pytest.approx(column.std(ddof=1))
        assert rows[k - 1]["high"] - rows[k - 1]["loss_predicted"] == pytest.approx(half, rel=1e-5)


def test_new_experts_are_judged_by_the_forecasts_of_smaller_pools(make_study, make_losses):
    study = make_study(n_experts=6, n_domains=1, sizes=("s0",), resamples=20)
    losses = make_losses(study, on_the_law(0.01))
    found = table_of(study, losses).filter(target="experts", domain="d0", k=6).row(0, named=True)
    single = subset_losses(prepare(losses, study)).filter(domain="d0")
    values = []
    for left_out in range(6):
        kept = single.filter(~pl.col("subset").str.contains(f"e{left_out}"))
        points = [kept.filter(k=k)["loss"].mean() for k in KS]
        forecast = three_point(KS, points)
        values.append(float(floor_tail(6, forecast.floor, forecast.tail, forecast.offset)))
    stderr = np.sqrt(5 / 6 * np.sum((np.array(values) - np.mean(values)) ** 2))
    assert found["stderr"] == pytest.approx(stderr)
    half = student.ppf(0.975, 5) * stderr
    assert found["high"] - found["loss_predicted"] == pytest.approx(half)


def test_draws_without_a_forecast_leave_no_interval():
    """From 2.0, 1.9, 1.6 the drops grow with k: no floor."""
    assert np.isnan(predict(KS, np.array([[2.0, 1.9, 1.6]]), np.array([9]))).all()
    draws = np.vstack([np.tile(LAW, (96, 1)), np.tile([2.0, 1.9, 1.6], (4, 1))])
    rows = forecast_rows(KS, LAW.tolist(), Spread("text", draws, 50), 9)
    assert {(row["stderr"], row["low"], row["high"]) for row in rows} == {(None, None, None)}
    few = np.vstack([np.tile(LAW, (99, 1)), np.tile([2.0, 1.9, 1.6], (1, 1))])
    assert forecast_rows(KS, LAW.tolist(), Spread("text", few, 50), 9)[8]["low"] is not None
    assert forecast_rows(KS, [2.0, 1.9, 1.6], Spread("text", draws, 50), 9) == []


def test_one_smaller_pool_without_a_forecast_leaves_no_interval_for_experts():
    draws = np.vstack([np.tile(LAW, (49, 1)), [[2.0, 1.9, 1.6]]])
    rows = forecast_rows(KS, LAW.tolist(), Spread("experts", draws, 49, 50), 50)
    assert rows[8]["low"] is None


def test_sampled_subsets_give_a_pool_target_as_wide_as_their_errors(make_study, make_losses):
    study = make_study(n_experts=6, n_domains=1, sizes=("s0",), resamples=20)
    rows = prepare(make_losses(study, on_the_law()), study)
    points = curves(rows, study).with_columns(
        subset_se=pl.when(pl.col("k") == 2).then(0.001).otherwise(0.0)
    )
    losses = subset_losses(rows).filter(pl.col("subset") != "e0+e1")
    found = forecast_intervals(rows, losses, points, study)
    assert set(found["target"]) == {"pool", "text"}
    at_two = found.filter(target="pool", k=2, domain="d0")["stderr"][0]
    assert at_two == pytest.approx(0.001, rel=0.15)
    at_one = found.filter(target="pool", k=1, domain="d0")["stderr"][0]
    assert at_one == pytest.approx(0, abs=1e-9)


def test_errors_that_are_not_known_give_no_pool_target(make_study, make_losses):
    study = make_study(n_experts=6, n_domains=1, sizes=("s0",), resamples=20)
    rows = prepare(make_losses(study, on_the_law(0.01)), study)
    unknown = pl.when(pl.col("k") != 2).then(0.1)
    points = curves(rows, study).with_columns(subset_se=unknown)
    found = forecast_intervals(rows, subset_losses(rows), points, study)
    assert "pool" not in set(found["target"])


def test_curves_without_the_three_k_are_refused_with_the_reason(make_study, make_losses):
    study = make_study(n_experts=6, n_domains=1, sizes=("s0",), resamples=20)
    with pytest.raises(NotMadeError, match="k = 1, 2, 4"):
        table_of(study, make_losses(study, on_the_law(), ks=[0, 1, 2, 3]))
