"""Plans from laws that come with the package, and from small ones made up."""

import itertools
import json

import numpy as np
import pytest

import mergelaw
from mergelaw.errors import ConfigError, TableError
from mergelaw.laws.forms import joint
from mergelaw.laws.published import DOMAINS, JOINT_PARAMETERS, joint_fits
from mergelaw.planning.finding import curve_at
from mergelaw.planning.law_file import Law, Size
from mergelaw.planning.plan import plan
from mergelaw.planning.prices import Prices, SizeHours
from tests.planning.plan_laws import JOINT, baseline, costs, curve, law_file

AVERAGE_MACRO = {
    0.5: [0.8074, 0.7683, 0.7548, 0.7480, 0.7439, 0.7411, 0.7391, 0.7376, 0.7365],
    32.0: [0.4973, 0.4599, 0.4471, 0.4407, 0.4368, 0.4341, 0.4323, 0.4309, 0.4298],
}
"""Mean of Table 3's nine laws, worked out apart from this code."""


def only(found):
    (law,) = found.laws
    (size,) = law.sizes
    return law, size


@pytest.mark.parametrize("n", AVERAGE_MACRO)
def test_the_papers_macro_is_the_mean_of_its_domains(n):
    _, size = only(plan("qwen2.5/average/macro", size=f"{n:g}b"))
    found = [point.loss for point in size.points]
    np.testing.assert_allclose(found, AVERAGE_MACRO[n], atol=6e-5)


@pytest.mark.parametrize("method", ["average", "task_arithmetic", "ties"])
def test_sizes_off_the_ladder_follow_the_printed_laws(method):
    printed = joint_fits(method).value
    for domain, row in zip(DOMAINS, printed, strict=True):
        law = dict(zip(JOINT_PARAMETERS, row, strict=True))
        _, size = only(plan("qwen2.5", method=method, domain=domain, n_params=20.0))
        expected = joint(20.0, np.arange(1, 10), **law)
        np.testing.assert_allclose([p.loss for p in size.points], expected, rtol=1e-12)
    _, macro = only(plan("qwen2.5", method=method, domain="macro", n_params=20.0))
    each = [joint(20.0, np.arange(1, 10), **dict(zip(JOINT_PARAMETERS, r))) for r in printed]  # noqa: B905
    np.testing.assert_allclose([p.loss for p in macro.points], np.mean(each, axis=0), rtol=1e-12)


def test_a_mean_of_laws_has_their_tail_for_many_experts():
    file = plan_file()
    macro = curve_at(file, file.laws[0], 4.0)
    many = 1000.0
    exact = np.mean([float(joint(4.0, many, **law)) for law in laws_of(file)])
    assert macro.floor + macro.tail / (many + macro.offset) == pytest.approx(exact, abs=1e-8)


def plan_file():
    other = JOINT.model_copy(update={"tail_scale": 3.0, "offset": 0.1, "floor_limit": 1.4})
    laws = [Law(method="average", domain="macro", curves=(curve(),))]
    laws += [
        Law(method="average", domain=name, curves=(curve(),), joint=law)
        for name, law in (("code", JOINT), ("physics", other))
    ]
    return law_file(curve(), laws=tuple(laws))


def laws_of(file):
    return [law.joint.model_dump(exclude={"identified"}) for law in file.laws if law.joint]


def test_the_cost_of_a_plan_by_hand():
    """k = 3: 3 x 10 of training, 1 + 3 x 0.5 of merging, 2 of scoring; at 2 each."""
    prices = Prices(currency="EUR", device_hour={"A100": 2.0})
    law, _ = only(plan(law_file(), prices=prices, budget=50))
    assert [choice.cost for choice in law.bought.choices] == [27.0, 48.0, 69.0, 90.0]
    assert (law.bought.best.k, law.bought.currency) == (2, "EUR")
    at_hand = prices.model_copy(update={"experts": "at_hand"})
    law, _ = only(plan(law_file(), prices=at_hand))
    assert [choice.cost for choice in law.bought.choices] == [7.0, 8.0, 9.0, 10.0]


