"""Smaller pools: their fits, their reachable losses, k90."""

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.pools import fit_curves, pools
from mergelaw.laws.curves import over_subsets
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas.doubts import POOLS


def made(make_study, make_losses, make_quadratic, drop=None, ks=None):
    study = make_study(n_experts=5, n_domains=1, sizes=("s0",))
    pool = make_quadratic(5, 2, seed=3)
    losses = make_losses(study, lambda s, m, subset, d, seed: pool(subset), ks=ks)
    rows = prepare(losses.filter(pl.col("subset") != (drop or "")), study)
    return study, subset_losses(rows)


def test_every_pool_of_all_of_one_and_of_two_fewer_has_a_row(
    make_study, make_losses, make_quadratic
):
    study, losses = made(make_study, make_losses, make_quadratic)
    found = pools(losses, study)
    assert dict(found.schema) == POOLS.schema
    counts = dict(found.filter(domain="d0").group_by("n_experts").len().iter_rows())
    assert counts == {5: 1, 4: 5, 3: 10}
    assert found.filter(n_experts=5)["left_out"].unique().to_list() == ["none"]


def test_a_pool_is_fitted_as_if_the_others_had_never_been(make_study, make_losses, make_quadratic):
    study, losses = made(make_study, make_losses, make_quadratic)
    row = pools(losses, study).filter(left_out="e1", domain="d0").row(0, named=True)
    without = losses.filter(pl.col("k") > 0, ~pl.col("subset").str.contains("e1"), domain="d0")
    points = over_subsets(without, 4).sort("k")
    expected = fit(FLOOR_TAIL, {"k": points["k"].to_numpy()}, points["loss"].to_numpy())
    for name, value in expected.values.items():
        assert row[name] == pytest.approx(value, abs=1e-5)
    assert row["r2"] == pytest.approx(expected.r2)
    assert row["loss_pool"] == without.filter(k=4)["loss"].item()


def test_averages_in_a_bowl_put_the_floor_a_share_of_the_tail_below_the_pool(
    make_study, make_losses, make_quadratic
):
    """Spec A13a: L(M) = floor + tail/M with offset 0, in every pool."""
    study, losses = made(make_study, make_losses, make_quadratic)
    found = pools(losses, study)
    reach = found["floor"] + found["tail"] / found["n_experts"]
    np.testing.assert_allclose(found["loss_pool"], reach, rtol=1e-6)
    np.testing.assert_allclose(found["r2"], 1)


def test_k90_is_of_the_measured_return_of_the_small_pool(make_study, make_losses, make_quadratic):
    """On floor + tail/k: R(k) = (1 - 1/k)/(1 - 1/M), which reaches 90% at k = M - 1 for M <= 5."""
    study, losses = made(make_study, make_losses, make_quadratic)
    found = pools(losses, study)
    assert set(found.filter(n_experts=5)["k90"]) == {4}  # R(3) = 83%, R(4) = 94%
    assert set(found.filter(n_experts=4)["k90"]) == {4}  # R(3) = 89%
    assert set(found.filter(n_experts=3)["k90"]) == {3}  # R(2) = 75%


def test_sampled_subsets_have_no_smaller_pools(make_study, make_losses, make_quadratic):
    study, losses = made(make_study, make_losses, make_quadratic, drop="e0+e1")
    with pytest.raises(NotMadeError, match="all the subsets"):
        pools(losses, study)


def test_a_pool_that_was_never_merged_whole_has_no_reachable_loss(
    make_study, make_losses, make_quadratic
):
    study, losses = made(make_study, make_losses, make_quadratic, ks=[0, 1, 2, 3])
    found = pools(losses, study)
    unknown = found.filter(pl.col("n_experts") > 3)
    assert unknown["loss_pool"].null_count() == unknown["k90"].null_count() == unknown.height
    assert unknown["floor"].null_count() == 0
    assert found.filter(n_experts=3)["loss_pool"].null_count() == 0


def test_two_k_are_too_few_for_the_law_of_a_pool():
    fitted = fit_curves(np.array([1, 2]), np.array([[2.0, 1.5]]))
    assert np.isnan(fitted.parameters).all()
    assert np.isnan(fitted.r2).all()
