"""Many draws fitted at once: the same ends as single fits, bounds, draws that cannot be used."""

import numpy as np
import pytest

from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL, JOINT, Law
from mergelaw.laws.refit import refit
from mergelaw.laws.weighting import pose

KS = np.arange(1.0, 10)
NAMES = [spec.name for spec in FLOOR_TAIL.parameters]


def per_size(floor: float = 1.8, tail: float = 0.3, offset: float = 0.4) -> np.ndarray:
    return FLOOR_TAIL.function(KS, floor, tail, offset)


def fitted(law: Law, variables: dict, losses: np.ndarray, weights: str = "uniform") -> np.ndarray:
    """Return the parameters of one fit of `mergelaw.laws.fitting` after the other."""
    return np.array([list(fit(law, variables, loss, weights).values.values()) for loss in losses])


@pytest.mark.parametrize("weights", ["uniform", "k"])
def test_draws_of_one_size_end_where_single_fits_do(weights: str) -> None:
    draws = per_size() + np.random.default_rng(0).normal(scale=0.004, size=(40, 9))
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0], weights).problem
    expected = fitted(FLOOR_TAIL, {"k": KS}, draws, weights)
    np.testing.assert_allclose(refit(problem, draws), expected, rtol=1e-4, atol=1e-5)


SIZES, JOINT_KS = (axis.ravel() for axis in np.meshgrid([0.5, 1.5, 3, 7, 14], KS[:6]))
TRUTHS = {
    "inside": [0.35, 0.5, 0.36, 0.25, 0.1, 0.4],
    "no floor at infinite size": [-0.3, 1.2, 0.15, 0.25, 0.1, 0.4],
    "a tail that grows with the size, and no offset": [0.35, 0.5, 0.36, 0.25, -0.1, -0.2],
}


@pytest.mark.parametrize("scale", [0.001, 0.03])
@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_joint_draws_are_as_good_as_single_fits(truth: list[float], scale: float) -> None:
    noise = np.random.default_rng(1).normal(scale=scale, size=(5, len(SIZES)))
    draws = JOINT.function(SIZES, JOINT_KS, *truth) + noise
    variables = {"n_params_billions": SIZES, "k": JOINT_KS}
    problem = pose(JOINT, variables, draws[0]).problem
    singles = fitted(JOINT, variables, draws)
    searched = [JOINT.parameters.index(spec) for spec in JOINT.searched]
    found = refit(problem, draws, near=singles[0][searched])

    def rss(parameters: np.ndarray) -> np.ndarray:
        curves = JOINT.function(SIZES, JOINT_KS, *parameters.T[..., None])
        return np.sum((curves - draws) ** 2, axis=1)

    np.testing.assert_allclose(rss(found), rss(singles), rtol=1e-6)
    low = np.array([spec.minimum for spec in JOINT.parameters])
    assert (found >= low).all()


def test_draws_without_noise_give_the_law_back() -> None:
    truth = np.array([[1.8, 0.3, 0.4], [2.5, 0.1, 3.0], [0.9, 0.7, 0.0]])
    draws = np.array([per_size(*row) for row in truth])
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    np.testing.assert_allclose(refit(problem, draws), truth, rtol=1e-6, atol=1e-6)


def test_an_offset_below_zero_ends_on_the_bound_with_the_rest_fitted_there() -> None:
    draws = per_size(offset=-0.2)[None]
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    tail, floor = np.polyfit(1 / KS, draws[0], 1)
    np.testing.assert_allclose(refit(problem, draws)[0], [floor, tail, 0])


def test_a_curve_that_is_flat_but_for_rounding_has_neither_tail_nor_offset() -> None:
    draws = 2 + 1e-15 * np.random.default_rng(0).normal(size=(20, 9))
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    np.testing.assert_allclose(refit(problem, draws), np.tile([2, 0, 0], (20, 1)), atol=1e-9)


def test_a_rising_curve_has_no_tail_and_its_mean_as_floor() -> None:
    draws = np.linspace(1, 1.1, 9)[None]
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    np.testing.assert_allclose(refit(problem, draws)[0], [draws.mean(), 0, 0], rtol=1e-9)


def test_a_held_offset_stays_held() -> None:
    variables = {"k": np.array([1.0, 1.0, 2.0, 2.0])}
    draws = np.array([[2.0, 2.1, 1.9, 1.8]])
    problem = pose(FLOOR_TAIL, variables, draws[0]).problem
    floor, tail, offset = refit(problem, draws)[0]
    assert offset == 0
    np.testing.assert_allclose([floor + tail, floor + tail / 2], [2.05, 1.85])


def test_a_draw_with_a_nan_is_nan_and_spoils_no_other() -> None:
    draws = np.array([per_size(), np.full(9, np.nan), per_size(floor=1.5)])
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    found = refit(problem, draws)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2], 0], [1.8, 1.5])


def test_more_draws_than_a_batch_are_fitted_in_their_order() -> None:
    floors = np.linspace(1, 3, 300)
    draws = np.array([per_size(floor=floor) for floor in floors])
    problem = pose(FLOOR_TAIL, {"k": KS}, draws[0]).problem
    np.testing.assert_allclose(refit(problem, draws)[:, 0], floors, rtol=1e-6)
