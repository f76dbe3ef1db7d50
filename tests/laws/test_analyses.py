"""Forecasts, held-out checks, variances, returns, gaps, synergies: curves with known answers."""

from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergelaw.laws import forms
from mergelaw.laws.analyses.forecast import forecasts, three_point
from mergelaw.laws.analyses.gaps import gaps
from mergelaw.laws.analyses.heldout import heldout
from mergelaw.laws.analyses.returns import measured_return, returns
from mergelaw.laws.analyses.synergy import synergy
from mergelaw.laws.analyses.variance import variances
from mergelaw.laws.curves import curves
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import CURVES

AVERAGE = {"label": "avg", "method": "average"}
TIES = {"label": "ties", "method": "ties"}
TRUTH = (0.6, 0.4, 0.3, 0.5, 0.1, 0.4)


def points_of(loss, sizes=(1.0, 2.0, 4.0, 8.0), ks=range(1, 10), pool=9, method="avg"):
    """Return curves with loss(N, k) for one method and domain."""
    rows = [
        {"size": f"s{i}", "n_params_billions": n, "method": method, "domain": "d0", "k": k,
         "n_subsets": comb(pool, k), "n_subsets_pool": comb(pool, k), "n_mask_seeds": 1,
         "loss": float(loss(n, k)), "sd": 0.1 / k if k < pool else None, "subset_se": 0.0}
        for i, n in enumerate(sizes) for k in ks
    ]  # fmt: skip
    return CURVES.frame(rows)


def law(n, k):
    return forms.joint(n, k, *TRUTH)


@given(st.floats(0.05, 5), st.floats(0.05, 5), st.floats(0, 10))
def test_three_points_give_the_law_back(floor, tail, offset):
    curve = forms.floor_tail(np.arange(1, 10), floor, tail, offset)
    found = three_point((1, 2, 4), [curve[0], curve[1], curve[3]])
    if found.case == "zero_offset":  # an offset of 0, rounded to the other side
        assert offset < 1e-9
    back = forms.floor_tail(np.arange(1, 10), found.floor, found.tail, found.offset)
    np.testing.assert_allclose(back, curve, rtol=1e-10)


def test_three_points_are_exact():
    ks = (1, 2, 4)
    found = three_point(ks, forms.floor_tail(np.array(ks), 0.7, 0.9, 0.5).tolist())
    assert found.case == "free_offset"
    assert found.ratio == pytest.approx((4 + 0.5) / (2 * (1 + 0.5)), abs=1e-12)
    assert (found.floor, found.tail, found.offset) == pytest.approx((0.7, 0.9, 0.5), abs=1e-12)


@pytest.mark.parametrize("ks", [(1, 3, 6), (2, 4, 9), (1, 2, 3)])
def test_other_triples_are_exact_too(ks):
    found = three_point(ks, forms.floor_tail(np.array(ks), 0.7, 0.9, 1.5).tolist())
    assert (found.floor, found.tail, found.offset) == pytest.approx((0.7, 0.9, 1.5), abs=1e-11)


def test_steep_curves_get_offset_zero_and_least_squares():
    losses = [2.0, 1.4, 1.2]  # r = 3 > 2
    found = three_point((1, 2, 4), losses)
    design = np.array([[1, 1], [1, 0.5], [1, 0.25]])
    floor, tail = np.linalg.lstsq(design, np.array(losses), rcond=None)[0]
    assert (found.case, found.offset) == ("zero_offset", 0.0)
    assert (found.floor, found.tail) == pytest.approx((floor, tail))


@pytest.mark.parametrize(
    "losses",
    [
        (2.0, 1.9, 1.7),  # r = 0.5: a straight line
        (2.0, 1.95, 1.7),
        (1.0, 1.1, 1.2),  # rises
        (1.0, 2.0, 2.5),  # rises with r = 2: the formula would give a negative tail
        (2.0, 1.0, 1.5),
        (2.0, 1.0, 1.0),
    ],
)
def test_no_curvature_is_not_identified(losses):
    found = three_point((1, 2, 4), losses)
    assert found.case == "not_identified"
    assert (found.floor, found.tail, found.offset) == (None, None, None)


