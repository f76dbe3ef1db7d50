"""Forms of the variance: known truths come back, and a finite pool tells itself from 1/k."""

from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws import forms
from mergelaw.laws.analyses.variance_fits import variance_fits
from mergelaw.laws.analyses.variance_forms import FORMS, fit_form
from mergelaw.laws.schemas.subsets import VARIANCE_FITS
from tests.laws.curve_points import BILLIONS, curve

POOL = 9
K = np.arange(1.0, POOL)
X = 1 / K - 1 / POOL

TRUTHS = {
    "finite_pool": (2e-3 * X, {"v0": 2e-3}, 0),
    "finite_pool_seed": (2e-3 * X + 4e-5, {"v0": 2e-3, "v_seed": 4e-5}, 4e-5),
    "finite_pool_curved": (2e-3 * X - 8e-4 * X**2, {"v0": 2e-3, "v1": -8e-4}, 0),
    "finite_pool_offset": (
        2e-3 * (1 / (K + 0.7) - 1 / 9.7), {"v0": 2e-3, "offset": 0.7}, 0),
    "inverse_k": (2e-3 / K, {"v0": 2e-3}, 2e-3 / 9),
    "offset_k": (2e-3 / (K + 1.3), {"v0": 2e-3, "offset": 1.3}, 2e-3 / 10.3),
}  # fmt: skip


@pytest.fixture
def study(make_study):
    methods = [{"label": name, "method": name} for name in ("average", "dare")]
    return make_study(n_experts=POOL, methods=methods)


def curve_of(variance, **labels):
    """Return a curve whose subsets vary so: the variance has the divisor C, sd has C - 1."""
    n = [comb(POOL, int(k)) for k in K]
    sd = {int(k): float(np.sqrt(v * c / (c - 1))) for k, v, c in zip(K, variance, n, strict=True)}
    return curve(dict.fromkeys(range(1, POOL + 1), 2.0), sd=sd | {POOL: None}, **labels)


def subset_losses(loss, vectors):
    """Return the losses of the means of all subsets, by k."""
    return [
        np.array([loss(vectors[list(s)].mean(axis=0)) for s in combinations(range(POOL), int(k))])
        for k in K
    ]


def of_form(table, form):
    rows = table.filter(pl.col("form") == form)
    return dict(rows.select("parameter", "value").iter_rows()), rows.row(0, named=True)


@pytest.mark.parametrize("form", TRUTHS)
def test_each_form_finds_its_own_truth(study, form):
    variance, truth, at_pool = TRUTHS[form]
    table = variance_fits(curve_of(variance, method="dare"), study)
    assert table.schema == VARIANCE_FITS.schema
    values, row = of_form(table, form)
    assert values == pytest.approx(truth, rel=1e-5)
    assert row["at_pool"] == pytest.approx(at_pool, rel=1e-5, abs=1e-15)
    assert row["r2"] == pytest.approx(1, abs=1e-9)
    assert (row["n_points"], row["size"], row["at_bound"]) == (8, "s0", False)
    others = table.filter(pl.col("form") != form, pl.col("aicc").is_not_null())
    if row["aicc"] is not None:  # null: no residual at all
        assert row["aicc"] < others["aicc"].min()


def test_a_finite_pool_is_fitted_exactly_by_its_form_and_not_by_1_over_k(study):
    """All subsets of a pool, a loss linear in the merged weights: an identity."""
    draw = np.random.default_rng(3)
    vectors, slope = draw.normal(size=(POOL, 5)), draw.normal(size=5)
    variance = np.array([np.var(losses) for losses in subset_losses(slope.__matmul__, vectors)])
    table = variance_fits(curve_of(variance), study)
    values, row = of_form(table, "finite_pool")
    covariance = np.cov(vectors.T)  # divisor M - 1
    assert values["v0"] == pytest.approx(slope @ covariance @ slope, rel=1e-10)
    assert row["r2"] == pytest.approx(1, abs=1e-10)
    assert (row["aicc"], row["at_pool"]) == (None, 0)  # no residual; none at k = M
    for form in ("inverse_k", "offset_k"):
        _, other = of_form(table, form)
        assert other["r2"] < 0.99
        assert other["at_pool"] > 0.05 * variance[0]


def test_curvature_adds_a_square_of_the_finite_pools_share():
    """Cov(d, d^2) over all subsets, for the mean d of k of M centred numbers, is mu3-exact."""
    values = np.random.default_rng(1).exponential(size=POOL)
    values -= values.mean()
    means = subset_losses(float, values)
    third = np.mean(values**3)
    exact = third * POOL**2 * X * (X - 1 / POOL) / ((POOL - 1) * (POOL - 2))
    np.testing.assert_allclose([np.mean(d**3) for d in means], exact, atol=1e-14)
    design = np.column_stack([X, X**2])
    assert np.linalg.lstsq(design, exact, rcond=None)[1] == pytest.approx(0, abs=1e-28)


