"""Balanced designs: honest errors of their means, the curve between their k, and the comparison."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.config import Study
from mergelaw.design import levels, subsets
from mergelaw.errors import FitError, NotMadeError
from mergelaw.laws.analyses.balanced import balanced
from mergelaw.laws.analyses.between_k import between_k
from mergelaw.laws.balanced_errors import balanced_errors
from mergelaw.laws.between import between
from mergelaw.laws.curves import curves
from mergelaw.laws.estimates import estimate_all, prediction_table
from mergelaw.laws.point_noise import noise_of, sources
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas.subsets import BALANCED, BETWEEN

M = 9
KS = np.arange(1, M + 1)


def third_order(seed, cubic, dimension=4):
    """Return losses of a third-order polynomial in the mean of random task vectors."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(M, dimension))
    gradient, root = draw.normal(size=dimension), draw.normal(size=(dimension, dimension))
    third = cubic * draw.normal(size=(dimension,) * 3)

    def loss(members):
        step = vectors[list(members)].mean(axis=0)
        square = step @ root @ root.T @ step / 2
        return 20 + gradient @ step + square + np.einsum("ijk,i,j,k", third, step, step, step)

    return loss


def by_design(study, merges=34):
    part = {"kind": "balanced", "merges": merges}
    return Study.model_validate(study.model_dump() | {"design": [part]})


def measured(study, table):
    """Return the rows of a design's subsets."""
    names = [subset.name for subset in subsets(study, study.size_names[0])]
    return table.filter(pl.col("subset").is_in(names))


@pytest.fixture
def nine(make_study):
    return make_study(M, 2, ("s0",))


@pytest.fixture
def table_of(make_losses):
    def build(study, loss):
        values = {c: loss(c) for k in KS for c in combinations(range(M), int(k))} | {(): 21.0}
        return make_losses(study, lambda s, m, c, d, seed: [(1 + 0.1 * s) * values[c]] * 2)

    return build


def test_means_over_a_2_design_have_errors_and_over_all_none(nine, table_of):
    study = by_design(nine)
    rows = prepare(measured(study, table_of(nine, third_order(0, 0.3))), study)
    points = curves(rows, study).filter(pl.col("domain") == "macro", pl.col("k") > 0)
    assert points["k"].to_list() == [1, 3, 6, 9]
    assert points["n_subsets"].to_list() == [9, 12, 12, 1]
    zero, three, six, none = points["subset_se"]
    assert (zero, none) == (0, 0)
    textbook = points["sd"] * np.sqrt(1 / 12 - 1 / 84)
    assert 0 < six < three < textbook[1]
    assert points["loss_se"].null_count() == 0


def test_a_quadratic_loss_has_no_error_and_little_is_stated(nine, table_of):
    study = by_design(nine)
    exact = curves(prepare(table_of(nine, third_order(1, 0)), nine), nine)
    rows = prepare(measured(study, table_of(nine, third_order(1, 0))), study)
    points = curves(rows, study).join(exact, on=["method", "domain", "k"], suffix="_all")
    np.testing.assert_allclose(points["loss"], points["loss_all"], rtol=1e-12)
    sampled = points.filter(pl.col("k").is_in([3, 6]))
    assert (sampled["subset_se"] < 0.2 * sampled["sd"] * np.sqrt(1 / 12 - 1 / 84)).all()


def test_stated_errors_are_those_over_relabellings(nine, table_of):
    losses = subset_losses(prepare(table_of(nine, third_order(2, 0.3)), nine))
    losses = losses.filter(pl.col("domain") == "macro", pl.col("k") > 0)
    exact = dict(losses.group_by("k").agg(pl.col("loss").mean()).iter_rows())
    missed, stated = {3: [], 6: []}, {3: [], 6: []}
    for seed in range(60):
        found = {level.k: level for level in levels(nine.expert_names, 34, None, seed)}
        names = [subset.name for level in found.values() for subset in level.subsets]
        part = losses.filter(pl.col("subset").is_in(names))
        errors = balanced_errors(part, nine, [("s0", 3), ("s0", 6)])
        for k, error in errors.select("k", "balanced_se").iter_rows():
            missed[k].append(part.filter(pl.col("k") == k)["loss"].mean() - exact[k])
            stated[k].append(error)
    for k in (3, 6):
        assert len(missed[k]) == 60
        ratio = np.sqrt(np.mean(np.square(missed[k])) / np.mean(np.square(stated[k])))
        assert 0.04 < ratio < 1.15, "rather too large than too small"
        inside = np.abs(missed[k]) <= 2.2 * np.array(stated[k])  # t of 11 degrees of freedom
        assert inside.mean() >= 0.93