def test_serving_costs_the_same_for_every_k():
    sizes = (Size(name="small", costs=costs(serve_per_billion_tokens=4.0)),)
    file = law_file(sizes=sizes)
    served = Prices(serve_billions_of_tokens=0.5)
    with_it, without = (
        [c.cost for c in only(plan(file, prices=prices))[0].bought.choices]
        for prices in (served, Prices())
    )
    np.testing.assert_allclose(np.subtract(with_it, without), 2.0)


def test_what_a_budget_buys_is_the_best_of_all():
    """Against a search over every (size, k), at budgets between and at the costs."""
    found = plan("qwen2.5/ties/code", budget=1.0).laws[0].bought
    by_size = {c.size for c in found.choices}
    assert (len(by_size), len(found.choices)) == (7, 63)
    rng = np.random.default_rng(5)
    for budget in [*rng.uniform(5, 4000, 40), *(c.cost for c in found.choices)]:
        best = plan("qwen2.5/ties/code", budget=float(budget)).laws[0].bought.best
        inside = [c.loss for c in found.choices if c.cost <= budget]
        assert (best.loss if best else None) == (min(inside) if inside else None)
        on_front = [c.loss for c in found.front if c.cost <= budget]
        assert min(on_front, default=None) == min(inside, default=None)


def test_the_front_agrees_with_the_first_order_condition():
    """At cost ~ N k, the best (N, k) has beta B N^-beta + gamma A/(k+b) = k A/(k+b)^2."""
    beta, scale, gamma, tail, b = 0.4, 0.3, 0.1, 6.0, 0.4
    budget = 60.0
    k = np.linspace(1, 60, 200_000)
    n = budget / k
    at = np.argmin(joint(n, k, 0.2, scale, beta, tail, gamma, b))
    amplitude = tail * n[at] ** -gamma
    left = beta * scale * n[at] ** -beta + gamma * amplitude / (k[at] + b)
    assert left == pytest.approx(k[at] * amplitude / (k[at] + b) ** 2, rel=1e-3)
    ladder = np.geomspace(1, 60, 300)
    sizes, curves = [], []
    for i, n_params in enumerate(map(float, ladder)):
        hours = costs(n_params, merge=0.0, merge_per_expert=0.0, evaluate=0.0)
        sizes.append(Size(name=f"s{i}", n_params_billions=n_params, costs=hours))
        loss = tuple(joint(n_params, np.arange(1, 61), 0.2, scale, beta, tail, gamma, b))
        curves.append(curve(f"s{i}", pool=60, loss=loss))
    found = plan(law_file(*curves, sizes=tuple(sizes)), budget=budget).laws[0].bought.best
    best = float(joint(n[at], k[at], 0.2, scale, beta, tail, gamma, b))
    assert found.loss == pytest.approx(best, rel=1e-3)  # whole experts, sizes of a ladder
    assert found.n_params_billions == pytest.approx(n[at], rel=0.1)
    assert found.k == pytest.approx(k[at], rel=0.1)


def test_the_cheapest_plan_meets_the_target_with_the_probability():
    small = curve("small", stderr=(0.1,) * 4)
    large = curve("large", floor=1.0, stderr=(0.1,) * 4)
    law = plan(law_file(small, large), target=2.3, prices=Prices(), probability=0.9).laws[0]
    assert (law.bought.cheapest.size, law.bought.cheapest.k) == ("large", 1)
    law = plan(law_file(small, large), target=2.45, prices=Prices(), probability=0.9).laws[0]
    assert (law.bought.cheapest.size, law.bought.cheapest.k) == ("small", 4)
    assert law.bought.cheapest.chance == pytest.approx(0.9772, abs=1e-4)


