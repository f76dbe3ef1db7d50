"""Dispersion over subsets: the paper's law on its grid, beside the finite pool's."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.dispersion import OFFSETS, dispersion, fit_dispersion
from mergelaw.laws.analyses.variance import variances
from mergelaw.laws.schemas.subsets import DISPERSION
from tests.laws.curve_points import curve

K = np.arange(1, 9)


@pytest.fixture
def study(make_study):
    return make_study(n_experts=9)


def curve_with(sd, **columns):
    losses = dict.fromkeys(range(1, 10), 2.0)
    sds = dict(zip(range(1, 9), sd, strict=False)) | {9: None}
    return curve(losses, sd=sds, **columns)


@pytest.mark.parametrize("offset", [0.0, 0.37, 2.0])
def test_the_papers_law_is_recovered_within_its_range_of_offsets(study, offset):
    points = curve_with(-0.01 + 0.2 / (K + offset))
    table = dispersion(points, variances(points, study), study)
    assert table.schema == DISPERSION.schema
    row = table.row(0, named=True)
    assert (row["c0"], row["c1"], row["offset"]) == pytest.approx((-0.01, 0.2, offset))
    assert row["at_bound"] == (offset in (0.0, 2.0))
    np.testing.assert_allclose(table["sd_fitted"], table["sd"], rtol=1e-10)


def test_a_spread_that_falls_more_slowly_ends_at_the_edge(study):
    points = curve_with(0.05 * (1 - K / 9))
    row = dispersion(points, variances(points, study), study).row(0, named=True)
    assert (row["offset"], row["at_bound"]) == (2.0, True)


def test_the_best_offset_of_the_grid_by_brute_force():
    sd = np.array([0.4, 0.31, 0.2, 0.17, 0.12])
    k = np.array([1, 2, 3, 5, 8])
    fits = []
    for offset in OFFSETS:
        design = np.column_stack([np.ones(5), 1 / (k + offset)])
        coefficients, rss, *_ = np.linalg.lstsq(design, sd, rcond=None)
        fits.append((float(rss[0]), *coefficients, offset))
    assert fit_dispersion(k, sd) == pytest.approx(min(fits)[1:])


def test_range_and_cv(study):
    extremes = {"minimum": {2: 1.9}, "maximum": {2: 2.3}, "loss": {2: 2.1}}
    points = curve_with(0.3 / K, **extremes)
    row = dispersion(points, variances(points, study), study).filter(k=2).row(0, named=True)
    assert (row["range"], row["cv"]) == pytest.approx((0.4, 0.15 / 2.1))
    assert (row["sd"], row["n_subsets"]) == (0.15, 36)


def test_a_linear_loss_has_the_finite_pools_spread(study):
    """Sums over subsets of nine numbers: the dispersion that order has no part in."""
    values = np.random.default_rng(0).normal(size=9)
    means = [[np.mean(values[list(s)]) for s in combinations(range(9), k)] for k in K]
    points = curve_with([np.std(m, ddof=1) for m in means])
    table = dispersion(points, variances(points, study), study)
    assert table["k"].to_list() == list(range(1, 9))  # k = 9 has no spread
    np.testing.assert_allclose(table["sd_finite_pool"], table["sd"], rtol=1e-10)


def test_curves_with_a_spread_at_fewer_than_three_k_are_left_out(study):
    few = curve_with([0.3, 0.2], n_subsets=dict.fromkeys(range(3, 10), 1)).with_columns(
        size=pl.lit("s1")
    )
    points = pl.concat([curve_with(0.3 / K), few])
    assert set(dispersion(points, variances(points, study), study)["size"]) == {"s0"}
    with pytest.raises(NotMadeError, match="three k"):
        dispersion(few, variances(few, study), study)
