"""Best weights on surfaces whose optima are known otherwise: solvers, grids, brute force."""

from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize

from mergelaw.config.theory import Objective
from mergelaw.errors import CheckpointError, ConfigError
from mergelaw.theory import search_words
from mergelaw.theory.counted import Counted
from mergelaw.theory.goal import Goal
from mergelaw.theory.penalty import STRENGTHS, Choice, Strength, cross_validate, penalty_matrix
from mergelaw.theory.quadratic import Quadratics
from mergelaw.theory.search import Settings, equal_weights, optimise
from mergelaw.theory.sparse import supports
from mergelaw.theory.steps import Box, Problem
from tests.theory.toys import Toy, toy

EXACT = Settings(tolerance=1e-9, noise_share=0.0, most_steps=40, radius=2.0)


def objective(**settings):
    return Objective(label="test", **settings)


def quiet(monkeypatch):
    """Leave next to no pull, so that optima are those of the losses alone."""
    monkeypatch.setattr("mergelaw.theory.penalty.STRENGTHS", (1e-9,))


def value_of(surface, weights, goal):
    return goal.merit(surface.folds.per_token(surface._parts(weights)[0]))


def solved(surface, goal, constraints=()):
    """Return the least value by an interior-point solver that shares nothing with ours."""
    n = len(equal_weights(surface))

    def losses(x):
        return surface.folds.per_token(surface._parts(x[:n])[0])

    bounds = [(goal.lower, goal.upper)] * n + [(None, None)]
    held = [NonlinearConstraint(lambda x: x[n] - goal.value(losses(x)), 0, np.inf)]
    if goal.mixture is None:
        held = [NonlinearConstraint(lambda x: x[n] - losses(x), 0, np.inf)]
    if goal.limits is not None:
        held.append(NonlinearConstraint(lambda x: goal.limits - losses(x), 0, np.inf))
    held += [LinearConstraint(np.append(row, 0.0), 1, 1) for row in constraints]
    start = np.append(equal_weights(surface), 3.0)
    options = {"maxiter": 3000, "gtol": 1e-10, "xtol": 1e-12}
    found = minimize(
        lambda x: x[n], start, bounds=bounds, constraints=held, method="trust-constr",
        options=options,
    )  # fmt: skip
    return float(found.x[n])


CONSTRAINED = {
    "macro": {},
    "domain": {"target": "d1"},
    "mixture": {"mixture": {"d0": 3, "d2": 1}},
    "box": {"bounds": (0.0, 0.4)},
    "simplex": {"sums_to_one": True},
    "worst": {"target": "worst"},
    "worst in a box": {"target": "worst", "bounds": (0.1, 0.5)},
    "worst on a simplex": {"target": "worst", "sums_to_one": True},
    "no worse": {"target": "d0", "no_worse_than_base": 0.0},
    "worst, no worse": {"target": "worst", "no_worse_than_base": 0.0, "bounds": (0.0, 1.0)},
}


@pytest.mark.parametrize("name", CONSTRAINED)
def test_the_optimum_under_each_constraint_is_an_independent_solver_s(monkeypatch, name):
    quiet(monkeypatch)
    surface = toy(noise=0.02)
    wanted = objective(**CONSTRAINED[name])
    goal = Goal.of(wanted, surface)
    found = optimise(surface, wanted, settings=EXACT)
    simplex = [np.ones(4)] if goal.sums_to_one else []
    assert value_of(surface, found.weights, goal) == pytest.approx(
        solved(surface, goal, simplex), abs=2e-5
    )
    assert found.converged
    assert goal.excess(surface.folds.per_token(found.nll)) < 1e-5
    assert found.weights.min() >= goal.lower
    assert found.weights.max() <= goal.upper
    if goal.sums_to_one:
        assert found.weights.sum() == pytest.approx(1, abs=1e-9)


