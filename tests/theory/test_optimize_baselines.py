"""Other ways to choose weights: what each finds on known surfaces, and what it pays."""

from itertools import combinations

import numpy as np
import pytest

from mergelaw.config.theory import Objective
from mergelaw.theory import baselines, ways
from mergelaw.theory.comparison import compare, evolved, forwards_to_reach
from mergelaw.theory.counted import Counted
from mergelaw.theory.goal import Goal
from mergelaw.theory.quadratic import Quadratics
from mergelaw.theory.search import Settings, equal_weights, optimise
from tests.theory.toys import toy


def asked(surface, **settings):
    counted = Counted(surface)
    return counted, Goal.of(Objective(label="test", **settings), counted)


def value(surface, goal, weights):
    return goal.value(surface.folds.per_token(surface._parts(np.asarray(weights))[0]))


def averages(n):
    for k in range(1, n + 1):
        for chosen in combinations(range(n), k):
            yield np.isin(np.arange(n), chosen) / k


def test_the_full_average_costs_one_pass():
    surface, goal = asked(toy())
    found = baselines.full_average(surface, goal)
    np.testing.assert_array_equal(found.weights, np.full(4, 0.25))
    assert vars(surface.spent) == vars(found.spent)
    assert (found.spent.forwards, found.way) == (1, ways.FULL_AVERAGE)


def test_the_best_scale_is_that_of_a_parabola():
    inner = toy()
    surface, goal = asked(inner)
    found = baselines.best_scale(surface, goal)
    models = Quadratics.of(inner.curvature(np.zeros(4)))
    one = np.full(4, 0.25)
    slope, bend = (models.slope @ one).mean(), (one @ models.curvature @ one).mean()
    assert found.weights.sum() == pytest.approx(-slope / bend, abs=0.02)
    assert len(set(found.weights)) == 1
    assert 5 <= found.spent.forwards <= 14


def test_the_best_subset_of_a_quadratic_is_the_best_of_all():
    inner = toy(n_experts=5, seed=4)
    surface, goal = asked(inner)
    found = baselines.best_subset(surface, goal)
    best = min(averages(5), key=lambda weights: value(inner, goal, weights))
    np.testing.assert_allclose(found.weights, best)
    assert found.spent.forwards == 10 + baselines.CHECKED
    few, limited = asked(inner, max_experts=2)
    best = min(
        (w for w in averages(5) if (w > 0).sum() <= 2), key=lambda w: value(inner, limited, w)
    )
    np.testing.assert_allclose(baselines.best_subset(few, limited).weights, best)


def test_the_soup_takes_experts_as_its_recipe_says():
    inner = toy(n_experts=5, seed=2)
    surface, goal = asked(inner)
    found = baselines.greedy_soup(surface, goal)
    order = sorted(range(5), key=lambda i: value(inner, goal, np.eye(5)[i]))
    members = [order[0]]
    for one in order[1:]:
        wider, now = (np.isin(np.arange(5), m) / len(m) for m in ([*members, one], members))
        if value(inner, goal, wider) < value(inner, goal, now):
            members.append(one)
    np.testing.assert_allclose(found.weights, np.isin(np.arange(5), members) / len(members))
    assert found.spent.forwards == 5 + 4


@pytest.mark.parametrize("settings", [{}, {"target": "worst"}, {"sums_to_one": True}])
def test_gradients_and_evolution_reach_the_optimum_given_time(settings):
    inner = toy(seed=5)
    newton = optimise(inner, Objective(label="x", **settings), settings=Settings(noise_share=0))
    for way in (
        lambda s, g: baselines.gradient(s, g, 600),
        lambda s, g: baselines.cma_es(s, g, 900, "test"),
    ):
        surface, goal = asked(inner, **settings)
        start = value(inner, goal, equal_weights(inner))
        found = way(surface, goal)
        reached = value(inner, goal, found.weights)
        assert start - reached > 0.9 * (start - newton.judged.value)
        assert found.spent.forwards <= 900


def test_budgets_are_kept_and_counted():
    surface, goal = asked(toy())
    found = baselines.gradient(surface, goal, 31)
    assert (found.spent.n_gradients, found.spent.forwards) == (10, 30)
    evolved = baselines.cma_es(surface.fresh(), goal, 25, "test")
    assert (evolved.spent.n_losses, evolved.spent.forwards) == (25, 25)
    assert not evolved.converged
    again = baselines.cma_es(surface.fresh(), goal, 25, "test")
    np.testing.assert_array_equal(again.weights, evolved.weights)
    other = baselines.cma_es(surface.fresh(), goal, 25, "another")
    assert not np.array_equal(other.weights, evolved.weights)


def test_evolution_draws_about_equal_weights_at_their_own_scale():
    surface, goal = asked(toy(n_experts=9))
    drawn, inner = [], surface.inner
    losses, inner.losses = inner.losses, lambda w: (drawn.append(w), losses(w))[1]
    baselines.cma_es(surface, goal, 10, "test")  # one generation
    apart = np.array(drawn) - 1 / 9
    assert len(drawn) == 10
    assert 0.2 / 9 < np.sqrt((apart**2).mean()) < 0.4 / 9