def test_a_curved_loss_needs_the_next_order(study):
    draw = np.random.default_rng(5)
    vectors = 1 + draw.exponential(size=(POOL, 4))
    losses = subset_losses(lambda step: -step.sum() + step @ step / 5, vectors)
    variance = np.array([np.var(of_k) for of_k in losses])
    table = variance_fits(curve_of(variance, method="dare"), study)
    r2 = {form: of_form(table, form)[1]["r2"] for form in FORMS}
    assert r2["finite_pool_curved"] > 0.999
    assert max(r2[form] for form in ("finite_pool", "inverse_k", "offset_k")) < 0.95


def test_coefficients_are_not_negative_and_say_when_they_are_0(study):
    faster = 2e-3 * X * (1 + X)  # falls faster than the finite pool
    table = variance_fits(curve_of(faster, method="dare"), study)
    seed = table.filter(form="finite_pool_seed", parameter="v_seed").row(0, named=True)
    assert (seed["value"], seed["at_bound"]) == (0, True)
    offset = table.filter(form="offset_k", parameter="offset").row(0, named=True)
    assert (offset["value"], offset["at_bound"]) == (0, True)
    curved = table.filter(form="finite_pool_curved", parameter="v1").row(0, named=True)
    assert (curved["value"], curved["at_bound"]) == (pytest.approx(2e-3), False)


def test_an_offset_that_runs_away_is_at_its_bound():
    fitted = fit_form(FORMS["offset_k"], K, np.ones_like(K), POOL)
    assert fitted.values["offset"] == 20
    assert fitted.at_bound == {"offset"}


def test_published_variances_follow_the_finite_pool():
    """Wang et al., chemistry, 0.5B, Average: var(1) = 0.0385, var(8) = 0.00108."""
    k, published = np.array([1.0, 8.0]), np.array([0.0385, 0.00108])
    ratios = {}
    for form in ("finite_pool", "inverse_k"):
        predicted = fit_form(FORMS[form], k, published, POOL).predicted
        ratios[form] = predicted[1] / predicted[0]
    assert ratios["finite_pool"] == pytest.approx(0.0156, abs=1e-4)
    assert ratios["inverse_k"] == pytest.approx(0.125)
    measured = published[1] / published[0]
    assert measured == pytest.approx(0.028, abs=1e-4)
    assert abs(measured - ratios["finite_pool"]) < abs(measured - ratios["inverse_k"]) / 7


def test_the_papers_joint_form_over_sizes(study):
    truth = (1e-5, 2e-4, 0.5, 3e-3, 0.3, 0.4)
    points = pl.concat(
        [curve_of(forms.joint(n, K, *truth), size=size) for size, n in BILLIONS.items()]
    )
    values, row = of_form(variance_fits(points, study), "joint")
    names = ("floor_limit", "size_scale", "size_exponent", "tail_scale", "tail_exponent", "offset")
    assert values == pytest.approx(dict(zip(names, truth, strict=True)), rel=1e-3)
    assert (row["size"], row["n_points"]) == (None, 32)
    assert row["at_pool"] == pytest.approx(float(forms.joint(8.0, 9, *truth)), rel=1e-5)


def test_two_sizes_or_a_variance_of_0_have_no_joint_fit(study):
    two = [curve_of(2e-3 * X, size=size) for size in ("s0", "s1")]
    zero = [curve_of(2e-3 * X * (K < 8), size=size) for size in BILLIONS]
    for parts in (two, zero):
        table = variance_fits(pl.concat(parts), study)
        assert "joint" not in set(table["form"])


def test_only_methods_that_draw_masks_have_a_variance_of_masks(study):
    curves = [curve_of(2e-3 * X + 4e-5, method=name) for name in ("average", "dare")]
    table = variance_fits(pl.concat(curves), study)
    forms_of = {name: set(table.filter(method=name)["form"]) for name in ("average", "dare")}
    assert forms_of["dare"] == set(FORMS)
    assert forms_of["average"] == set(FORMS) - {"finite_pool_seed"}


def test_losses_that_do_not_vary_have_no_r2(study):
    table = variance_fits(curve_of(0 * X, method="dare"), study)
    assert table["r2"].is_null().all()
    assert table["aicc"].is_null().all()
    assert table.filter(parameter="v0")["value"].to_list() == [0] * len(FORMS)


def test_curves_with_a_variance_at_fewer_than_three_k_are_left_out(study):
    single = curve_of(2e-3 * X, size="s1", n_subsets=dict.fromkeys(range(3, 10), 1))
    table = variance_fits(pl.concat([curve_of(2e-3 * X), single]), study)
    assert set(table["size"]) == {"s0"}
    with pytest.raises(NotMadeError, match="three k"):
        variance_fits(single, study)


def test_aicc_is_that_of_the_residuals_and_none_without_any(study):
    variance = 2e-3 / (K + 1.3)
    _, row = of_form(variance_fits(curve_of(variance), study), "inverse_k")
    v0 = (variance @ (1 / K)) / np.sum(1 / K**2)
    rss = np.sum((variance - v0 / K) ** 2)
    assert row["aicc"] == pytest.approx(8 * np.log(rss / 8) + 4 + 12 / 5)
    three = curve_of(variance, n_subsets=dict.fromkeys(range(4, 10), 1))
    assert of_form(variance_fits(three, study), "inverse_k")[1]["aicc"] is None  # n <= p + 2
    assert of_form(variance_fits(curve_of(2e-3 / K), study), "inverse_k")[1]["aicc"] is None
