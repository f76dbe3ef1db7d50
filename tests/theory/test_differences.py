"""Differences of losses: known polynomials are recovered, and noise enlarges the step."""

import numpy as np
import pytest

from mergelaw.theory.derivatives import Folds
from mergelaw.theory.differences import (
    chosen_stencil,
    curve_differences,
    gradient_differences,
    pair_differences,
)

EXPERTS = ("a", "b", "c", "d")
FOLDS = Folds(("x", "x", "y"), np.asarray([1, 2, 1]), np.asarray([10, 20, 15]))
RNG = np.random.default_rng(3)
GRADIENT = RNG.normal(size=(3, 4))
SQUARE = RNG.normal(size=(3, 4, 4))
HESSIAN = SQUARE @ SQUARE.transpose(0, 2, 1)
CUBE = RNG.normal(size=(3, 4))
AT = np.asarray([0.4, 0.1, 0.3, 0.2])


def cubic(weights, cube=CUBE):
    """Return a cubic about AT; its third derivative is `cube` times each weight's own."""
    d = weights - AT
    second = np.einsum("i,fij,j->f", d, HESSIAN, d) / 2
    return 5.0 + GRADIENT @ d + second + cube @ d**3 / 6


def test_pairs_of_a_quadratic_are_exact():
    calls = []

    def losses(w):
        calls.append(w)
        return cubic(w, 0 * CUBE)

    found = pair_differences(losses, EXPERTS, ("model",), FOLDS, AT, 0.35)
    assert len(calls) == 1 + 2 * 4 + 6
    np.testing.assert_allclose(found.curvature, HESSIAN, atol=1e-10)
    np.testing.assert_allclose(found.gradient, GRADIENT, atol=1e-10)
    np.testing.assert_allclose(found.nll, 5.0)


def test_third_orders_of_single_weights_leave_pairs_exact():
    found = pair_differences(cubic, EXPERTS, ("model",), FOLDS, AT, 0.35)
    np.testing.assert_allclose(found.curvature, HESSIAN, atol=1e-10)


def test_curve_of_a_cubic_is_exact_with_its_gradient():
    scale, mean = 0.8, np.full(4, 0.25)
    at = scale * mean
    gradient = GRADIENT + np.einsum("fij,j->fi", HESSIAN, at - AT) + CUBE * (at - AT) ** 2 / 2
    hessian = HESSIAN + np.einsum("fi,i,ij->fij", CUBE, at - AT, np.eye(4))
    member = FOLDS.membership
    found = curve_differences(cubic, EXPERTS, FOLDS, scale, 0.5, member @ gradient)
    apart = np.eye(4) - 0.25
    np.testing.assert_allclose(member @ found.slope, member @ gradient @ mean)  # of domains
    odd = curve_differences(cubic, EXPERTS, FOLDS, scale, 0.5).slope
    assert np.abs(member @ odd - member @ gradient @ mean).max() > 1e-4
    np.testing.assert_allclose(  # folds of x differ, per token, as differences of losses do
        np.diff(found.slope[:2] / FOLDS.n_tokens[:2]), np.diff(odd[:2] / FOLDS.n_tokens[:2])
    )
    np.testing.assert_allclose(
        found.radial, np.einsum("i,fij,j->f", mean, hessian, mean), atol=1e-9
    )
    np.testing.assert_allclose(
        found.spread, np.einsum("ri,fij,rj->fr", apart, hessian, apart), atol=1e-9
    )
    np.testing.assert_allclose(found.third, member @ CUBE @ (apart**3).T, atol=1e-8)


def test_without_a_gradient_the_slope_is_a_difference_and_there_is_no_third():
    found = curve_differences(cubic, EXPERTS, FOLDS, 0.8, 0.5)
    assert found.third is None
    far = np.full(4, 0.2)
    step = 1e-5 * np.full(4, 0.25)
    slope = (cubic(far + step) - cubic(far - step)) / 2e-5
    assert np.abs(found.slope - slope).max() < 0.1
    assert np.abs(found.slope - slope).max() > 1e-6, "the third order is in it"


def test_gradients_are_differenced_to_a_symmetric_curvature():
    def gradient(w):
        return GRADIENT + np.einsum("fij,j->fi", HESSIAN, w - AT) + CUBE * (w - AT) ** 2 / 2

    found = gradient_differences(gradient, AT, 0.1)
    np.testing.assert_allclose(found, HESSIAN, atol=1e-10)


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 0.35, 0.35), (0.05, 0.36, 1.0)])
def test_the_step_grows_with_the_noise_and_the_note_says_so(noise, least, most):
    rng = np.random.default_rng(0)

    def losses(w):
        return cubic(w, 0 * CUBE) + noise * rng.normal(size=3)

    found = chosen_stencil(losses, FOLDS, AT, np.eye(4)[0], 0.35)
    assert least <= found.step <= most
    assert bool(found.notes) == bool(noise)


def test_noise_that_no_step_overcomes_is_told():
    rng = np.random.default_rng(0)

    def losses(w):
        return cubic(w, 0 * CUBE) + 10 * rng.normal(size=3)

    found = chosen_stencil(losses, FOLDS, AT, np.eye(4)[0], 0.35)
    assert found.step == 1.0
    assert "noise is still" in found.notes[0]
    assert found.noise == pytest.approx(10 / 15, rel=0.9)
