"""Standard errors of predictions against closed forms and refits."""

import numpy as np
import pytest
from scipy.stats import t as student

from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.point_noise import Noise
from mergelaw.laws.prediction_errors import prediction_errors
from mergelaw.laws.refit import refit
from mergelaw.laws.search import best, ends
from mergelaw.laws.weighting import pose

K = np.arange(1.0, 8)
LINEAR = {"floor": 2.0, "tail": 0.5, "offset": 0.0}  # at its bound: a straight line in 1/k
NOTHING = Noise(np.zeros((7, 7)), np.inf)


def line(weight=1.0, loss=None):
    curve = FLOOR_TAIL.function(K, **LINEAR) if loss is None else loss
    return pose(FLOOR_TAIL, {"k": K}, curve).problem._replace(root_weight=np.sqrt(weight * K**0))


def hat(at, weight=1.0):
    design, there = (np.column_stack([np.ones(len(k)), 1 / k]) for k in (K, at))
    weighed = design.T * (weight * np.ones(7))
    return there @ np.linalg.solve(weighed @ design, weighed)


def test_noise_of_the_points_goes_through_least_squares():
    at, weight = np.array([3.0, 12.0]), 1 + K
    covariance = np.diag(K) + 0.5
    found = prediction_errors(line(weight), LINEAR, [Noise(covariance, 9)], 0.0, {"k": at})
    expected = np.diag(hat(at, weight) @ covariance @ hat(at, weight).T)
    np.testing.assert_allclose(found.stderr, np.sqrt(expected), rtol=1e-6)
    np.testing.assert_allclose(found.freedom, 9)
    np.testing.assert_allclose(found.half, student.ppf(0.975, 9) * found.stderr)


def test_noise_that_moves_the_whole_curve_moves_every_prediction_by_as_much():
    noise = Noise(np.full((7, 7), 0.3**2), 20)
    found = prediction_errors(line(), LINEAR, [noise], 0.0, {"k": np.array([1.0, 100])})
    np.testing.assert_allclose(found.stderr, 0.3)


def test_lack_of_fit_is_missed_where_nothing_was_measured_as_well():
    at = np.array([4.0, 12.0])
    found = prediction_errors(line(), LINEAR, [NOTHING], 0.01, {"k": at})
    at_four, beyond = hat(at)
    expected = [np.sum((at_four - (K == 4)) ** 2), beyond @ beyond + 1]
    np.testing.assert_allclose(found.stderr, 0.01 * np.sqrt(expected), rtol=1e-6)
    np.testing.assert_allclose(found.freedom, 7 - 2)  # the offset is at its bound


def test_lack_of_fit_is_taken_from_the_residuals_of_equal_weights():
    residuals = 0.01 * np.array([1, -1, 1, -1, 1, -1, 1.0])
    problem = line(loss=FLOOR_TAIL.function(K, **LINEAR) + residuals)
    given, taken = (
        prediction_errors(problem, LINEAR, [NOTHING], misfit, {"k": K})
        for misfit in (0.01 * np.sqrt(7 / 5), None)
    )
    np.testing.assert_allclose(taken.stderr, given.stderr)


def test_degrees_of_freedom_follow_the_larger_part():
    parts = [Noise(np.full((7, 7), 4.0), 3), Noise(np.full((7, 7), 1.0), 10)]
    found = prediction_errors(line(), LINEAR, parts, 0.0, {"k": np.array([2.0])})
    assert found.freedom[0] == pytest.approx(5**2 / (4**2 / 3 + 1**2 / 10))


def test_joint_predictions_vary_as_refits_do():
    truth = {
        "floor_limit": 0.4,
        "size_scale": 0.5,
        "size_exponent": 0.4,
        "tail_scale": 0.3,
        "tail_exponent": 0.1,
        "offset": 0.4,
    }
    n, k = (axis.ravel() for axis in np.meshgrid([0.5, 2, 8, 32], K, indexing="ij"))
    variables = {"n_params_billions": n, "k": k}
    exact = JOINT.function(n, k, **truth)
    draw = np.random.default_rng(0)
    root = 1e-4 * (np.eye(28) + 0.5 * draw.normal(size=(28, 28)) + 3)
    problem = pose(JOINT, variables, exact).problem
    values = best(ends(problem)).values
    found = prediction_errors(problem, values, [Noise(root @ root.T, 9)], 0.0, variables)
    near = np.array([values[spec.name] for spec in JOINT.searched])
    fits = refit(problem, exact + draw.normal(size=(600, 28)) @ root.T, near)
    names = [spec.name for spec in JOINT.parameters]
    losses = [JOINT.function(n, k, **dict(zip(names, row, strict=True))) for row in fits]
    np.testing.assert_allclose(found.stderr, np.std(losses, axis=0), rtol=0.12)


def test_as_many_parameters_as_points_leave_nothing_to_judge_by():
    curve = {"floor": 2.0, "tail": 0.5, "offset": 0.4}
    k = np.array([1.0, 2, 4])
    problem = pose(FLOOR_TAIL, {"k": k}, FLOOR_TAIL.function(k, **curve)).problem
    assert prediction_errors(problem, curve, [], None, {"k": k}) is None
