"""Predictions from derivatives, against enumerated subsets of losses that are known."""

from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest

from mergelaw.errors import FitError
from mergelaw.laws.analyses.synergy import donor_gain
from mergelaw.laws.ranking import Ranking, rank
from mergelaw.laws.scale_surface import best_scale
from mergelaw.theory.curve_prediction import Curve, law_sums, point_sums, scale_error
from mergelaw.theory.curve_rows import over_masks
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.fold_draws import FoldDraws, totals_with_macro, with_macro
from mergelaw.theory.intervals import band
from mergelaw.theory.measured_rows import MaskSpread
from mergelaw.theory.subset_prediction import (
    MOST_SUBSETS,
    SubsetPredictor,
    members_of,
    named_members,
)
from tests.theory.polynomial import polynomial, third_moment, third_order


@pytest.mark.parametrize("merged", [1.0, 0.7])
@pytest.mark.parametrize("scale", [0.4, 1.0, 1.6])
def test_the_curve_of_a_quadratic_loss_is_the_mean_of_all_subsets(merged, scale):
    loss = polynomial()
    curve = Curve.of(loss.derivatives(merged).curve())
    told = curve.at(curve.ks, scale)
    for k in curve.ks:
        np.testing.assert_allclose(told[:, k - 1], loss.enumerated(k, scale).mean(0), rtol=1e-12)


def test_floor_tail_and_base_are_those_of_the_curve():
    loss = polynomial()
    curve = Curve.of(loss.derivatives(0.8).curve())
    np.testing.assert_allclose(curve.floor + curve.tail / curve.ks[:, None], curve.at(curve.ks).T)
    np.testing.assert_allclose(curve.base, loss.mean_losses(range(loss.n), 0.0))
    assert (curve.floor < curve.loss).all()  # beyond what the pool reaches


def test_tr_h_sigma_is_that_of_a_dense_hessian():
    loss = polynomial()
    sigma = np.cov(loss.vectors.T)
    tokens = loss.folds.n_tokens
    hessian = np.einsum("f,fij->ij", tokens[:3], loss.quadratic[:3]) / tokens[:3].sum()
    curve = Curve.of(loss.derivatives().curve())
    assert curve.trace[0] == pytest.approx(np.trace(hessian @ sigma))


@pytest.mark.parametrize("k", [None, 1, 3])
def test_the_best_scale_is_the_lowest_point(k):
    loss = polynomial()
    curve = Curve.of(loss.derivatives(0.9).curve())
    best = curve.best_scale(k)
    for d in range(len(curve.domains)):
        ks = np.full(3, k or loss.n)
        near = curve.at(ks, best[d] + np.array([-1e-3, 0, 1e-3]))[d]
        assert near[1] < min(near[0], near[2])


def test_the_best_scale_is_the_surface_form_of_the_laws():
    """Expanded at the merge, level, slope, curvature and spread of the law at the base follow."""
    curve = Curve.of(polynomial().derivatives(0.9).curve())
    slope = curve.slope - 0.9 * curve.radial
    rest = curve.radial - curve.trace / curve.n_experts
    wanted = best_scale(2, slope, rest, curve.trace)
    np.testing.assert_allclose(curve.best_scale(2), wanted)


def test_at_the_best_scale_the_curve_is_the_law_with_the_offset():
    """min over c of L(k, c) = floor + tail / (k + b), for every k with one floor and one tail."""
    curve = Curve.of(polynomial().derivatives(0.9).curve())
    best = np.stack([curve.best_scale(int(k)) for k in curve.ks], axis=1)
    lows = np.stack([curve.at(curve.ks, best[d])[d] for d in range(3)])
    for d in range(3):
        terms = np.stack([np.ones(5), 1 / (curve.ks + curve.offset[d])], axis=1)
        fitted = terms @ np.linalg.lstsq(terms, lows[d], rcond=None)[0]
        np.testing.assert_allclose(fitted, lows[d], rtol=1e-12)


