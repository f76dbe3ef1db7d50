"""Gains by four estimators against brute force over permutations, subsets and refits."""

from itertools import combinations, permutations

import numpy as np
import polars as pl
import pytest

from mergelaw.config import Study
from mergelaw.design import permutations as algorithm_1
from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.synergy_estimators import synergy_estimators, trajectory
from mergelaw.laws.analyses.synergy_surface import mean_step, surface_gains
from mergelaw.laws.members import Measured
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.surface import PENALTIES

NOISE = np.random.default_rng(1).normal(size=(2**6, 2))


def rough(subset, domain=0):
    """Return a loss that is smooth in no way, one number for each subset and domain."""
    return 5 + NOISE[sum(1 << i for i in subset), domain]


@pytest.fixture
def ready(make_losses):
    """Return the losses of a study's subsets, from a function of subset and domain."""

    def build(study, loss, ks=None):
        made = make_losses(study, lambda s, m, subset, d, seed: [loss(subset, d)] * 2, ks)
        return subset_losses(prepare(made, study))

    return build


def gains(table, estimator, domain="d0"):
    chosen = table.filter(pl.col("estimator") == estimator, pl.col("receiver") == domain)
    return dict(chosen.select("donor", "gain").iter_rows())


def matrix(n_experts, ks=None):
    ks = range(1, n_experts + 1) if ks is None else ks
    subsets = [subset for k in ks for subset in combinations(range(n_experts), k)]
    return subsets, np.array([[i in subset for i in range(n_experts)] for subset in subsets])


def brute_balanced(loss, n_experts, donor):
    others = [i for i in range(n_experts) if i != donor]
    within = [
        np.mean([loss(s) - loss(tuple(sorted((*s, donor)))) for s in combinations(others, k)])
        for k in range(1, n_experts)
    ]
    return np.mean(within)


def test_shapley_is_the_mean_over_all_orders_and_shares_out_the_whole_drop(make_study, ready):
    study = make_study(4, sizes=["s0"])
    found = gains(synergy_estimators(ready(study, rough), study), "shapley", "d1")
    steps = np.zeros((24, 4))
    for row, order in zip(steps, permutations(range(4)), strict=True):
        for t, donor in enumerate(order):
            prefix = tuple(sorted(order[:t]))
            row[donor] = rough(prefix, 1) - rough(tuple(sorted(order[: t + 1])), 1)
    assert list(found.values()) == pytest.approx(steps.mean(axis=0), abs=1e-12)
    assert sum(found.values()) == pytest.approx(rough((), 1) - rough((0, 1, 2, 3), 1))


def test_balanced_leaves_the_step_from_the_base_out(make_study, ready):
    study = make_study(4, sizes=["s0"])
    found = gains(synergy_estimators(ready(study, rough), study), "balanced")
    assert list(found.values()) == pytest.approx([brute_balanced(rough, 4, d) for d in range(4)])


@pytest.mark.parametrize("missing", ["base", "e0+e2"])
def test_shapley_needs_every_subset_and_the_base(make_study, ready, missing):
    study = make_study(4, sizes=["s0"])
    losses = ready(study, rough).filter(pl.col("subset") != missing)
    found = synergy_estimators(losses, study)["estimator"].unique()
    assert set(found) == {"balanced", "regression", "trajectory"}


def test_on_a_quadratic_loss_regression_from_some_k_gives_the_gains_of_all_subsets(
    make_study, make_quadratic, ready
):
    study, items = make_study(6, sizes=["s0"]), make_quadratic(6, 2)

    def loss(subset, domain=0):
        return items(subset)[domain]

    whole = synergy_estimators(ready(study, loss), study)
    sample = synergy_estimators(ready(study, loss, ks=(1, 2, 4)), study)
    for domain in ("d0", "d1"):
        target = gains(whole, "balanced", domain)
        assert gains(whole, "regression", domain) == pytest.approx(target, abs=1e-7)
        assert gains(sample, "regression", domain) == pytest.approx(target, abs=1e-6)
    assert gains(sample, "balanced") != pytest.approx(gains(whole, "balanced"), abs=0.01)