def test_hours_that_are_not_known_leave_a_size_out_with_the_way_out():
    file = law_file(sizes=(Size(name="small", costs=costs(None)),))
    law, _ = only(found := plan(file, budget=10))
    assert law.bought.choices == ()
    assert "train_expert is not known; experts: at_hand, or hours.small" in law.bought.notes[0]
    assert not found.is_answered
    told = Prices(hours={"small": SizeHours(train_expert=1.0)})
    law, _ = only(plan(file, budget=10, prices=told))
    assert [choice.cost for choice in law.bought.choices] == [4.5, 6.0, 7.5, 9.0]


def test_sizes_off_the_ladder_cost_in_proportion():
    file = law_file(curve("small"), curve("large"))
    laws = (file.laws[0].model_copy(update={"joint": JOINT}),)
    file = file.model_copy(update={"laws": laws})
    each = 1 + 0.5 + 2
    for n, cost, near in (
        (2.0, 2 * (10 + each), "small"),
        (20.0, 2 * (100 + each), "large"),
        (0.5, (10 + each) / 2, "small"),
    ):
        law = plan(file, n_params=n, prices=Prices()).laws[0]
        assert law.bought.choices[0].cost == pytest.approx(cost)
        assert f"in proportion to N from {near}" in law.bought.notes[0]


def test_merging_against_multitask_training():
    sizes = (Size(name="small", costs=costs(train_multitask=50.0)),)
    file = law_file(sizes=sizes, baselines=(baseline(multitask=2.4),))
    _, size = only(plan(file, prices=Prices()))
    rival = size.multitask
    assert (rival.k, rival.cost, rival.merge_cost) == (3, 52.0, 34.5)
    file = law_file(sizes=sizes, baselines=(baseline(multitask=2.1),))
    _, size = only(plan(file))
    assert (size.multitask.k, size.multitask.best_k) == (None, 4)
    assert "stays 0.1500 above it" in size.multitask.reason
    assert only(plan(law_file()))[1].multitask is None


def test_a_plan_stops_where_a_gain_is_small_and_not_clear():
    known = curve(gain_stderr=(0.01, 0.01, 0.05))
    assert only(plan(law_file(known), eps=0.2))[1].stop.k == 3
    assert only(plan(law_file(known), eps=0.05))[1].stop.in_pool is False


def test_plans_are_json_and_tell_what_was_asked():
    raw = plan("qwen2.5/average", target=0.4, budget=100, eps=0.01, gap=0.01).as_dict()
    assert json.loads(json.dumps(raw, allow_nan=False)) == json.loads(json.dumps(raw))
    assert raw["question"]["prices"]["currency"] == "device-hours"
    assert {law["domain"] for law in raw["laws"]} == {"macro", *DOMAINS}
    assert mergelaw.plan is plan


def test_a_fit_can_be_planned_with():
    fit = mergelaw.fit_law({1: 2.267, 2: 1.899, 4: 1.710}, 9)
    _, size = only(plan(fit, target=1.75))
    assert size.needed[0].k == next(p.k for p in size.points if p.loss <= 1.75)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"target": -0.5}, "--target -0.5: must be a finite number above 0; losses are cross"),
        ({"target": float("nan")}, "--target nan"),
        ({"budget": 0.0}, "with nothing to spend there is nothing to weigh"),
        ({"gap": 0.0}, "--gap 0"),
        ({"eps": -1.0}, "--eps -1"),
        ({"probability": 1.0}, "no law is certain"),
        ({"shares": [90]}, "such as 0.9 for 90%"),
        ({"k": 12}, "--k 12: the pool has 9 experts"),
        ({"n_params": 0.0}, "--n-params 0: must be a finite number above 0, in billions"),
    ],
)
def test_numbers_without_sense_are_refused(asked, words):
    with pytest.raises(ConfigError, match="plan: 1 problem") as found:
        plan("qwen2.5/average/code", **asked)
    assert words in str(found.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError, match="plan: 3 problems"):
        plan("qwen2.5", target=-1, gap=0, k=10)


