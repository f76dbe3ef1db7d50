"""Transfer of the offset: exact where sizes share it, off by the closed form where they do not."""

import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.transfer import ZERO, transfer, two_point
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas.doubts import TRANSFER
from tests.laws.curve_points import curve, fits_of

ALL_K = range(1, 10)


def law_curve(size, floor, tail, offset):
    return curve({k: float(floor_tail(k, floor, tail, offset)) for k in ALL_K}, size=size)


@pytest.fixture
def study(make_study):
    return make_study(n_experts=9, sizes=("s0", "s1"))


def by_pair(table):
    assert table.schema == TRANSFER.schema
    return {(row["source"], row["target"]): row for row in table.iter_rows(named=True)}


def test_sizes_that_share_the_offset_are_forecast_exactly(study):
    points = pl.concat([law_curve("s0", 2.0, 1.0, 0.6), law_curve("s1", 1.5, 0.4, 0.6)])
    rows = by_pair(transfer(points, fits_of(points), study))
    assert set(rows) == {(a, b) for a in ("s0", "s1", ZERO) for b in ("s0", "s1")}
    for pair in [("s0", "s1"), ("s1", "s0"), ("s0", "s0")]:
        assert rows[pair]["offset"] == pytest.approx(0.6, abs=1e-5)
        assert abs(rows[pair]["relative_error"]) < 1e-6
    assert rows["s0", "s1"]["loss_pool"] == pytest.approx(1.5 + 0.4 / 9.6)
    assert abs(rows[ZERO, "s1"]["relative_error"]) > 1e-3


def test_a_wrong_offset_gives_the_error_of_its_closed_form(study):
    points = pl.concat([law_curve("s0", 2.0, 1.0, 0.0), law_curve("s1", 1.5, 0.4, 2.0)])
    row = by_pair(transfer(points, fits_of(points), study))["s0", "s1"]
    first, second, end = (1.5 + 0.4 / (k + 2) for k in (1, 2, 9))
    predicted = first - 2 * (first - second) * (1 - 1 / 9)  # offset 0: affine in 1/k
    assert row["loss_predicted"] == pytest.approx(predicted, rel=1e-9)
    assert row["relative_error"] == pytest.approx((predicted - end) / end, rel=1e-9)


def test_the_law_through_two_points_passes_them_and_goes_on():
    tail = 0.3 * 1.4 * 2.4  # drop (1 + b)(2 + b), b = 0.4
    assert two_point(2.5, 2.2, 0.4, 1) == pytest.approx(2.5)
    assert two_point(2.5, 2.2, 0.4, 2) == pytest.approx(2.2)
    assert two_point(2.5, 2.2, 0.4, 9) == pytest.approx(2.5 - tail / 1.4 + tail / 9.4)


def test_a_source_without_an_identified_offset_is_left_out(study):
    straight = curve({k: 3 - 0.1 * k for k in ALL_K})  # the offset runs to its bound
    points = pl.concat([straight, law_curve("s1", 1.5, 0.4, 0.6)])
    rows = by_pair(transfer(points, fits_of(points), study))
    assert {source for source, _ in rows} == {"s1", ZERO}


def test_a_target_that_does_not_fall_is_not_forecast(study):
    rising = curve({k: 2 + 0.01 * k for k in ALL_K}, size="s1")
    points = pl.concat([law_curve("s0", 2.0, 1.0, 0.6), rising])
    row = by_pair(transfer(points, fits_of(points), study))["s0", "s1"]
    assert (row["loss_predicted"], row["relative_error"]) == (None, None)


def test_a_target_without_k_1_or_2_or_the_pool_is_left_out(study, make_study):
    whole = law_curve("s0", 2.0, 1.0, 0.6)
    for k in (1, 2, 9):
        points = pl.concat([whole, law_curve("s1", 1.5, 0.4, 0.6).filter(pl.col("k") != k)])
        rows = by_pair(transfer(points, fits_of(points), study))
        assert {target for _, target in rows} == {"s0"}
    lacking = points.filter(pl.col("k") != 9)
    with pytest.raises(NotMadeError, match="k = 1, k = 2"):
        transfer(lacking, fits_of(lacking), study)


def test_not_made_for_one_size(make_study):
    points = law_curve("s0", 2.0, 1.0, 0.6)
    with pytest.raises(NotMadeError, match="one size"):
        transfer(points, fits_of(points), make_study(n_experts=9, sizes=("s0",)))