def test_no_best_scale_where_the_loss_bends_down():
    found = polynomial().derivatives().curve()
    curve = Curve.of(replace(found, radial=-found.radial))
    assert np.isnan(curve.best_scale()).all()
    part = (1 - 1 / curve.n_experts) * curve.trace
    alone = curve.best_scale(1)  # along the scale of one expert the trace bends it up again
    np.testing.assert_array_equal(np.isnan(alone), curve.radial + part <= 0)
    rising = Curve.of(replace(found, radial=0.01 * found.radial, spread=-found.spread))
    assert np.isfinite(rising.best_scale()).all()
    assert np.isnan(rising.best_scale(1)).all(), "the whole pool bends up, one expert down"


@pytest.mark.parametrize("n", [3, 5, 6])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_third_order_makes_a_cubic_loss_exact(n, scale):
    loss = polynomial(n=n, cubic=0.3)
    found = loss.derivatives(scale)
    curve = Curve.of(found.curve().with_third(loss.third()))
    told = curve.at(curve.ks) + third_order(curve, curve.ks)
    for k in curve.ks:
        np.testing.assert_allclose(told[:, k - 1], loss.enumerated(k, scale).mean(0), rtol=1e-11)
    without = np.abs(curve.at(curve.ks)[:, 0] - loss.enumerated(1, scale).mean(0))
    assert without.min() > 1e-3  # the second order alone misses it


def test_the_third_moment_of_a_mean_without_replacement():
    values = np.array([3.0, -1, 0.5, -4, 1.5])
    values -= values.mean()
    for k in range(1, 6):
        means = [np.mean(part) ** 3 for part in combinations(values, k)]
        wanted = third_moment(np.array([k]), 5)[0] * np.mean(values**3)
        assert np.mean(means) == pytest.approx(wanted)


def test_the_size_of_higher_orders_covers_a_cubic_loss():
    """As it is at k = 1 at least, not smaller at k = M/2 by accident, and 0 at the whole pool."""
    loss = polynomial(n=6, cubic=0.3)
    curve = Curve.of(loss.derivatives().curve().with_third(loss.third()))
    size, exact = curve.order_error(curve.ks), np.abs(third_order(curve, curve.ks))
    assert (size[:, 0] >= exact[:, 0]).all()
    np.testing.assert_allclose(exact[:, 2], 0, atol=1e-12)  # k = 3 of 6
    assert (np.diff(size) < 0).all()
    assert (size[:, 2] > 0).all()
    np.testing.assert_allclose(size[:, -1], 0)


def test_without_third_derivatives_nothing_is_said_of_this_text():
    found = polynomial().derivatives().curve()
    assert Curve.of(found).order_error(np.array([1])) is None
    told = band(found, FoldDraws.of(found.folds))
    assert np.isnan(told.order_error).all()
    assert np.isnan(told.ends(other_text=False)[0]).all()


def test_the_interval_takes_in_what_a_second_route_says():
    loss = polynomial()
    found = loss.derivatives().curve().with_third(np.zeros((2, 5)))
    other = replace(found, spread=1.1 * found.spread)
    draws = FoldDraws.of(found.folds)
    told = band(found, draws, other)
    wanted = np.abs(Curve.of(other).at(np.arange(1, 6)) - told.loss)
    np.testing.assert_allclose(told.order_error, wanted)
    low, high = told.ends(other_text=False)
    assert (low[:, 0] < told.loss[:, 0]).all()
    assert (high[:, 0] > told.loss[:, 0]).all()


# --- other text ---


def test_the_error_of_other_text_is_that_of_new_folds():
    """Many texts of the same kind: the spread of their predictions is the error that one tells."""
    draw, told, found = np.random.default_rng(0), [], []
    for _ in range(300):
        folds = Folds(("a",) * 8 + ("b",) * 8, np.ones(16, int), draw.integers(30, 60, 16))
        sums = folds.n_tokens * (2 + 0.3 * draw.standard_normal(16))
        draws = FoldDraws.of(folds)
        told.append(draws.stderr(sums))
        found.append(with_macro(folds, sums))
    truth, mean = np.std(found, axis=0), np.sqrt(np.mean(np.square(told), axis=0))
    np.testing.assert_allclose(mean, truth, rtol=0.12)
    assert truth[2] < 0.8 * truth[0]  # macro: two domains that are drawn apart