@pytest.mark.parametrize(
    ("law", "asked", "words"),
    [
        ("qwen2.5/averge/code", {}, "did you mean 'average'?"),
        ("qwen2.5/average/cod", {}, "did you mean 'code'?"),
        ("qwen2.5/average/code", {"size": "8b"}, "at size '8b'; allowed here: 0.5b, 1.5b"),
        ("qwen25", {}, "did you mean 'qwen2.5'?"),
        ("nowhere/average", {}, "no results of a study"),
    ],
)
def test_names_that_are_unknown_are_told_with_the_nearest(law, asked, words):
    with pytest.raises(TableError) as found:
        plan(law, **asked)
    assert words in str(found.value)


def test_a_law_without_sizes_has_none_off_the_ladder():
    with pytest.raises(TableError, match="no law over sizes of average/code"):
        plan(law_file(), n_params=3.0)


def test_prices_must_go_with_the_laws():
    with pytest.raises(ConfigError, match="has no price for A100"):
        plan(law_file(), prices=Prices(currency="EUR", device_hour={"H100": 2.0}))
    hours = {"larg": SizeHours(merge=1.0)}
    with pytest.raises(ConfigError, match=r"hours\.larg: the laws have no such size"):
        plan(law_file(), prices=Prices(hours=hours))


def test_hours_of_your_own_need_a_device_that_has_a_price():
    file = law_file(sizes=(Size(name="small"),))
    told = {"train_expert": 1.0, "merge": 2.0, "evaluate": 0.5}
    hours = {"small": SizeHours(**told)}
    with pytest.raises(ConfigError, match=r"hours\.small are of no device that the laws name"):
        plan(file, prices=Prices(currency="EUR", device_hour={"H100": 3.0}, hours=hours))
    prices = Prices(currency="EUR", device_hour={"H100": 3.0}, hours=hours, device="H100")
    law, _ = only(plan(file, prices=prices))
    assert [choice.cost for choice in law.bought.choices] == [10.5, 13.5, 16.5, 19.5]


def test_a_size_that_some_laws_lack_is_told_of_the_others():
    here, there = law_file(curve("small"), curve("large")).laws[0], law_file(curve("small")).laws[0]
    file = law_file(
        curve("small"),
        curve("large"),
        laws=(here, there.model_copy(update={"domain": "physics"})),
    )
    assert [law.domain for law in plan(file, size="large").laws] == ["code"]
    assert [law.domain for law in plan(file, size="small").laws] == ["code", "physics"]
    with pytest.raises(TableError, match="no law of these at size 'huge'"):
        plan(file, size="huge")


def test_every_unknown_name_is_told():
    with pytest.raises(TableError) as found:
        plan("qwen2.5", method=["averge"], domain=["cod", "physics"])
    assert [line.split(" has no law of ")[1] for line in str(found.value).splitlines()[1:]] == [
        "method 'averge'; did you mean 'average'?",
        "domain 'cod'; did you mean 'code'?",
    ]


def test_every_shipped_law_can_be_planned_with():
    for method, domain in itertools.product(["average", "task_arithmetic", "ties"], DOMAINS):
        _, size = only(plan(f"qwen2.5/{method}/{domain}", size="7b", target=0.6))
        assert all(needed.chance is None for needed in size.needed)


@pytest.mark.parametrize(
    ("law", "asked", "words"),
    [
        (42, {}, "law = 42: must be a name, a path, a law file"),
        ("qwen2.5", {"size": 7}, "size = 7: must be a name"),
        ("qwen2.5", {"method": ["average", None]}, "method = None: must be a name"),
        ("qwen2.5", {"target": "low"}, "--target 'low': must be a number"),
        ("qwen2.5", {"probability": ["x"]}, "--probability 'x': must be a number"),
        ("qwen2.5", {"k": 1.5}, "--k 1.5: must be a whole number"),
    ],
)
def test_what_is_no_question_is_refused_in_words(law, asked, words):
    with pytest.raises(ConfigError) as found:
        plan(law, **asked)
    assert words in str(found.value)
