"""Triples: exact on the law, refused and counted where no floor is seen, never with k = M."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.forecast import three_point
from mergelaw.laws.analyses.triples import triple_errors, triples
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.schemas.doubts import TRIPLE_ERRORS, TRIPLES
from tests.laws.curve_points import curve

LAW = {k: float(floor_tail(k, 1.2, 0.8, 0.5)) for k in range(1, 10)}
POWER = {k: 1 + 0.5 * k**-0.5 for k in range(1, 10)}
STRAIGHT = {k: 3 - 0.1 * k for k in range(1, 10)}


@pytest.fixture
def study(make_study):
    return make_study(n_experts=9)


def test_every_triple_below_the_pool_is_exact_on_the_law(study):
    table = triples(curve(LAW), study)
    assert table.schema == TRIPLES.schema
    expected = {",".join(map(str, ks)) for ks in combinations(range(1, 9), 3)}
    assert table.height == 56
    assert set(table["points"]) == expected
    assert set(table["case"]) == {"free_offset"}
    assert table["error_pool"].abs().max() < 1e-10
    assert table["largest_error"].max() < 1e-10


def test_errors_are_those_of_the_forecast_where_the_law_is_wrong(study):
    table = triples(curve(POWER), study)
    row = table.row(by_predicate=pl.col("points") == "1,3,6", named=True)
    found = three_point((1, 3, 6), [POWER[k] for k in (1, 3, 6)])
    errors = {
        k: float(floor_tail(k, found.floor, found.tail, found.offset)) / POWER[k] - 1
        for k in (2, 4, 5, 7, 8, 9)
    }
    assert row["error_pool"] == pytest.approx(errors[9])
    assert row["largest_error"] == pytest.approx(max(map(abs, errors.values())))
    assert abs(errors[9]) > 1e-4


def test_largest_error_leaves_the_three_out(study):
    losses = {1: 2.0, 2: 1.2, 4: 1.1, 9: 0.9}  # steep: least squares with an offset of 0
    (row,) = triples(curve(losses), study).iter_rows(named=True)
    slope, level = np.polyfit([1, 0.5, 0.25], [2.0, 1.2, 1.1], 1)
    errors = {k: (level + slope / k) / loss - 1 for k, loss in losses.items()}
    assert row["case"] == "zero_offset"
    assert row["largest_error"] == pytest.approx(abs(errors[9]))
    assert abs(errors[9]) < max(abs(errors[k]) for k in (1, 2, 4))


def test_a_triple_that_sees_no_floor_has_no_errors(study):
    table = triples(curve(STRAIGHT), study)
    assert set(table["case"]) == {"not_identified"}
    assert table["error_pool"].is_null().all()
    assert table["largest_error"].is_null().all()


def test_only_measured_k_are_used(study):
    points = pl.concat(
        [
            curve({k: LAW[k] for k in (1, 2, 4, 7, 9)}),
            curve({k: LAW[k] for k in range(1, 9)}, size="s1"),  # no L(M)
            curve({k: LAW[k] for k in (1, 2, 9)}, size="s2"),
        ]
    )
    table = triples(points, study)
    assert set(table["size"]) == {"s0"}
    assert table["points"].to_list() == ["1,2,4", "1,2,7", "1,4,7", "2,4,7"]


def test_triple_errors_summarise_sizes_and_domains_without_macro(study):
    points = pl.concat(
        [
            curve(POWER),
            curve({k: loss**2 for k, loss in POWER.items()}, size="s1"),
            curve({k: 1 + 0.5**k for k in range(1, 10)}, size="s1", domain="d1"),
            curve(STRAIGHT, size="s2"),
            curve({k: loss**3 for k, loss in POWER.items()}, domain="macro"),
            curve(LAW, method="ties"),
        ]
    )
    table = triple_errors(points, study)
    assert table.schema == TRIPLE_ERRORS.schema
    assert table.height == 2 * 56
    row = table.row(
        by_predicate=(pl.col("points") == "1,2,4") & (pl.col("method") == "average"), named=True
    )
    single = triples(points, study).filter(points="1,2,4", method="average")
    signed = single.filter(pl.col("domain") != "macro")["error_pool"].drop_nulls().to_numpy()
    assert signed.min() < 0 < signed.max()
    errors = np.abs(signed)
    assert (row["n_curves"], row["n_refused"], len(errors)) == (4, 1, 3)
    assert row["median_error"] == pytest.approx(np.median(errors))
    assert row["q90_error"] == pytest.approx(np.quantile(errors, 0.9))
    assert row["largest_error"] == pytest.approx(errors.max())


def test_a_method_whose_triples_are_all_refused_has_null_errors(study):
    row = triple_errors(curve(STRAIGHT), study).row(0, named=True)
    assert (row["n_curves"], row["n_refused"]) == (1, 1)
    assert (row["median_error"], row["q90_error"], row["largest_error"]) == (None, None, None)


def test_not_made_where_no_curve_has_the_pool_and_three_smaller_k(study):
    points = curve({k: LAW[k] for k in (1, 2, 9)})
    for make in (triples, triple_errors):
        with pytest.raises(NotMadeError, match="whole pool"):
            make(points, study)