def test_too_few_merges_tell_no_error(nine, table_of):
    part = {"kind": "balanced", "merges": 12, "k": [3]}
    study = Study.model_validate(nine.model_dump() | {"design": [part]})
    losses = subset_losses(prepare(measured(study, table_of(nine, third_order(0, 0.3))), study))
    few = losses.filter(pl.col("k") > 0).group_by("domain", maintain_order=True).head(5)
    assert balanced_errors(few, study, [("s0", 3)]).is_empty()
    assert balanced_errors(losses, study, []).is_empty()


def test_a_near_balanced_design_has_the_error_of_a_random_sample(make_study, make_losses):
    study = by_design(make_study(5, 2, ("s0",)), 6 + 7)  # 7 of the 10 pairs
    noise = np.random.default_rng(0).normal(size=32)
    table = make_losses(
        study, lambda s, m, c, d, seed: [5 + 0.1 * noise[sum(1 << i for i in c)]] * 2
    )
    points = curves(prepare(measured(study, table), study), study)
    row = points.filter(pl.col("k") == 2, pl.col("domain") == "macro").to_dicts()[0]
    assert (row["n_subsets"], row["n_subsets_pool"]) == (7, 10)
    assert row["subset_se"] == pytest.approx(row["sd"] * np.sqrt(1 / 7 - 1 / 10))


def test_noise_of_points_has_these_errors_and_predictions_have_intervals(make_study, table_of):
    whole = make_study(M, 2, ("s0", "s1"))
    study = by_design(whole)
    rows = prepare(measured(study, table_of(whole, third_order(3, 0.3))), study)
    points = curves(rows, study)
    mine = points.filter(pl.col("domain") == "macro", pl.col("k") > 0)
    noises = noise_of(mine, sources(rows, study))
    total = np.sqrt(sum(np.diag(noise.covariance) for noise in noises[1:]))
    np.testing.assert_allclose(total, mine["subset_se"], atol=1e-12)
    of_three = noises[1].covariance[np.ix_(*[(mine["k"] == 3).to_numpy()] * 2)]
    assert of_three[0, 1] == pytest.approx(np.sqrt(of_three[0, 0] * of_three[1, 1])), "all shared"
    estimates, _ = estimate_all(points)
    predicted = prediction_table(estimates, points, sources(rows, study))
    assert predicted.filter(pl.col("law") == "floor_tail")["low"].null_count() == 0


def mean_curve(loss):
    return np.array([np.mean([loss(c) for c in combinations(range(M), int(k))]) for k in KS])


def test_between_is_exact_for_a_loss_of_third_order():
    true = mean_curve(third_order(4, 0.5))
    at = np.array([1, 3, 6, 9])
    found = between(at, true[at - 1], np.zeros(4), KS, 11)
    np.testing.assert_allclose(found.loss, true, rtol=1e-12)
    np.testing.assert_allclose(found.half, 0, atol=1e-9)
    three = between([1, 3, 9], true[[0, 2, 8]], np.zeros(3), KS, 11)
    np.testing.assert_allclose(three.loss, true, rtol=1e-12)
    assert three.half is None, "nothing is left to tell the scatter"
    with pytest.raises(FitError, match="needs 3"):
        between([1, 9], true[[0, 8]], np.zeros(2), KS, 11)


def test_between_carries_errors_and_scatter():
    true, at = 2 + 1 / KS, np.array([1, 3, 6, 9])
    carried = between(at, true[at - 1], [0, 0.01, 0, 0], KS, 11)
    moved = between(at, true[at - 1] + [0, 0.01, 0, 0], np.zeros(4), KS, 11)
    np.testing.assert_allclose(carried.half, 2.201 * np.abs(moved.loss - true), rtol=1e-3)
    assert np.all(moved.half > 0)
    rules = between(at, true[at - 1] + [0, 0.01, 0, 0], np.full(4, 1e-9), KS, 11)
    np.testing.assert_allclose(rules.half, moved.half, rtol=1e-6)
    unknown = between(at, true[at - 1], [0, np.nan, 0, 0], KS, 11)
    assert unknown.half is None