def test_intervals_of_other_text_hold_the_truth_as_often_as_they_say():
    draw, hits = np.random.default_rng(1), []
    for number in range(400):
        folds = Folds(("a",) * 4, np.ones(4, int), np.full(4, 50))
        sums = folds.n_tokens * (2 + 0.3 * draw.standard_normal(4))
        draws = FoldDraws.of(folds, seed=number)
        half = draws.reach * draws.stderr(sums)
        hits.append(np.abs(with_macro(folds, sums) - 2) < half)
    assert 0.92 < np.mean(hits) < 0.98  # with 4 folds Student's t is what does it


def test_one_fold_tells_nothing_of_other_text():
    folds = Folds(("a", "b", "b"), np.ones(3, int), np.array([10, 10, 10]))
    error = FoldDraws.of(folds).stderr(np.array([10.0, 20.0, 30.0]))
    assert np.isnan(error[[0, 2]]).all()
    assert error[1] > 0


def test_draws_hang_on_the_domain_and_the_seed_alone():
    one = Folds(("a", "a", "b", "b"), np.ones(4, int), np.full(4, 9))
    other = Folds(("b", "b", "a", "a"), np.ones(4, int), np.full(4, 9))
    first, second = FoldDraws.of(one), FoldDraws.of(other)
    np.testing.assert_array_equal(first.counts[:, :2], second.counts[:, 2:])
    assert (FoldDraws.of(one, seed=1).counts != first.counts).any()


def test_the_error_of_the_best_scale_is_that_of_its_parts():
    loss = polynomial(folds=(6, 6))
    found = loss.derivatives().curve()
    draws = FoldDraws.of(found.folds)
    moved = draws.means(np.stack([found.slope, found.radial], axis=1))
    exact = (1 - moved[..., 0] / moved[..., 1]).std(axis=0, ddof=1)
    np.testing.assert_allclose(scale_error(found, draws), exact, rtol=0.5)


def test_predicted_sums_of_folds_add_up_to_the_curve():
    found = polynomial().derivatives(0.7).curve()
    ks, scales = np.array([1, 2, 5]), np.array([0.5, 0.7, 1.2])
    curve = Curve.of(found)
    sums = point_sums(found, ks, scales)
    np.testing.assert_allclose(with_macro(found.folds, sums), curve.at(ks, scales))


# --- subsets ---


@pytest.mark.parametrize("scale", [None, 0.5])
def test_every_subset_of_a_quadratic_loss_is_exact(scale):
    loss = polynomial()
    predict = SubsetPredictor(loss.derivatives(0.9))
    for k in range(1, 6):
        told = predict.losses(members_of(5, k), scale)
        np.testing.assert_allclose(told.T, loss.enumerated(k, scale or 0.9), rtol=1e-12)


def test_the_spread_over_subsets_is_theirs_and_tends_to_the_leading_term():
    loss = polynomial(n=6)
    predict = SubsetPredictor(loss.derivatives())
    for k in range(1, 6):
        wanted = loss.enumerated(k, 1.0).std(0, ddof=1)
        np.testing.assert_allclose(predict.spread(k), wanted, rtol=1e-10)
    assert np.isnan(predict.spread(6)).all()
    flat = polynomial(n=6)
    flat.quadratic = 1e-9 * flat.quadratic  # linear: the leading term is all there is
    predict = SubsetPredictor(flat.derivatives())
    for k in range(1, 6):
        count = comb(6, k)
        variance = predict.spread(k) ** 2 * (count - 1) / count
        np.testing.assert_allclose(predict.leading_variance(k), variance, rtol=1e-6)


