"""The surface of subsets against normal equations, an exact quadratic, and known truths."""

from itertools import combinations

import numpy as np
import pytest

from mergelaw.errors import FitError
from mergelaw.laws.subset_model import (
    fit_subsets,
    has_pairs,
    misfit_weight,
    unseen_pairs,
)


def subsets(n_experts, ks=None):
    ks = ks or range(1, n_experts + 1)
    chosen = [s for k in ks for s in combinations(range(n_experts), k)]
    return np.array([[i in s for i in range(n_experts)] for s in chosen])


def quadratic(members, seed=0, pairs=0.3):
    """Return the loss of the mean of random task vectors under a random quadratic."""
    draw = np.random.default_rng(seed)
    m = members.shape[1]
    shares = members / members.sum(axis=1, keepdims=True)
    linear, crossed = draw.normal(size=m), pairs * draw.normal(size=(m, m))
    return 3 + shares @ linear + ((shares @ crossed) * shares).sum(axis=1)


@pytest.mark.parametrize("n_experts", [4, 6])
def test_a_quadratic_loss_is_recovered_exactly(n_experts):
    members = subsets(n_experts)
    losses = quadratic(members)
    seen = members.sum(axis=1) <= 3  # all singles, pairs and triples determine it
    model = fit_subsets(members[seen], losses[seen])
    found, stderr = model.predict(members)
    assert found == pytest.approx(losses, abs=1e-6)
    assert stderr.max() < 1e-4


def test_the_posterior_is_that_of_the_normal_equations():
    """The oracle: generalised least squares with the prior as further rows, c0 without one."""
    members = subsets(5)
    draw = np.random.default_rng(3)
    losses = quadratic(members) + 0.05 * draw.normal(size=len(members))
    seen = draw.permutation(len(members)) < 20
    model = fit_subsets(members[seen], losses[seen])
    shares = members / members.sum(axis=1, keepdims=True)
    pairs = [
        np.sqrt(2 * model.pairs) * shares[:, i] * shares[:, j] for i, j in combinations(range(5), 2)
    ]
    features = np.column_stack([np.ones(len(members)), shares, shares**2, *pairs])
    weights = 1 / misfit_weight(members, model.floor)[seen]
    prior = model.penalty * np.diag([0.0] + [1.0] * (features.shape[1] - 1))
    normal = features[seen].T @ (weights[:, None] * features[seen]) + prior
    coefficients = np.linalg.solve(normal, features[seen].T @ (weights * losses[seen]))
    spread = np.einsum("ij,jk,ik->i", features, np.linalg.inv(normal), features)
    found, stderr = model.predict(members)
    assert found == pytest.approx(features @ coefficients, rel=1e-8)
    variance = model.variance * (spread + misfit_weight(members, model.floor))
    assert stderr**2 == pytest.approx(variance, rel=1e-6)


def test_the_variance_is_the_restricted_one():
    members = subsets(4)
    losses = quadratic(members) + 0.1 * np.random.default_rng(5).normal(size=len(members))
    model = fit_subsets(members, losses)
    shares = members / members.sum(axis=1, keepdims=True)
    crossed = [shares[:, i] * shares[:, j] for i, j in combinations(range(4), 2)]
    features = np.column_stack(
        [shares, shares**2, *(np.sqrt(2 * model.pairs) * p for p in crossed)]
    )
    misfit = np.diag(misfit_weight(members, model.floor))
    covariance = features @ features.T / model.penalty + misfit
    inverse = np.linalg.inv(covariance)
    ones = np.ones(len(members))
    centred = losses - (ones @ inverse @ losses) / (ones @ inverse @ ones)
    expected = centred @ inverse @ centred / (len(members) - 1)
    assert model.variance == pytest.approx(expected, rel=1e-6)
    assert model.freedom == len(members) - 1


def test_draws_have_the_errors_of_the_prediction():
    members = subsets(5)
    losses = quadratic(members) + 0.05 * np.random.default_rng(1).normal(size=len(members))
    seen = members.sum(axis=1) != 2
    model = fit_subsets(members[seen], losses[seen])
    n = 20_000
    same = np.tile(losses[seen], (n, 1))
    drawn = model.draws(members, same, np.random.default_rng(0), np.ones(n))
    assert drawn.mean(axis=0) == pytest.approx(model.predict(members)[0], abs=0.005)
    assert drawn.std(axis=0) == pytest.approx(model.surface_error(members), rel=0.03)


def test_intervals_hold_what_was_not_measured_at_about_their_rate():
    """Losses drawn from the model itself: 95% intervals of 30 studies."""
    members, held = subsets(7), []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        noise = 0.03 * np.sqrt(misfit_weight(members, 0.003)) * draw.normal(size=len(members))
        losses = quadratic(members, seed) + noise
        seen = np.isin(members.sum(axis=1), (1, 7)) | (draw.random(len(members)) < 0.2)
        model = fit_subsets(members[seen], losses[seen])
        found, stderr = model.predict(members)
        held.append((np.abs(found - losses) <= 2.03 * stderr)[~seen].mean())
    assert 0.9 <= np.mean(held) <= 0.99
    assert min(held) > 0.5


def test_merges_without_pairs_have_experts_own_parts():
    few = subsets(6, [1, 6])
    assert not has_pairs(few)
    assert unseen_pairs(few) == 15
    assert not fit_subsets(few, quadratic(few)).has_pairs
    assert has_pairs(subsets(6, [1, 2]))
    assert unseen_pairs(subsets(6, [1, 2])) == 0


def test_losses_that_are_all_the_same_are_no_division_by_zero():
    members = subsets(4)
    found, stderr = fit_subsets(members, np.full(len(members), 2.5)).predict(members)
    assert found == pytest.approx(2.5)
    assert stderr.max() < 1e-9


def test_two_merges_are_too_few():
    with pytest.raises(FitError, match="2 measured merges: a surface needs at least 3"):
        fit_subsets(subsets(2, [1]), np.array([1.0, 2.0]))


def test_the_order_of_rows_changes_nothing():
    members = subsets(5)
    losses = quadratic(members) + 0.05 * np.random.default_rng(1).normal(size=len(members))
    order = np.random.default_rng(0).permutation(len(members))
    one = fit_subsets(members, losses).predict(members)
    other = fit_subsets(members[order], losses[order]).predict(members)
    assert one[0] == pytest.approx(other[0], rel=1e-9)
    assert one[1] == pytest.approx(other[1], rel=1e-6)
