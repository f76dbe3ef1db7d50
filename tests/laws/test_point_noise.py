"""The noise of points that share items and sampled subsets."""

from itertools import combinations

import numpy as np
import pytest

from mergelaw.laws.curves import curves
from mergelaw.laws.point_noise import item_noise, noise_of, sources, subset_noise
from mergelaw.laws.rows import prepare

LOSSES = np.random.default_rng(3).normal(size=(5, 2)) @ [[1.0, 0.8], [0.0, 0.5]]


def sampled(first, second):
    """Return the losses of two sizes, NaN but for their sampled subsets."""
    seen = np.full_like(LOSSES, np.nan)
    seen[list(first), 0], seen[list(second), 1] = LOSSES[list(first), 0], LOSSES[list(second), 1]
    return seen


@pytest.mark.parametrize("n_second", [4, 3, 2])
def test_subset_noise_is_right_on_the_mean_over_all_samples(n_second):
    # the second size has some of the subsets that the first has
    pairs = [(a, b) for a in combinations(range(5), 4) for b in combinations(a, n_second)]
    made = [sampled(*pair) for pair in pairs]
    means = np.array([np.nanmean(each, axis=0) for each in made])
    expected = np.cov(means, rowvar=False, ddof=0)
    found = [subset_noise(each, 5).covariance for each in made]
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=1e-12)


def test_samples_drawn_apart_have_no_common_noise_on_the_mean():
    draws = [(a, b) for a in combinations(range(5), 4) for b in combinations(range(5), 4)]
    found = [subset_noise(sampled(*pair), 5).covariance[0, 1] for pair in draws]
    spread = np.cov(LOSSES.T)[0, 1]
    assert abs(np.mean(found)) < 0.02 * spread


def test_a_size_with_all_subsets_has_no_noise():
    noise = subset_noise(sampled(range(5), range(3)), 5)
    np.testing.assert_allclose(noise.covariance[0], 0, atol=1e-15)
    assert noise.covariance[1, 1] > 0
    assert noise.freedom == 2


def test_item_noise_is_the_covariance_of_the_draws():
    draws = np.random.default_rng(0).normal(size=(101, 3)) @ np.diag([1, 2, 3.0])
    noise = item_noise(draws, 50)
    np.testing.assert_allclose(noise.covariance, np.cov(draws.T))
    assert noise.freedom == pytest.approx(1 / (1 / 50 + 1 / 100))


def losses(s, m, subset, d, seed):
    spread = 0.1 * np.sin(5 * sum(subset) + d) / max(1, len(subset))
    return np.array([2.0, 2.5]) + 1 / (len(subset) + 0.3) + (1 + s) * spread


def noise_in(study, table, method="average", domain="macro"):
    rows = prepare(table, study)
    mine = curves(rows, study).filter(method=method, domain=domain)
    mine = mine.filter(mine["k"] > 0)
    return mine, noise_of(mine, sources(rows, study))


def test_all_subsets_measured_leave_the_noise_of_items(make_study, make_losses):
    study = make_study(4)
    points, noises = noise_in(study, make_losses(study, losses))
    assert len(noises) == 1
    np.testing.assert_allclose(np.sqrt(np.diag(noises[0].covariance)), points["token_se"])


def test_sampled_subsets_are_noise_that_sizes_share(make_study, make_losses):
    design = [{"kind": "uniform", "subsets_per_k": 4}]
    study = make_study(4).model_copy(update={"design": ()})
    study = type(study).model_validate(study.model_dump() | {"design": design})
    table = make_losses(study, losses)
    kept = ["e0+e1", "e0+e2", "e1+e3", "e2+e3"]
    table = table.filter((table["k"] != 2) | table["subset"].is_in(kept))
    points, (_, of_two) = noise_in(study, table)
    at = (points["k"] == 2).to_numpy()
    covariance = of_two.covariance
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), points["subset_se"], atol=1e-12)
    assert not covariance[~at].any()
    # the spread over subsets grows with the size here, else it is the same: correlation 1
    np.testing.assert_allclose(
        covariance[np.ix_(at, at)] / covariance[at, at][0], np.outer(range(1, 5), range(1, 5))
    )
    assert of_two.freedom == 3


def test_one_item_or_subsets_chosen_by_hand_leave_it_unknown(make_study, make_losses):
    study = make_study(4)
    one = make_losses(study, lambda *c: losses(*c)[:1], n_tokens=(10,))
    assert noise_in(study, one)[1] is None
    by_hand = type(study).model_validate(
        study.model_dump() | {"design": [{"kind": "max_min_hamming", "permutations": 2}]}
    )
    some = make_losses(by_hand, losses)
    some = some.filter((some["k"] != 2) | some["subset"].is_in(["e0+e1", "e0+e2"]))
    assert noise_in(by_hand, some)[1] is None