def test_many_subsets_are_sampled_each_of_k_experts():
    members = members_of(20, 9)
    assert members.shape == (MOST_SUBSETS, 20)
    assert (members.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(members, members_of(20, 9))
    shares = members.mean(axis=0)
    assert np.abs(shares - 9 / 20).max() < 0.03


def test_subsets_are_named_in_the_order_of_the_derivatives():
    members = named_members(["b+c", "a"], ("a", "b", "c"))
    np.testing.assert_array_equal(members, [[False, True, True], [True, False, False]])


def all_members(n):
    return np.vstack([members_of(n, k) for k in range(1, n + 1)])


def test_the_ranking_is_that_of_choose_and_names_the_best():
    loss = polynomial()
    found, members = loss.derivatives(), all_members(5)
    names = ["+".join(f"e{i}" for i in np.flatnonzero(row)) for row in members]
    truth = np.array([loss.mean_losses(np.flatnonzero(row), 1.0) for row in members])
    predicted = SubsetPredictor(found).predicted(members, names, FoldDraws.of(found.folds))
    ranking = rank(predicted[-1], "macro", "other", 0.01, 1)
    assert isinstance(ranking, Ranking)
    assert ranking.best.subset == names[int(np.argmin(truth[:, -1]))]
    assert sum(row.p_best for row in ranking.rows) == pytest.approx(1)
    assert all(row.measured is None for row in ranking.rows)


def test_errors_of_subsets_grow_with_their_distance_from_the_merge():
    loss = polynomial(n=6, cubic=0.3)
    predict = SubsetPredictor(loss.derivatives(), loss.third())
    errors = predict.orders(np.arange(1, 7))
    assert (np.diff(errors) < 0).all()
    np.testing.assert_allclose(errors[:, -1], 0)
    along = totals_with_macro(loss.folds, loss.third())
    np.testing.assert_allclose(errors[:, 0], np.sqrt((along**2).mean(1)) / 6)  # of one expert
    missed = predict.losses(members_of(6, 1)).T - loss.enumerated(1, 1.0)
    np.testing.assert_allclose(np.sqrt((missed**2).mean(0)), errors[:, 0])  # cubic: exactly that


def test_draws_of_a_text_are_shared_and_those_of_higher_orders_are_not():
    loss = polynomial(cubic=0.3, folds=(6, 6))
    found, members = loss.derivatives(), members_of(5, 2)
    draws = FoldDraws.of(found.folds)
    names = [str(i) for i in range(len(members))]
    text = SubsetPredictor(found).predicted(members, names, draws)[0]
    both = SubsetPredictor(found, 9 * loss.third()).predicted(members, names, draws)[0]
    assert (both.stderr > text.stderr).all()
    assert np.corrcoef(text.draws.T)[0, 1] > np.corrcoef(both.draws.T)[0, 1]
    np.testing.assert_allclose(both.losses, text.losses)  # a prediction is of second order


def test_deviations_for_higher_orders_hang_on_the_subset_the_domain_and_the_seed_alone():
    loss = polynomial(cubic=0.3, folds=(6, 6))
    predict, members = SubsetPredictor(loss.derivatives(), 9 * loss.third()), members_of(5, 2)
    draws = FoldDraws.of(loss.folds)
    names = [str(i) for i in range(len(members))]
    all_ = predict.predicted(members, names, draws)
    few = predict.predicted(members[[7, 2]], [names[7], names[2]], draws)
    np.testing.assert_array_equal(few[1].draws, all_[1].draws[:, [7, 2]])
    other = predict.predicted(members, names, draws, seed=1)
    assert (other[1].draws != all_[1].draws).all()
    apart = [found.draws - found.draws.mean(axis=0) for found in all_]
    assert abs(np.corrcoef(apart[0][:, 0], apart[1][:, 0])[0, 1]) < 0.3, "a domain has its own"


def test_floor_and_tail_of_folds_add_up_to_the_curves():
    found = polynomial().derivatives(0.8).curve()
    curve = Curve.of(found)
    floor, tail = (with_macro(found.folds, sums) for sums in law_sums(found))
    np.testing.assert_allclose(floor, curve.floor)
    np.testing.assert_allclose(tail, curve.tail)


def test_synergy_of_predicted_losses_is_the_measured_one():
    loss, members = polynomial(), all_members(5)
    truth = np.array([loss.mean_losses(np.flatnonzero(row), 1.0) for row in members])
    told = SubsetPredictor(loss.derivatives()).losses(members).T
    for donor in range(5):
        wanted, gain = (donor_gain(members, values, donor)[0] for values in (truth, told))
        np.testing.assert_allclose(gain, wanted, atol=1e-12)


# --- masks ---


def test_the_mean_over_masks_is_that_of_many_masked_curves():
    """Two signs of each expert's noise are all masks: their mean is taken exactly."""
    loss = polynomial(n=3, folds=(2,))
    noise = 0.4 * np.random.default_rng(3).standard_normal(loss.vectors.shape)
    signs = np.array(np.meshgrid([1, -1], [1, -1], [1, -1])).reshape(3, -1).T
    hessian = np.einsum("ai,fij,aj->fa", noise, loss.quadratic, noise)
    masks = MaskSpread(np.stack([hessian.mean(axis=1) * loss.folds.n_tokens] * 2))
    for scale in (1.0, 0.6):
        plain, ks = loss.derivatives(scale).curve(), np.arange(1, 4)
        masked = [replace(loss, vectors=loss.vectors + s[:, None] * noise) for s in signs]
        moved, error = over_masks(plain, masks, ks)
        for at in (scale, 1.3):
            wanted = [[m.enumerated(k, at).mean(0) for k in ks] for m in masked]
            np.testing.assert_allclose(
                Curve.of(moved).at(ks, at).T, np.mean(wanted, axis=0), rtol=1e-12
            )
        np.testing.assert_allclose(error, 0)


def test_masks_that_change_nothing_leave_the_curve():
    found = polynomial().derivatives().curve()
    zero = MaskSpread(np.zeros((2, 7)))
    moved, _ = over_masks(found, zero, np.arange(1, 6))
    np.testing.assert_array_equal(Curve.of(moved).at(np.arange(1, 6)),
                                  Curve.of(found).at(np.arange(1, 6)))  # fmt: skip


def test_the_error_of_few_masks_falls_with_k():
    found = polynomial().derivatives().curve()
    draw = np.random.default_rng(0)
    masks = MaskSpread(draw.standard_normal((4, 1)) * found.folds.n_tokens)
    _, error = over_masks(found, masks, np.array([1, 2, 5]))
    np.testing.assert_allclose(error, error[:, :1] / np.array([1, 2, 5]))
    np.testing.assert_allclose(error[:, 0], masks.reach / 2 * masks.stderr(found.folds))


def test_folds_that_share_probes_do_not_add_up_their_errors():
    """A probe moves all folds and domains at once: more of them make its error no smaller.

    Errors of macro over many sets of probes are what one set says; t has their degrees of freedom.
    """
    folds, draw = polynomial(folds=(6, 6, 6)).folds, np.random.default_rng(0)
    hits, told, truth = [], [], []
    for _ in range(2000):
        common = draw.standard_normal((4, 1)) + 0.1 * draw.standard_normal((4, len(folds.domains)))
        masks = MaskSpread(common * folds.n_tokens)
        found, error = with_macro(folds, masks.sums), masks.stderr(folds)
        hits.append(np.abs(found) < masks.reach * error)
        told.append(error)
        truth.append(found)
    wanted = np.std(truth, axis=0)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(told), axis=0)), wanted, rtol=0.05)
    assert wanted[-1] > 0.9 * wanted[0], "domains share the probes"
    rates = np.mean(hits, axis=0)
    assert ((rates > 0.935) & (rates < 0.965)).all()


# --- bad input ---


def test_one_expert_and_numbers_that_are_not_finite_are_told_together():
    found = polynomial(n=1).derivatives().curve()
    slope = found.slope.copy()
    slope[4] = np.nan
    with pytest.raises(FitError) as error:
        Curve.of(replace(found, slope=slope))
    told = str(error.value)
    assert "experts: 1; must be at least 2" in told
    assert "slope of domain 'd1' is not finite: 1 of 4 folds" in told
    assert "2 problems" in told
