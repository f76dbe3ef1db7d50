"""Methods with a curve are those whose merges are means of what each expert adds alone."""

import pytest
import torch

from mergelaw.config.method_checks import takes
from mergelaw.config.methods import METHODS
from mergelaw.errors import ConfigError
from mergelaw.merging.in_memory import hold
from mergelaw.merging.methods import recipe
from mergelaw.merging.pool import segments
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.theory.linear import refuse_nonlinear, scale_of, why_no_curve

EXPERTS = ("a", "b", "c", "d")


def entry(name, **parameters):
    return METHODS[name].model_validate({"label": name, "method": name, "parameters": parameters})


def deltas_of(method):
    """Return what is added to the base by each subset: the single experts, and all of them."""
    made = torch.Generator().manual_seed(2)
    rows = {name: torch.randn(400, generator=made) for name in EXPERTS}
    base = torch.randn(400, generator=made)
    pool = TaskVectors(segments({"w": (20, 20)}), base, rows)
    merger = hold(pool, EXPERTS, recipe(method, "0"), torch.float32, "float32")
    found = []
    for subset in (*((name,) for name in EXPERTS), EXPERTS):
        merged = torch.empty(400)
        merger.merge_into(merged, subset)
        found.append(merged - base)
    return torch.stack(found[:-1]), found[-1]


def taken(name):
    return {k for k in (1, 4) if takes(entry(name).k_range, k)}


ALL = [
    *(entry(name) for name in METHODS if {1, 4} <= taken(name)),
    entry("average", weight={"a": 1, "b": 2, "c": 1, "d": 1}),
    entry("average", weight={"a": 2, "b": 2, "c": 2, "d": 2}),
    entry("task_arithmetic", normalize=False),
]


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.method)
def test_a_curve_is_told_of_means_alone(method):
    single, whole = deltas_of(method)
    is_mean = torch.allclose(whole, single.mean(0), atol=1e-5)
    assert (why_no_curve(method, EXPERTS) is None) == is_mean


MEANS = ("average", "task_arithmetic", "dare", "breadcrumbs", "della_linear")


@pytest.mark.parametrize("name", [name for name in METHODS if name not in MEANS])
def test_all_others_have_a_reason_and_are_refused(name):
    reason = why_no_curve(entry(name), EXPERTS)
    assert reason.startswith(f"{name} ({name}): ")
    with pytest.raises(ConfigError, match=r"take average|take a method"):
        refuse_nonlinear(entry(name))
    with pytest.raises(ValueError, match="has no scale"):
        scale_of(entry(name))


@pytest.mark.parametrize("name", MEANS)
def test_means_have_a_curve(name):
    assert why_no_curve(entry(name), EXPERTS) is None


def test_scales_of_means():
    assert scale_of(entry("average")) == 1
    assert scale_of(entry("dare", scale=0.7)) == 0.7
