"""The planner's formulas against numbers worked out by hand, and against the forms of the laws."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from mergelaw.laws.forms import fractional_return, k_for_return
from mergelaw.laws.published import rows
from mergelaw.planning import answers
from mergelaw.planning.budget import Choice, best_within, cheapest, front
from tests.planning.plan_laws import curve

FOUR = curve()
"""Losses 3, 2.5, 2.333, 2.25 over a floor of 2."""


@pytest.mark.parametrize(
    ("target", "status", "k"),
    [
        (3.0, "met", 1),
        (2.5, "met", 2),
        (2.4, "met", 3),
        (2.25, "met", 4),
        (2.2, "beyond pool", 5),
        (2.01, "beyond pool", 100),
        (2.0, "unreachable", None),
        (1.5, "unreachable", None),
    ],
)
def test_a_target_needs_the_fewest_experts_by_the_law(target, status, k):
    needed = answers.needed(FOUR, target, 0.9)
    assert (needed.status, needed.k, needed.chance) == (status, k, None)


@pytest.mark.parametrize("freedom", [None, 4.0])
def test_a_probability_asks_for_more_experts(freedom):
    known = curve(stderr=(0.1, 0.1, 0.1, 0.1), freedom=freedom)
    errors = norm if freedom is None else student(freedom)
    for probability in (0.1, 0.5, 0.9):
        needed = answers.needed(known, 2.45, probability)
        chances = [errors.cdf((2.45 - loss) / 0.1) for loss in known.loss]
        assert needed.k == next(k for k, p in enumerate(chances, 1) if p >= probability)
        assert needed.chance == pytest.approx(chances[needed.k - 1], rel=1e-12)


def test_a_target_that_the_pool_meets_by_too_small_a_chance():
    needed = answers.needed(curve(stderr=(0.1,) * 4), 2.26, 0.9)
    assert (needed.status, needed.k) == ("unlikely", None)
    assert needed.chance == pytest.approx(norm.cdf(0.1), rel=1e-12)


def test_a_target_that_the_floors_error_covers_is_unlikely_not_unreachable():
    known = curve(stderr=(0.1,) * 4, floor_stderr=0.1)
    needed = answers.needed(known, 1.9, 0.9)
    assert (needed.status, needed.k) == ("unlikely", None)
    assert needed.chance == pytest.approx(norm.cdf(-3.5), rel=1e-12)
    assert "standard error 0.1), whose error covers it" in needed.reason
    assert answers.needed(known, 1.79, 0.9).status == "unreachable"
    assert answers.needed(curve(stderr=(0.1,) * 4), 1.9, 0.9).status == "unreachable"


def test_experts_beyond_counting_are_no_number():
    steep = curve(tail=1e308, loss=(4.0, 3.0, 2.5, 2.4))
    assert answers.needed(steep, 2.3, None).k is None
    near = answers.near_floor(steep, 1e-300)
    assert (near.k, near.in_pool) == (None, False)
    assert "it takes more than 1e+15" in near.reason


def test_a_loss_that_is_known_exactly_is_met_or_not():
    assert answers.chance_at_most(2.5, 2.5, 0.0, 4.0) == 1
    assert answers.chance_at_most(2.4, 2.5, 0.0, None) == 0


def test_below_the_pool_nothing_is_told_where_the_floor_is_not_identified():
    vague = curve(identified=False)
    assert answers.needed(vague, 2.1, None).status == "not identified"
    assert answers.needed(vague, 2.3, None).k == 4
    assert answers.near_floor(vague, 0.1).k is None


def test_the_papers_numbers_near_the_floor():
    """Appendix J.1: within 0.01 of the floor, code needs 8 and 5 experts, biology 18 of its 9."""
    fits = {row["domain"]: row for row in rows("12")}
    for domain, n, k in (("code", 0.5, 8), ("code", 32, 5), ("biology", 0.5, 18)):
        fit = {name: float(fits[domain][name]) for name in fits[domain] if name != "domain"}
        tail = fit["tail_scale"] * n ** -fit["tail_exponent"]
        near = answers.near_floor(curve(tail=tail, offset=fit["offset"], pool=9), 0.01)
        assert (near.k, near.in_pool) == (k, k <= 9)


@pytest.mark.parametrize("offset", [0.0, 0.4, 1.2])
@pytest.mark.parametrize("pool", [2, 9, 16])
def test_returns_are_the_laws(offset, pool):
    law = curve(offset=offset, pool=pool)
    ks = np.arange(1, pool + 1)
    expected = fractional_return(ks, offset, pool)
    np.testing.assert_allclose(answers.returns(law.loss), expected, atol=1e-12)
    for share in (0.5, 0.85, 0.9, 1.0):
        assert answers.k_of_return(law.loss, share) == k_for_return(share, offset, pool)


def test_a_law_that_does_not_fall_has_no_return():
    assert answers.returns((2.0, 2.0)) is None
    assert answers.k_of_return((2.0,), 0.9) is None


def test_gains_are_of_one_more_expert():
    np.testing.assert_allclose(answers.gains(FOUR.loss), [1 / 2, 1 / 6, 1 / 12])


def test_the_target_of_k_experts_needs_k_experts():
    """Round trip: loss(k(target)) <= target < loss(k - 1)."""
    law = curve(offset=0.3, pool=9)
    for target in np.linspace(law.loss[-1], law.loss[0], 50):
        k = answers.needed(law, float(target), None).k
        assert law.loss[k - 1] <= target
        assert k == 1 or target < law.loss[k - 2]


def choices(*pairs):
    return [Choice("s", None, k, cost, loss) for k, (cost, loss) in enumerate(pairs, 1)]


def test_the_front_has_what_none_is_both_as_cheap_and_as_good_as():
    found = front(choices((1, 3), (2, 3), (2, 2), (3, 2.5), (4, 1), (4, 1)))
    assert [(choice.cost, choice.loss) for choice in found] == [(1, 3), (2, 2), (4, 1)]


def test_the_best_and_the_cheapest():
    given = choices((1, 3), (2, 2), (4, 1))
    assert best_within(given, 3).loss == 2
    assert best_within(given, 0.5) is None
    assert cheapest(given, 2.5, 0.9).cost == 2
    assert cheapest(given, 0.5, 0.9) is None


def test_intervals_are_of_the_stated_kind():
    assert answers.half_width(0.1, None) == pytest.approx(0.1 * norm.ppf(0.975))
    assert answers.half_width(0.1, 5) == pytest.approx(0.1 * student(5).ppf(0.975))
    assert math.isclose(answers.half_width(0.0, 5), 0)