def test_forecast_table(make_study):
    study = make_study(9, 1)
    table = forecasts(points_of(law, ks=(1, 2, 4, 9)), study)
    assert table.height == 4 * 9
    assert table["points"].unique().to_list() == ["1,2,4"]
    assert set(table["case"]) == {"free_offset"}
    assert table.filter(pl.col("loss").is_not_null())["k"].unique().sort().to_list() == [1, 2, 4, 9]
    np.testing.assert_allclose(table["offset"], 0.4, atol=1e-11)
    assert table["relative_error"].abs().max() < 1e-12
    assert forecasts(points_of(law, ks=(1, 2, 5)), study).is_empty()
    flat = forecasts(points_of(lambda n, k: 1 + k), study)
    assert flat["loss_predicted"].null_count() == flat.height


def test_heldout_predictions_of_the_true_law_are_exact(make_study):
    table = heldout(points_of(law, sizes=(1, 2, 4, 8, 16)), make_study(9, 1))
    count = table.group_by("law", "left_out").len().sort("law", "left_out").rows()
    assert count == [
        ("floor_tail", "k_ge_6", 20),
        ("joint", "k_ge_6", 20),
        ("joint", "largest_size", 9),
    ]
    assert table["relative_error"].abs().max() < 1e-8
    assert set(table.filter(pl.col("left_out") == "largest_size")["size"]) == {"s4"}
    assert table.filter(pl.col("left_out") == "k_ge_6")["k"].min() == 6


def test_heldout_fits_do_not_see_what_they_predict(make_study):
    def broken(n, k):
        return law(n, k) + 0.3 * (n == 8) + 0.2 * (k >= 6)

    table = heldout(points_of(broken), make_study(9, 1))
    size = table.filter((pl.col("left_out") == "largest_size") & (pl.col("k") < 6))
    assert (size["relative_error"] < -0.15).all()
    k = table.filter((pl.col("left_out") == "k_ge_6") & (pl.col("law") == "floor_tail"))
    expected = pl.Series([-0.2 / broken(n, k) for n in (1, 2, 4, 8) for k in range(6, 10)])
    np.testing.assert_allclose(k["relative_error"], expected, atol=1e-8)


def test_heldout_needs_enough_that_is_seen(make_study):
    study = make_study(9, 1)
    assert set(heldout(points_of(law, sizes=(1, 2, 4)), study)["left_out"]) == {"k_ge_6"}
    assert (
        heldout(points_of(law, ks=(6, 7, 8)), study)
        .filter(pl.col("left_out") == "k_ge_6")
        .is_empty()
    )
    assert heldout(points_of(law, sizes=(1.0,), ks=(1, 2, 3)), study).is_empty()


def test_linear_losses_follow_the_finite_pool_variance(make_study, make_losses):
    """L = mean of per-expert effects: Var = S^2 (1/k - 1/M) exactly (S^2 with divisor M - 1)."""
    study = make_study(6, 1, ("s0",), (AVERAGE,))
    effects = np.array([0.1, 0.5, 0.2, 0.9, 0.4, 0.0])
    table = make_losses(
        study,
        lambda s, m, subset, d, seed: [2 + (effects[list(subset)].mean() if subset else 1)] * 2,
    )
    found = variances(curves(prepare(table, study), study), study).filter(pl.col("domain") == "d0")
    assert found["k"].to_list() == [1, 2, 3, 4, 5]
    share = 1 / np.arange(1, 6) - 1 / 6
    np.testing.assert_allclose(found["variance"], effects.var(ddof=1) * share, rtol=1e-10)
    np.testing.assert_allclose(found["v0"], effects.var(ddof=1), rtol=1e-10)
    np.testing.assert_allclose(found["variance_fitted"], found["variance"], rtol=1e-10)