def test_evolutions_share_a_run_and_descent_keeps_to_twice_the_search():
    surface = Counted(toy(n_experts=5))
    beside = (ways.CMA_ES, ways.CMA_ES_LONG, ways.GRADIENT)
    newton, short, long, descent = compare(surface, Objective(label="test"), beside).found
    assert surface.inner.spent.n_losses == long.spent.n_losses == 3 * newton.spent.forwards
    assert short.spent.forwards == newton.spent.forwards
    assert long.value <= short.value
    assert 2 * newton.spent.forwards - 3 < descent.spent.forwards <= 2 * newton.spent.forwards


def test_evolution_stops_when_it_is_told_to():
    surface, goal = asked(toy())
    seen = []

    def watch(forwards, weights):
        seen.append(forwards)
        return len(seen) == 3

    found = baselines.cma_es(surface, goal, 500, "test", watch=watch)
    assert found.spent.forwards == seen[-1] < 500
    assert seen == sorted(seen)


def test_the_quadratic_through_losses_is_exact_where_the_surface_is_one():
    inner = toy(n_experts=9, noise=0.1)
    surface, goal = asked(inner)
    found = baselines.quadratic(surface, goal)
    assert found.spent.forwards == 55 + 1
    newton = optimise(inner, goal)
    np.testing.assert_allclose(found.weights, newton.weights, atol=1e-6)


def test_the_quadratic_through_losses_stays_near_equal_weights():
    surface, goal = asked(toy(n_experts=9))
    drawn, inner = [], surface.inner
    losses, inner.losses = inner.losses, lambda w: (drawn.append(w), losses(w))[1]
    baselines.quadratic(surface, goal)
    assert len(drawn) == 55 + 1
    assert np.abs(np.array(drawn[:55]) - 1 / 9).max() == pytest.approx(0.5 / 9)


LIMITS = [
    ({"max_experts": 2}, "4 experts, where 2 are allowed"),
    ({"bounds": (-1.0, 0.2)}, "weights from 0.25 to 0.25, where -1 to 0.2 are allowed"),
    ({"no_worse_than_base": -5.0}, "nats per token above its limit"),
]


@pytest.mark.parametrize(("settings", "words"), LIMITS)
def test_a_way_that_does_not_keep_the_limits_says_so(settings, words):
    every = (ways.FULL_AVERAGE, ways.BEST_SCALE, ways.BEST_SUBSET, ways.CMA_ES)
    done = compare(Counted(toy()), Objective(label="test", **settings), every)
    notes = {found.way: [n for n in found.notes if "breaks a limit" in n] for found in done.found}
    assert [note.startswith("breaks a limit: ") for note in notes[ways.FULL_AVERAGE]] == [True]
    assert words in notes[ways.FULL_AVERAGE][0]
    if "max_experts" in settings:
        assert all(notes[way] for way in (ways.BEST_SCALE, ways.CMA_ES))
        assert not notes[ways.BEST_SUBSET]
    if "bounds" in settings:
        assert not notes[ways.CMA_ES]
    assert not any("breaks" in note for note in compare(Counted(toy()), FREE, every).found[1].notes)


FREE = Objective(label="test")


def test_the_best_scale_keeps_bounds_and_a_simplex():
    surface, goal = asked(toy(), bounds=(0.0, 0.1))
    limited = baselines.best_scale(surface, goal)
    surface, goal = asked(toy(), sums_to_one=True)
    convex = baselines.best_scale(surface, goal)
    np.testing.assert_array_equal(convex.weights, np.full(4, 0.25))
    assert convex.notes == ("c = 1, as weights sum to 1",)
    inner = toy()
    inner.best = np.full_like(inner.best, 0.5)  # 0.1 is better than 0, and 0.25 than that
    surface, goal = asked(inner, bounds=(0.0, 0.1))
    asked_for = []
    losses, inner.losses = inner.losses, lambda w: (asked_for.append(w), losses(w))[1]
    baselines.best_scale(surface, goal)
    assert max(w[0] for w in asked_for[1:]) <= 0.1 + 1e-9
    assert limited.spent.forwards < 15


def test_what_evolution_pays_is_read_off_its_path():
    surface, goal = asked(toy())
    path = evolved(surface, goal, 60, "a")
    costs, merits = zip(*((f, value(surface.inner, goal, w)) for f, w in path), strict=True)
    assert list(costs) == sorted(costs)
    assert list(merits) == sorted(merits, reverse=True)
    assert costs[-1] <= 60

    def judged(weights):
        return value(surface.inner, goal, weights)

    third = merits[2]
    assert forwards_to_reach(path, judged, third) == costs[2]
    assert forwards_to_reach(path, judged, third + 1e-9) == costs[2]
    assert forwards_to_reach(path, judged, third - 1e-9) == costs[3]
    assert forwards_to_reach(path, judged, merits[-1] - 1e-9) is None


def test_every_way_has_a_title_and_a_name_of_its_own():
    assert len(set(ways.WAYS)) == len(ways.WAYS) == 9
    assert ways.WAYS[0] == "newton"
