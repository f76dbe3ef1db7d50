"""The section `theory`: what it asks of a study is told in words, all at once."""

import pytest

from mergelaw.config import parse_study
from mergelaw.config.method_checks import is_equal_mean, is_mean
from mergelaw.config.methods import METHODS
from mergelaw.merging.methods import recipe
from mergelaw.theory.linear import why_no_curve
from tests.config.test_problems import problems
from tests.helpers import study_dict

FIRST = "theory.objectives[0]"
UNEVEN = {"parameters": {"weight": {"algebra": 1, "biology": 2, "code": 1}}}
SUMMED = {"parameters": {"normalize": False}}


def searching(**objective):
    return ("theory", {"objectives": [{"label": "own", **objective}]})


CASES = [
    (
        [searching(target="algbra")],
        f"{FIRST}.target = 'algbra': no domain; did you mean 'algebra'?",
    ),
    (
        [searching(target="zzz")],
        f"{FIRST}.target = 'zzz': no domain; allowed here: macro, worst, algebra, biology, code",
    ),
    (
        [searching(mixture={"algebra": 1, "algbra": 2})],
        f"{FIRST}.mixture.algbra: no domain; did you mean 'algebra'?",
    ),
    ([searching(mixture={"code": 0})], f"{FIRST}.mixture: its weights add up to 0"),
    ([searching(mixture={})], f"{FIRST}.mixture: its weights add up to 0"),
    (
        [searching(mixture={"code": -1})],
        f"{FIRST}.mixture.code = -1: should be greater than or equal to 0",
    ),
    (
        [searching(mixture={"code": 1}, target="worst")],
        f"{FIRST}: give either `target` or `mixture`",
    ),
    (
        [searching(max_experts=4)],
        f"{FIRST}.max_experts = 4: allowed 1 to 3, the number of experts",
    ),
    ([searching(bounds=[1, 0])], f"{FIRST}.bounds = [1, 0]: must be two numbers"),
    ([searching(bounds=[1, 1])], f"{FIRST}.bounds = [1, 1]: must be two numbers"),
    (
        [searching(bounds=[0, float("inf")])],
        f"{FIRST}.bounds[1] = inf: should be a finite number",
    ),
    (
        [searching(bounds=[0, 1], sums_to_one=True)],
        f"{FIRST}.bounds = [0, 1]: with sums_to_one weights lie in [0, 1]",
    ),
    (
        [searching(bounds=[0.1, 1], max_experts=2)],
        f"{FIRST}.bounds = [0.1, 1]: max_experts sets weights to 0, which must lie within",
    ),
    (
        [("theory.objectives", [{"label": "a"}, {"label": "a", "target": "code"}])],
        "theory.objectives.label = 'a' occurs 2 times",
    ),
    ([("theory.routes", ["hvp", "hvp"])], "theory.routes = 'hvp' occurs 2 times"),
    ([("theory.routes", ["hessian"])], "theory.routes[0] = 'hessian': should be 'hvp', "),
    ([("theory.routes", [])], "theory.routes = []: "),
    (
        [("theory", {}), ("methods", [{"label": "a", "method": "ties"}])],
        "theory: no method of the study is a mean with one weight for all experts, divided by",
    ),
    (
        [("theory", {}), ("methods", [{"label": "a", "method": "average", **UNEVEN}])],
        "theory: no method of the study is a mean with one weight for all experts, divided by",
    ),
    (
        [("theory", {}), ("methods", [{"label": "a", "method": "dare", **SUMMED}])],
        "theory: no method of the study is a mean with one weight for all experts, divided by",
    ),
    (
        [searching(target="worst"), ("domains.0.name", "worst"), ("experts.0.domain", "worst")],
        f"{FIRST}.target = 'worst': is a domain and the worst domain; rename the domain",
    ),
]


@pytest.mark.parametrize(("changes", "line"), CASES, ids=[line[:60] for _, line in CASES])
def test_a_problem_of_theory_in_words(changes, line):
    told = problems(*changes)
    assert [problem for problem in told if problem.startswith(line)], told


def test_all_problems_are_told_at_once():
    wrong = {"label": "x", "target": "zzz", "bounds": [1, 0], "max_experts": 9}
    assert len(problems(("theory", {"routes": ["hvp", "hvp"], "objectives": [wrong, wrong]}))) == 8


FULL = {
    "routes": ["pairs"],
    "objectives": [
        {"label": "a", "mixture": {"code": 1, "algebra": 0.5}},
        {"label": "b", "sums_to_one": True},
        {"label": "c", "target": "code", "bounds": [0, 3], "max_experts": 3},
        {"label": "d", "target": "worst", "no_worse_than_base": -0.1, "groups": "layers"},
    ],
}


@pytest.mark.parametrize("theory", [{}, FULL, None])
def test_the_resolved_config_is_the_same_study(theory):
    study = parse_study(study_dict() | {"theory": theory})
    assert (study.theory is None) == (theory is None)
    assert parse_study(study.model_dump(mode="json")) == study


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_count_as_means_are_those_that_the_merge_engine_averages_with(name):
    method = METHODS[name].model_validate({"label": name, "method": name})
    assert is_mean(method) == (recipe(method, "seed").mean is not None)


def test_one_weight_for_all_may_be_written_by_expert():
    names = ("a", "b")
    parameters = {"weight": {"a": 2, "b": 2}}
    average = METHODS["average"]
    method = average.model_validate({"label": "x", "method": "average", "parameters": parameters})
    assert is_equal_mean(method, names)
    assert why_no_curve(method, names) is None
    uneven = average.model_validate(
        {"label": "x", "method": "average", "parameters": {"weight": {"a": 2, "b": 1}}}
    )
    assert not is_equal_mean(uneven, names)
    assert "weights differ by expert" in why_no_curve(uneven, names)
    assert is_mean(uneven)