def test_scatter_about_the_curve_is_covered_at_the_stated_rate():
    """Four k leave one degree of freedom to tell the scatter by."""
    draw, at = np.random.default_rng(0), np.array([1, 3, 6, 9])
    held = []
    for _ in range(500):
        missed = 0.005 * draw.normal(size=M)
        found = between(at, (2 + 1 / KS + missed)[at - 1], np.zeros(4), KS, 11)
        others = ~np.isin(KS, at)
        held.append((np.abs(found.loss - 2 - 1 / KS - missed) <= found.half)[others])
    assert 0.93 < np.mean(held) < 0.97


def test_the_comparison_of_an_exhaustive_study(nine, table_of):
    loss = third_order(5, 0.2)
    losses = subset_losses(prepare(table_of(nine, loss), nine))
    found = balanced(losses, nine)
    assert found.schema == BALANCED.schema
    macro = found.filter(pl.col("domain") == "macro")
    assert macro["k"].to_list() == list(KS)
    assert macro["n_subsets"].to_list() == [9, 0, 12, 0, 0, 12, 0, 0, 1]
    np.testing.assert_allclose(macro["loss"], mean_curve(loss))
    assert macro["inside"].all()
    assert macro["loss_law"].null_count() == 0
    ends = macro.filter(pl.col("k").is_in([1, 9]))
    assert (ends["low"] == ends["high"]).all()
    chosen = [s.name for s in subsets(by_design(nine), "s0") if s.k == 3]
    mean = losses.filter(pl.col("domain") == "macro", pl.col("subset").is_in(chosen))["loss"].mean()
    assert macro["loss_balanced"][2] == pytest.approx(mean)
    assert balanced(losses.reverse(), nine).equals(found)


def test_it_is_the_curve_that_the_balanced_study_reports(nine, table_of):
    table = table_of(nine, third_order(6, 0.2))
    found = balanced(subset_losses(prepare(table, nine)), nine)
    study = by_design(nine)
    own = curves(prepare(measured(study, table), study), study).filter(pl.col("k") > 0)
    there = found.filter(pl.col("n_subsets") > 0)
    np.testing.assert_array_equal(own["loss"], there["loss_balanced"])
    half = (there["high"] - there["low"]) / 2
    np.testing.assert_allclose(half, 2.20099 * own["subset_se"], atol=1e-12, rtol=1e-5)


def test_a_study_without_all_subsets_has_nothing_to_compare(
    nine, table_of, make_study, make_losses
):
    losses = subset_losses(prepare(table_of(nine, third_order(7, 0.2)), nine))
    with pytest.raises(NotMadeError, match="no size has all subsets"):
        balanced(losses.filter(pl.col("subset") != "e0+e3"), nine)
    three = make_study(3, 2, ("s0",))
    small = make_losses(three, lambda *cell: [2.0, 2.5])
    with pytest.raises(NotMadeError, match="a pool of 3"):
        balanced(subset_losses(prepare(small, three)), three)
    four = make_study(4, 2, ("s0",))
    every = make_losses(four, lambda *cell: [2.0, 2.5])
    with pytest.raises(NotMadeError, match="all subsets of 4 experts"):
        balanced(subset_losses(prepare(every, four)), four)


def test_k_that_were_not_merged_are_told_between(nine, table_of):
    table = table_of(nine, third_order(8, 0.2))
    study = by_design(nine)
    points = curves(prepare(measured(study, table), study), study)
    found = between_k(points, study)
    assert found.schema == BETWEEN.schema
    macro = found.filter(pl.col("domain") == "macro")
    assert macro["k"].to_list() == [2, 4, 5, 7, 8]
    assert set(macro["n_k"]) == {4}
    compared = balanced(subset_losses(prepare(table, nine)), nine)
    same = compared.filter(pl.col("n_subsets") == 0)
    for column, other in (("loss", "loss_balanced"), ("low", "low"), ("high", "high")):
        np.testing.assert_allclose(found[column], same[other], rtol=1e-12)
    three = between_k(points.filter(pl.col("k") != 6), study)
    assert three["low"].null_count() == three.height
    with pytest.raises(NotMadeError, match="3 k"):
        between_k(points.filter(pl.col("k").is_in([0, 1, 9])), study)
    with pytest.raises(NotMadeError, match="lacks another"):
        between_k(curves(prepare(table, nine), nine), nine)
