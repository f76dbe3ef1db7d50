"""Nearness to the floor: published k, the pool's own end, and no answer without a floor."""

import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.near_floor import k_near_pool, near_floor
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas import FITS
from mergelaw.laws.schemas.doubts import NEAR_FLOOR
from tests.laws.curve_points import curve, fits_of


def law_curve(floor, tail, offset, **labels):
    return curve({k: float(floor_tail(k, floor, tail, offset)) for k in range(1, 10)}, **labels)


def by_gap(table):
    assert table.schema == NEAR_FLOOR.schema
    return {row["gap"]: row for row in table.iter_rows(named=True)}


@pytest.mark.parametrize(
    ("offset", "scale", "exponent", "n_params_billions", "k"),
    [
        (0.25, 0.0682, 0.115, 0.5, 8),  # code
        (0.25, 0.0682, 0.115, 32, 5),
        (0.125, 0.1741, -0.006, 0.5, 18),  # biology: more than the nine experts
        (0.125, 0.1741, -0.006, 32, 18),
    ],
)
def test_published_fits_give_the_published_k(
    make_study, offset, scale, exponent, n_params_billions, k
):
    """Wang et al., Table 12 and appendix J.1."""
    points = law_curve(0.5, scale * n_params_billions**-exponent, offset)
    study = make_study(n_experts=9, floor_gaps=[0.01])
    (row,) = near_floor(points, fits_of(points), study).iter_rows(named=True)
    assert (row["k_floor"], row["reachable"]) == (k, k <= 9)
    assert row["floor"] == pytest.approx(0.5, abs=1e-6)


def test_a_row_per_gap_with_the_smallest_k_of_the_law_and_of_the_curve(make_study):
    points = law_curve(1.2, 0.9, 0.5)
    gaps = (0.3, 0.1, 0.05, 0.01)
    rows = by_gap(near_floor(points, fits_of(points), make_study(n_experts=9, floor_gaps=gaps)))
    assert tuple(rows) == gaps
    loss = {k: 1.2 + 0.9 / (k + 0.5) for k in range(1, 200)}
    for gap, row in rows.items():
        k_floor = min(k for k in loss if loss[k] - 1.2 <= gap)
        assert (row["k_floor"], row["reachable"]) == (k_floor, k_floor <= 9)
        assert row["k_pool"] == min(k for k in range(1, 10) if loss[k] - loss[9] <= gap)
        assert row["loss_pool"] == pytest.approx(loss[9])


@pytest.mark.parametrize(
    "losses",
    [
        {k: 3 - 0.1 * k for k in range(1, 10)},  # straight: the offset runs to its bound
        {k: 2 + 0.1 * k for k in range(1, 10)},  # rises: no tail
        {k: 0.1 * k**-1.5 for k in range(1, 10)},  # would fall below 0
        {0: 3.0, 1: 2.0, 2: 1.6, 9: 1.3},  # three points beside the base
    ],
)
def test_without_an_identified_floor_only_the_pools_end_is_told(make_study, losses):
    points = curve(losses)
    rows = by_gap(near_floor(points, fits_of(points), make_study(n_experts=9)))
    for gap, row in rows.items():
        assert (row["k_floor"], row["reachable"], row["floor"]) == (None, None, None)
        assert row["loss_pool"] == losses[9]
        assert row["k_pool"] == min(k for k, loss in losses.items() if loss <= losses[9] + gap)


def test_a_fit_that_is_not_identified_tells_no_k(make_study):
    points = law_curve(1.2, 0.9, 0.5)
    fits = fits_of(points)
    assert fits["identified"].all()
    unsure = fits.with_columns(identified=pl.lit(False))
    assert near_floor(points, unsure, make_study(n_experts=9))["k_floor"].is_null().all()
    three = points.filter(pl.col("k").is_in([1, 2, 9]))
    assert near_floor(three, fits_of(three), make_study(n_experts=9))["k_floor"].is_null().all()


def test_an_unmeasured_pool_has_no_end(make_study):
    points = law_curve(1.2, 0.9, 0.5).filter(pl.col("k") < 9)
    row = near_floor(points, fits_of(points), make_study(n_experts=9)).row(0, named=True)
    assert (row["k_pool"], row["loss_pool"]) == (None, None)
    assert row["k_floor"] is not None


@pytest.mark.parametrize(
    ("losses", "gap", "k"),
    [
        ({1: 1.3, 2: 0.8, 4: 0.7}, 0.1, 2),  # 0.7 + 0.1 < 0.8 in floating point
        ({4: 1.0, 2: 1.05, 1: 1.3}, 0.1, 2),
        ({1: 0.9, 2: 1.1, 4: 1.0}, 0.01, 1),  # better than the pool
        ({1: 1.3, 2: 1.1, 4: 1.0}, 0.01, 4),
    ],
)
def test_nearest_k_to_the_pool(losses, gap, k):
    assert k_near_pool(losses, gap, 4) == k


def test_not_made_without_a_fit(make_study):
    with pytest.raises(NotMadeError, match="could be fitted"):
        near_floor(law_curve(1.2, 0.9, 0.5), FITS.frame([]), make_study(n_experts=9))