def test_the_worst_domain_s_optimum_is_that_of_a_grid(monkeypatch):
    quiet(monkeypatch)
    surface = toy(n_experts=2)
    goal = Goal.of(objective(target="worst"), surface)
    axis = np.linspace(-1, 2, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    least = Quadratics.of(surface.curvature(np.zeros(2))).at(grid).max(axis=1).min()
    found = optimise(surface, goal, settings=EXACT)
    assert least - 1e-3 < value_of(surface, found.weights, goal) <= least + 1e-6


def test_a_quadratic_surface_takes_one_curvature_and_two_gradients(monkeypatch):
    quiet(monkeypatch)
    surface = toy()
    found = optimise(surface, objective())
    assert (found.spent.n_products, found.spent.n_gradients, found.spent.n_losses) == (4, 1, 0)
    assert found.spent.forwards == 10 + 3
    hessian = surface.curvature_by_domain.mean(axis=0)
    pull = np.einsum("dij,dj->i", surface.curvature_by_domain, surface.best) / 3
    np.testing.assert_allclose(found.weights, np.linalg.solve(hessian, pull), atol=1e-5)


def test_a_cubic_surface_takes_more_than_one_step(monkeypatch):
    quiet(monkeypatch)
    surface = toy(cubic=0.12, seed=3)
    one = optimise(surface, objective(), settings=replace(EXACT, most_steps=1))
    found = optimise(surface, objective(), settings=EXACT)
    slope = surface.folds.per_token(surface._parts(found.weights)[1]).mean(axis=0)
    assert np.abs(slope).max() < 1e-4
    assert found.spent.n_gradients > one.spent.n_gradients == 1
    assert found.judged.value < one.judged.value - 1e-6


def bent_down():
    """Return a surface that is a saddle at equal weights."""
    curvature = np.array([np.diag([1.0, -1.0])])
    return Toy(np.full((1, 2), 0.5), curvature, np.ones(1), quartic=0.1)


def test_where_the_loss_bends_down_steps_are_bounded_and_it_is_said(monkeypatch):
    quiet(monkeypatch)
    surface = bent_down()
    settings = replace(EXACT, radius=0.5)
    found = optimise(surface, objective(), settings=settings)
    axis = np.linspace(-1, 2, 61)
    grid = [value_of(surface, np.array([a, b]), Goal.of(objective(), surface))
            for a in axis for b in axis]  # fmt: skip
    assert found.judged.value < min(grid) + 1e-3
    assert any("bends down along 1 of 2 directions" in note for note in found.notes)


def test_a_bad_prediction_shrinks_the_region_and_no_step_makes_it_worse(monkeypatch):
    quiet(monkeypatch)
    surface = toy(cubic=0.5, seed=1, n_folds=2)
    seen = []

    class Watched(Counted):
        def gradient(self, weights):
            found = super().gradient(weights)
            seen.append((weights.copy(), found[0]))
            return found

    goal = Goal.of(objective(bounds=(-0.5, 1.0)), surface)
    counted = Watched(surface)
    found = optimise(counted, goal, settings=replace(EXACT, most_steps=8))
    start = value_of(surface, equal_weights(surface), goal)
    assert found.judged.value <= start
    assert found.judged.value == min(
        [start, *(goal.value(surface.folds.per_token(nll)) for _, nll in seen)]
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_experts_are_those_of_brute_force(monkeypatch, size):
    quiet(monkeypatch)
    surface = toy(n_experts=6, seed=size)
    hessian = surface.curvature_by_domain.mean(axis=0)
    pull = np.einsum("dij,dj->i", surface.curvature_by_domain, surface.best) / 3
    goal = Goal.of(objective(bounds=(-3, 3)), surface)
    values = {}
    for chosen in combinations(range(6), size):
        weights = np.zeros(6)
        part = np.ix_(chosen, chosen)
        weights[list(chosen)] = np.linalg.solve(hessian[part], pull[list(chosen)])
        values[chosen] = value_of(surface, weights, goal)
    found = optimise(surface, objective(max_experts=size, bounds=(-3, 3)), settings=EXACT)
    best = min(values, key=values.get)
    assert tuple(np.flatnonzero(found.weights)) == best
    assert found.judged.value == pytest.approx(values[best], abs=1e-6)
    assert found.n_experts(6) == size


def test_of_many_experts_sets_are_searched_for_with_exchanges():
    # leaving out one by one keeps 3 and 59; 3 goes with 4 best, which an exchange alone finds
    asked = []

    def merit(chosen):
        asked.append(chosen)
        return -1e9 if chosen == {3, 4} else -1.0 * sum(chosen) - 1e6 * (3 in chosen)

    ranked = supports(60, 2, merit)
    assert sorted(ranked[0]) == [3, 4]
    assert len(asked) == len(set(asked))
    few = supports(6, 3, lambda chosen: float(-sum(chosen)))
    assert (len(few), sorted(few[0]), sorted(few[-1])) == (20, [3, 4, 5], [0, 1, 2])


def test_groups_of_layers_have_weights_of_their_own(monkeypatch):
    quiet(monkeypatch)
    surface = toy(n_experts=3, groups=("low", "high"))
    found = optimise(surface, objective(groups="layers", max_experts=2), settings=EXACT)
    rows = found.weights.reshape(2, 3)
    assert ((rows == 0).all(axis=0)).sum() == 1  # an expert is left out of all layers
    assert not np.allclose(rows[0], rows[1])
    simplex = optimise(surface, objective(groups="layers", sums_to_one=True), settings=EXACT)
    np.testing.assert_allclose(simplex.weights.reshape(2, 3).sum(axis=1), 1, atol=1e-8)


def test_the_penalty_is_what_its_definition_says():
    draw = np.random.default_rng(5)
    weights, used = draw.standard_normal((3, 4)), np.array([True, True, False, True])
    weights[:, 2] = 0
    matrix = penalty_matrix(Strength(0.7, 0.2), 1.5, 3, used)
    own = weights[:, used].mean(axis=0)
    between = 0.7 * 3 * ((own - own.mean()) ** 2).sum()
    within = 0.2 * ((weights[:, used] - own) ** 2).sum()
    flat = weights.reshape(-1)
    assert flat @ matrix @ flat / 2 == pytest.approx(1.5 / 2 * (between + within))
    scaled = np.tile(1.7 * used / 3, 3)
    assert scaled @ matrix @ scaled == pytest.approx(0, abs=1e-12)  # the best scale is free


def test_the_pull_that_is_chosen_lowers_the_loss_on_other_text():
    others, kinds = [], []
    for seed in range(12):
        surface = toy(n_experts=9, n_domains=4, seed=seed, n_folds=6, noise=1.2)
        surface.best = np.full_like(surface.best, 0.25) + 0.02 * surface.slopes[:4]
        found = optimise(surface, objective(bounds=(-3, 3)))
        bare = plain(surface)
        others.append([surface.truth(found.weights).mean(), surface.truth(bare).mean()])
        kinds.append(found.choice.strength.experts)
    chosen, without = np.mean(others, axis=0)
    assert chosen < without - 0.01
    assert np.median(kinds) > STRENGTHS[2]


def plain(surface):
    """Return the calibration text's own optimum."""
    slope = surface.folds.per_token(surface._parts(np.zeros(9))[1]).mean(axis=0)
    return -np.linalg.solve(surface.curvature_by_domain.mean(axis=0), slope)


def test_cross_validation_s_gain_is_honest_on_average():
    promised, real, own = [], [], []
    for seed in range(30):
        surface = toy(n_experts=5, n_domains=4, seed=seed, n_folds=5, noise=0.8)
        found = optimise(surface, objective(bounds=(-3, 3)), settings=Settings(noise_share=0))
        before = surface.truth(equal_weights(surface)).mean()
        promised.append(found.choice.gain)
        own.append(-found.judged.difference)
        real.append(before - surface.truth(found.weights).mean())
    assert np.mean(own) > np.mean(real) + 0.02  # what the search sees of its own text flatters
    assert abs(np.mean(promised) - np.mean(real)) < 0.5 * (np.mean(own) - np.mean(real))


def test_one_fold_a_domain_leaves_nothing_to_choose_with():
    surface = toy(n_folds=1)
    found = optimise(surface, objective())
    assert np.isnan(found.choice.gain)
    assert found.choice.strength.experts == 0.03
    assert np.isinf(found.judged.stderr)
    assert not found.judged.is_told


def test_a_text_too_noisy_for_the_gain_is_told():
    surface = toy(noise=3.0, n_folds=3, seed=2)
    surface.best = np.full_like(surface.best, 0.25)
    found = optimise(surface, objective())
    gain, error = found.choice.gain, found.choice.stderr
    assert gain < 2 * error
    (note,) = (note for note in found.notes if "not told from 0" in note)
    assert f"cross-validation) the gain over the start is {gain:.4f} +- {error:.4f} " in note
    assert np.abs(found.weights - 0.25).max() < 0.2
    quiet_text = optimise(toy(), objective())
    assert not any("not told" in note for note in quiet_text.notes)


def test_how_much_text_would_tell_a_gain_follows_from_its_error():
    assert "about 4,000 scored tokens would tell" in search_words.enough(0.01, 0.01, 1000)
    assert "about 130,000 scored tokens" in search_words.enough(0.001, 0.0018, 10_000)
    assert "these are 10,000" in search_words.enough(0.001, 0.0018, 10_000)
    assert search_words.enough(0.01, 0.004, 1000) == search_words.enough(-0.01, 0.01, 9) == ""
    unknown = Choice(Strength(0.03, 0.03), np.nan, np.nan)
    assert "give two at least of each" in search_words.untold(unknown, 50)
    assert unknown.text(1).endswith("as none could be chosen")


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_models_whose_promise_is_not_kept_are_called_so(share):
    class Blind(Toy):  # as Gauss-Newton products may be: a part of the curvature is not seen
        def curvature(self, weights, folds=None):
            found = super().curvature(weights, folds)
            return replace(found, curvature=share * found.curvature)

    surface = Blind(**{f.name: getattr(toy(), f.name) for f in fields(Toy) if f.init})
    found = optimise(surface, objective())
    (told,) = [note for note in found.notes if "quadratic models promise" in note] or [None]
    assert (told is not None) == (share < 1)
    assert found.judged.difference < 0, "exact losses decide in either case"


def test_few_experts_that_are_worse_than_all_are_called_so(monkeypatch):
    quiet(monkeypatch)
    surface = toy(seed=3)
    surface.best = np.full_like(surface.best, 0.25)  # the full average is the best merge
    found = optimise(surface, objective(max_experts=2), settings=EXACT)
    first = surface.folds.per_token(surface._parts(np.full(4, 0.25))[0]).mean()
    assert found.value > first
    (note,) = found.notes
    assert note.startswith(
        f"the best merge found of 2 of 4 experts is {found.value - first:.4f} nats per token worse "
        "than the merge of all 4"
    )
    surface.best = np.array([[1.0, 1.0, 0.0, 0.0]] * 3)
    better = optimise(surface, objective(max_experts=2), settings=EXACT)
    assert better.value < first
    assert not better.notes


def test_a_limit_that_nothing_keeps_is_told():
    surface = toy()
    found = optimise(surface, objective(no_worse_than_base=-9.0))
    assert any("no weights were found that keep the limit: d" in note for note in found.notes)


@pytest.mark.parametrize("place", ["losses", "gradient", "curvature"])
def test_what_is_not_finite_names_its_domains(monkeypatch, place):
    surface = toy()
    whole = surface._parts

    def broken(weights):
        parts = [part.copy() for part in whole(weights)]
        parts[("losses", "gradient", "curvature").index(place)][5] = np.nan
        return tuple(parts)

    monkeypatch.setattr(surface, "_parts", broken)
    with pytest.raises(CheckpointError, match="is not finite on d1: no weights can be compared"):
        optimise(surface, objective())


def test_an_objective_that_fits_neither_text_nor_pool_is_refused_whole():
    wanted = objective(target="d9", bounds=(1, 0.5), max_experts=7)
    with pytest.raises(ConfigError) as caught:
        optimise(toy(), wanted)
    assert str(caught.value).splitlines() == [
        "objective 'test': 3 problems",
        "  - target = 'd9': no domain; allowed here: macro, worst, d0, d1, d2",
        "  - bounds = [1, 0.5]: must be two numbers, the smaller first",
        "  - max_experts = 7: allowed 1 to 4, the number of experts",
    ]
    with pytest.raises(ConfigError, match=r"mixture\.x: no domain; allowed here"):
        optimise(toy(), objective(mixture={"x": 1.0}))


def test_several_searches_share_answers_and_each_pays():
    surface = toy()
    shared = Counted(surface)
    first = optimise(shared.fresh(), objective())
    asked = surface.spent.forwards
    again = optimise(shared.fresh(), objective())
    assert surface.spent.forwards == asked
    assert vars(again.spent) == vars(first.spent)
    assert again.spent.forwards == 13


def test_the_strength_is_the_best_of_those_tried_on_left_out_folds():
    surface = toy(n_experts=3, noise=0.5, n_folds=3)
    goal, found = Goal.of(objective(), surface), surface.curvature(np.full(3, 1 / 3))
    unit, used = Quadratics.of(found).unit(), np.ones(3, dtype=bool)

    def best(models, strength):
        matrix = penalty_matrix(strength, unit, 1, used)
        return Problem(goal, models, matrix, Box.of(goal, used), 1).best(models.centre)

    gains = {}
    for strength in STRENGTHS:
        total = 0.0
        for part in range(3):
            out = np.arange(9) % 3 == part
            rest, held = Quadratics.of(found, ~out * 1.0), Quadratics.of(found, out * 1.0)
            weights = best(rest, Strength(strength, 0.0))
            total += (held.loss - held.at(weights)).mean() / 3
        gains[strength] = total
    choice = cross_validate(found, goal, best)
    assert choice.strength.experts == max(gains, key=gains.get)
    assert choice.gain == pytest.approx(max(gains.values()))