@pytest.mark.parametrize("n_experts", [2, 3, 5])
def test_the_mean_step_is_that_of_all_subsets(n_experts):
    def features(subset):
        shares = np.isin(np.arange(n_experts), subset) / len(subset)
        return np.concatenate([shares, np.outer(shares, shares).ravel()])

    for donor in range(n_experts):
        expected = brute_balanced(features, n_experts, donor)  # a mean of all, column by column
        others = [i for i in range(n_experts) if i != donor]
        steps = [
            np.mean([features(s) - features((*s, donor)) for s in combinations(others, k)], axis=0)
            for k in range(1, n_experts)
        ]
        assert mean_step(n_experts, donor) == pytest.approx(np.mean(steps, axis=0), abs=1e-14)
        assert mean_step(n_experts, donor).mean() == pytest.approx(expected, abs=1e-14)


def test_the_ridge_penalty_is_the_one_that_predicts_left_out_subsets_best():
    subsets, members = matrix(4)
    losses = np.array([[np.mean(subset) ** 2 + rough(subset) / 4] for subset in subsets])
    shares = members / members.sum(axis=1, keepdims=True)
    features = np.hstack([shares, np.einsum("si,sj->sij", shares, shares).reshape(len(shares), -1)])
    largest = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)[0]

    def ridge(rows, penalty):
        centre, level = features[rows].mean(axis=0), losses[rows, 0].mean()
        x = features[rows] - centre
        inner = x.T @ x + penalty * np.eye(x.shape[1])
        slope = np.linalg.solve(inner, x.T @ (losses[rows, 0] - level))
        return slope, lambda row: level + (features[row] - centre) @ slope

    def left_out_error(penalty):
        every = np.arange(len(subsets))
        fits = [ridge(np.delete(every, i), penalty)[1] for i in every]
        return sum((fit(i) - losses[i, 0]) ** 2 for i, fit in enumerate(fits))

    penalties = PENALTIES[PENALTIES > 1e-9] * largest**2  # below, the plain solve loses digits
    best = min(penalties, key=left_out_error)
    assert penalties[0] < best < penalties[-1]
    slope = ridge(np.arange(len(subsets)), best)[0]
    expected = [mean_step(4, donor) @ slope for donor in range(4)]
    assert surface_gains(members, losses)[:, 0] == pytest.approx(expected, rel=1e-6)


def test_regression_is_silent_where_all_subsets_have_one_k():
    subsets, members = matrix(9, ks=(3,))  # what tells the donors apart, but not a step from k
    losses = np.array([[float(sum(subset))] for subset in subsets])
    assert np.isnan(surface_gains(members, losses)).all()


def test_regression_is_silent_on_an_expert_in_every_subset():
    subsets, members = matrix(5)
    always = members[:, 0]
    losses = np.array([[rough(subset)] for subset in subsets])
    found = surface_gains(members[always], losses[always])
    assert np.isnan(found[0]).all()
    assert not np.isnan(surface_gains(members, losses)).any()