def test_quadratic_pool_has_nearly_the_finite_pool_variance(
    make_study, make_losses, make_quadratic
):
    study = make_study(8, 1, ("s0",), (AVERAGE,))
    losses = make_quadratic(8, 2, spread=0.05)  # the law is the leading order in the spread
    table = make_losses(study, lambda s, m, subset, d, seed: losses(subset))
    found = variances(curves(prepare(table, study), study), study)
    variance = found.filter(pl.col("domain") == "d0")["variance"]
    share = 1 / np.arange(1, 8) - 1 / 8
    np.testing.assert_allclose(variance / variance[0], share / share[0], rtol=0.1)
    assert variance[6] / variance[0] < 0.2 / 7  # far below the 1/k of the paper


def test_returns_of_the_law(make_study):
    table = returns(points_of(law), make_study(9, 1))
    np.testing.assert_allclose(
        table["return"][:9], forms.fractional_return(np.arange(1, 10), 0.4, 9)
    )
    assert set(table["k85"]) == {5}
    assert set(table["k90"]) == {6}
    zero = returns(points_of(lambda n, k: 1 + 1 / k), make_study(9, 1))
    assert set(zero["k90"]) == {5}  # R(5) = 0.9 exactly


def test_returns_use_the_running_minimum(make_study):
    np.testing.assert_allclose(measured_return(np.array([3, 1, 2, 0.0])), [0, 2 / 3, 2 / 3, 1])
    rising = returns(points_of(lambda n, k: 1 + k), make_study(9, 1))
    assert rising.height == 36
    assert rising["return"].null_count() == rising["k85"].null_count() == 36
    assert returns(points_of(law, ks=range(1, 9)), make_study(9, 1)).is_empty()


def test_gaps_are_relative_to_average(make_study):
    study = make_study(9, 1, methods=(TIES, AVERAGE))
    both = pl.concat(
        [points_of(law), points_of(lambda n, k: 0.98 * law(n, k), method="ties", ks=(2, 3))]
    )
    table = gaps(both, study)
    assert set(table["reference"]) == {"avg"}
    ties = table.filter(pl.col("method") == "ties")
    assert ties["k"].to_list() == [2, 3] * 4
    np.testing.assert_allclose(ties["gap_percent"], -2, atol=1e-12)
    assert table.filter(pl.col("method") == "avg")["gap_percent"].abs().max() == 0
    assert make_study(2, 1, methods=(TIES,)).reference_label == "ties"


def test_synergy_of_an_additive_loss(make_study, make_losses):
    study = make_study(5, 2, ("s0", "s1"), (AVERAGE,))
    effects = np.random.default_rng(0).normal(size=(2, 5))
    table = make_losses(
        study, lambda s, m, subset, d, seed: [9 - (s + 1) * effects[d, list(subset)].sum()] * 2
    )
    found = synergy(subset_losses(prepare(table, study)), study)
    assert found.height == 2 * 5 * 3
    for s in range(2):
        for d, receiver in enumerate(["d0", "d1", "macro"]):
            expected = (s + 1) * (effects[d] if d < 2 else effects.mean(axis=0))
            mine = found.filter((pl.col("size") == f"s{s}") & (pl.col("receiver") == receiver))
            assert mine["donor"].to_list() == [f"e{i}" for i in range(5)]
            np.testing.assert_allclose(mine["gain"], expected, atol=1e-12)
            assert mine["n_pairs"].to_list() == [15] * 5  # subsets of the other 4, not the empty
            assert mine["n_k"].to_list() == [4] * 5


def test_synergy_weighs_k_equally(make_study, make_losses):
    study = make_study(4, 1, ("s0",), (AVERAGE,))
    table = make_losses(study, lambda s, m, subset, d, seed: [9 - len(subset) ** 2] * 2)
    found = synergy(subset_losses(prepare(table, study)), study)
    np.testing.assert_allclose(found["gain"], np.mean([3, 5, 7]))  # pairs: 3, 3 and 1 of them


def test_synergy_without_pairs_is_null(make_study, make_losses):
    study = make_study(4, 1, ("s0",), (AVERAGE,))
    table = make_losses(study, lambda *cell: [2.0, 2.0], ks=(1, 3))
    found = synergy(subset_losses(prepare(table, study)), study)
    assert found["gain"].null_count() == found.height == 8
    assert found["n_pairs"].sum() == 0
