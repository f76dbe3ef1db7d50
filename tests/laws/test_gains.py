"""Gains: differences of the curve and of the law, with errors only where they are known."""

import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.gains import gains
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas.doubts import GAINS
from tests.laws.curve_points import curve, fits_of

LOSSES = {0: 3.0, 1: 2.0, 2: 1.7, 3: 1.6, 5: 1.4, 6: 1.45}


def test_gain_is_the_drop_to_the_next_k_where_both_were_measured(make_study):
    points = curve(LOSSES)
    table = gains(points, fits_of(points), make_study(n_experts=9))
    assert table.schema == GAINS.schema
    assert table["k"].to_list() == [1, 2, 5]  # not from the base, not over the hole at 4
    assert table["gain"].to_list() == pytest.approx([0.3, 0.1, -0.05])
    assert table["gain_se"].to_list() == [0, 0, 0]


def test_error_joins_both_points_and_is_null_where_one_is_not_known(make_study):
    points = curve(LOSSES, subset_se={1: 0.03, 2: 0.04, 6: None})
    table = gains(points, fits_of(points), make_study(n_experts=9))
    assert table["gain_se"].to_list() == pytest.approx([0.05, 0.04, None])


@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_gain_of_a_curve_that_follows_the_law_is_the_laws(make_study, offset):
    points = curve({k: float(floor_tail(k, 1.2, 0.8, offset)) for k in range(1, 10)})
    table = gains(points, fits_of(points), make_study(n_experts=9))
    assert table["k"].to_list() == list(range(1, 9))
    assert table["gain_law"].to_list() == pytest.approx(table["gain"].to_list(), rel=1e-6)
    first = 0.8 / ((1 + offset) * (2 + offset))
    assert table["gain_law"][0] == pytest.approx(first, rel=1e-6)


def test_a_curve_without_a_fit_keeps_its_measured_gain(make_study):
    others = pl.concat(curve({1: 3.0, 2: 2.5, 3: 2.4, 4: 2.3}, size=f"s{i}") for i in (1, 2, 3))
    fits = fits_of(others)
    assert set(fits["law"]) == {"floor_tail", "joint"}
    table = gains(pl.concat([curve({1: 2.0, 2: 1.5}), others]), fits, make_study(n_experts=9))
    assert table.filter(size="s0").select("gain", "gain_law").rows() == [(0.5, None)]
    assert table.filter(pl.col("size") != "s0")["gain_law"].null_count() == 0


def test_not_made_without_neighbouring_k(make_study):
    points = curve({1: 2.0, 3: 1.5, 5: 1.4, 7: 1.3})
    with pytest.raises(NotMadeError, match="k \\+ 1"):
        gains(points, fits_of(points), make_study(n_experts=9))