def test_trajectory_averages_the_measured_steps_from_the_second_expert_on():
    subsets, members = matrix(3)
    measured = [s != (0, 2) for s in subsets]
    loss = {(0,): 9.0, (1,): 8.0, (2,): 7.0, (0, 1): 6.0, (1, 2): 4.5, (0, 1, 2): 3.0}
    losses = np.array([[loss[s]] for s in subsets if s != (0, 2)])
    table = Measured("s0", "average", members[measured], losses)
    found = trajectory(table, [(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
    #   0 1 2: 1 gains 9 - 6, 2 gains 6 - 3;  1 0 2: 0 gains 8 - 6, 2 gains 6 - 3
    #   0 2 1: {0, 2} is not measured;        2 1 0: 1 gains 7 - 4.5, 0 gains 4.5 - 3
    assert found.gain[:, 0] == pytest.approx([(2 + 1.5) / 2, (3 + 2.5) / 2, 3.0])
    assert found.stderr[:, 0] == pytest.approx([0.25, 0.25, 0.0])


def test_a_single_step_has_no_standard_error_and_a_donor_without_steps_no_gain():
    subsets, members = matrix(3)
    losses = np.array([[rough(subset)] for subset in subsets])
    found = trajectory(Measured("s0", "average", members, losses), [(0, 1, 2)])
    assert np.isnan(found.gain[0, 0])
    assert not np.isnan(found.gain[1:]).any()
    assert np.isnan(found.stderr).all()


def test_equal_donors_differ_by_trajectory_because_it_mixes_k():
    subsets, members = matrix(4)
    losses = np.array([[1 / len(subset)] for subset in subsets])  # no expert differs
    table = Measured("s0", "average", members, losses)
    found = trajectory(table, [(0, 1, 2, 3), (2, 1, 0, 3)]).gain[:, 0]
    assert found[1] == pytest.approx(1 / 2)
    assert found[3] == pytest.approx(1 / 12)
    balanced = [brute_balanced(lambda s: 1 / len(s), 4, donor) for donor in range(4)]
    assert balanced == pytest.approx([balanced[0]] * 4)


@pytest.mark.parametrize("own", [False, True])
def test_trajectories_are_those_of_the_study_or_of_algorithm_1(make_study, ready, own):
    study = make_study(5, sizes=["s0"])
    count, candidates = (4, 10) if own else (15, 1000)
    if own:
        part = {"kind": "max_min_hamming", "permutations": count, "candidates": candidates}
        study = Study.model_validate(study.model_dump() | {"design": [part]})
    orders = algorithm_1(study.expert_names, count, candidates, study.seed)
    steps = {name: [] for name in study.expert_names}
    for order in orders:
        for t in range(1, 5):
            before, after = (tuple(sorted(int(e[1]) for e in order[:n])) for n in (t, t + 1))
            steps[order[t]].append(rough(before) - rough(after))
    expected = {name: np.mean(found) for name, found in steps.items() if found}
    found = gains(synergy_estimators(ready(study, rough), study), "trajectory")
    assert found == pytest.approx(expected)


def test_sampled_sizes_keep_what_their_subsets_tell(make_study, ready):
    study = make_study(4, sizes=["s0"])
    losses = ready(study, rough).filter(pl.col("subset").is_in(["base", "e0", "e1", "e0+e1"]))
    table = synergy_estimators(losses, study)
    assert gains(table, "balanced") == pytest.approx(
        {"e0": rough((1,)) - rough((0, 1)), "e1": rough((0,)) - rough((0, 1))}
    )
    assert not set(gains(table, "regression")) & {"e2", "e3"}


def test_a_balanced_mean_is_over_the_same_k_for_every_donor(make_study, ready):
    """No expert differs, and e3 has a pair at k = 1 alone: a mean over that would be 1/2."""
    study = make_study(4, sizes=["s0"])
    losses = ready(study, lambda subset, domain: 1 + 1 / max(len(subset), 1), ks=(1, 2, 3))
    no_pair = losses.filter(~((pl.col("k") == 3) & pl.col("subset").str.contains("e3")))
    expected = (1 / 2 + 1 / 6) / 2
    assert gains(synergy_estimators(no_pair, study), "balanced") == pytest.approx(
        dict.fromkeys(("e0", "e1", "e2"), expected)
    )


def test_regression_needs_no_two_subsets_that_differ_by_one_expert(make_study, ready):
    study = make_study(6, sizes=["s0"])
    table = synergy_estimators(ready(study, rough, ks=(1, 3, 6)), study)
    assert set(table["estimator"]) == {"regression"}
    assert len(gains(table, "regression")) == 6


def test_subsets_of_one_k_tell_no_gain(make_study, ready):
    study = make_study(4, sizes=["s0"])
    with pytest.raises(NotMadeError, match="differ by one expert"):
        synergy_estimators(ready(study, rough, ks=(0, 2)), study)


@pytest.mark.parametrize("names", [("z", "y", "x", "w"), ("m", "c", "a", "k")])
def test_other_names_change_no_gain(make_study, ready, names):
    study = make_study(4, sizes=["s0"])
    losses = ready(study, rough)
    new = dict(zip(study.expert_names, names, strict=True))
    experts = [expert.model_copy(update={"name": new[expert.name]}) for expert in study.experts]
    renamed = losses.with_columns(
        pl.col("subset").map_elements(
            lambda name: "+".join(sorted(new.get(e, e) for e in name.split("+"))),
            return_dtype=pl.String,
        )
    ).sort("subset", "domain", descending=True)
    table = synergy_estimators(renamed, study.model_copy(update={"experts": tuple(experts)}))
    original = synergy_estimators(losses, study)
    assert table["gain"].to_list() == pytest.approx(original["gain"].to_list(), abs=1e-9)
    assert table["donor"].to_list() == [new[name] for name in original["donor"]]


def test_another_order_of_the_pool_permutes_the_gains_of_regression():
    subsets, members = matrix(5)
    losses = np.array([[rough(subset)] for subset in subsets])
    order = [3, 0, 4, 2, 1]
    found = surface_gains(members[:, order], losses)
    assert found == pytest.approx(surface_gains(members, losses)[order], abs=1e-9)
