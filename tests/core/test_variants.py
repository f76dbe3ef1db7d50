"""Merges beside the design: balanced subsets, the same at every scale; distinct orders."""

from collections import Counter

import pytest

from mergelaw.config.study import Orders, Scales
from mergelaw.design import Subset
from mergelaw.errors import ConfigError
from mergelaw.variants import (
    at_scale,
    draw_orders,
    order_series,
    order_subsets,
    scale_series,
    scale_subsets,
    scaled_methods,
)
from tests.helpers import study_of

TEN = [{"name": f"e{i}", "domain": "algebra"} for i in range(10)]


def scaled(n_experts=3, **section):
    return study_of(("experts", TEN[:n_experts]), ("scales", section))


def labels(*methods):
    return [entry.label for entry in scaled_methods(study_of(("methods", list(methods))))]


# --- scales ---


@pytest.mark.parametrize("n_experts", range(2, 11))
@pytest.mark.parametrize("count", range(1, 11))
def test_experts_occur_equally_often_as_far_as_possible(n_experts, count):
    study = scaled(n_experts, subsets_per_k=count, k=list(range(1, n_experts + 1)))
    for k, subsets in scale_subsets(study).items():
        assert {subset.k for subset in subsets} == {k}
        assert len(subsets) == len(set(subsets)) == (min(count, n_experts) if k < n_experts else 1)
        times = Counter(name for subset in subsets for name in subset.experts)
        counts = [times[name] for name in study.expert_names]
        assert max(counts) - min(counts) <= 1
        if k * len(subsets) % n_experts == 0:
            assert max(counts) == min(counts)


def test_subsets_depend_on_the_seed():
    drawn = [
        scale_subsets(study_of(("experts", TEN), ("scales", {"subsets_per_k": 3}), ("seed", seed)))
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("n_experts", "scales", "orders"),
    [(2, (1, 2), (2,)), (3, (1, 2, 3), (2, 3)), (9, (1, 3, 6, 9), (2, 4, 9))],
)
def test_k_when_absent(n_experts, scales, orders):
    assert Scales().ks(n_experts) == scales
    assert Orders().ks(n_experts) == orders
    assert Scales(k=[5, 1]).ks(9) == (1, 5)


def test_every_scale_has_the_same_merges_and_each_method_the_base_once():
    series = scale_series(scaled(fitted=[1.3, 0.8, 1.0], checked=[0.4]))
    for label in ("ta", "ties", "dare"):
        mine = [part for part in series if part.method.label == label]
        assert [part.scale for part in mine] == [0.4, 0.8, 1.0, 1.3]
        assert [part.method.parameters.scale for part in mine] == [0.4, 0.8, 1.0, 1.3]
        assert mine[0].merges == (Subset(()), *mine[1].merges)
        assert mine[1].merges == mine[2].merges == mine[3].merges
    assert {part.method.label for part in series} == {"ta", "ties", "dare"}


def test_average_is_task_arithmetic_where_there_is_no_other():
    average = {"label": "mean", "method": "average", "parameters": {"weight": 2.0}}
    arithmetic = {"label": "ta", "method": "task_arithmetic", "parameters": {"weight": 2.0}}
    assert labels(average, arithmetic) == ["ta"]
    (entry,) = scaled_methods(study_of(("methods", [average])))
    assert (entry.label, entry.method) == ("mean", "task_arithmetic")
    assert entry.parameters.weight == 2.0
    assert at_scale(entry, 0.4).parameters.scale == 0.4
    weighted = arithmetic | {"parameters": {"weight": 1.0}}
    assert labels(average, weighted) == ["mean", "ta"], "other weights are another mean"


def test_entries_that_differ_in_their_scale_alone_are_measured_once():
    ties = {"label": "a", "method": "ties", "parameters": {"scale": 0.5}}
    same = {"label": "b", "method": "ties", "parameters": {"scale": 1.0}}
    trimmed = {"label": "c", "method": "ties", "parameters": {"density": 0.5}}
    assert labels(ties, same, trimmed) == ["a", "c"]


def test_methods_without_a_scale_of_a_mean_are_left_out():
    summed = {"label": "sum", "method": "ties", "parameters": {"normalize": False}}
    sphere = {"label": "sphere", "method": "karcher"}
    assert labels(summed, sphere, {"label": "dare", "method": "dare"}) == ["dare"]


# --- orders and mask seeds ---


def test_orders_are_distinct_and_all_of_them_where_there_are_fewer():
    study = study_of(("seed", 5))
    pair, many = Subset(("a", "b")), Subset(("a", "b", "c", "d"))
    assert {order.experts for order in draw_orders(pair, 4, study)} == {("a", "b"), ("b", "a")}
    drawn = draw_orders(many, 10, study)
    assert len(set(drawn)) == 10
    assert all(sorted(order.experts) == list(many.experts) for order in drawn)
    assert draw_orders(many, 12, study)[:10] == drawn
    assert draw_orders(many, 10, study_of(("seed", 6))) != drawn


def test_orders_are_summed_in_bfloat16_and_masks_drawn_in_one_order():
    study = study_of(("orders", {"orders": 3, "mask_seeds": 2}), ("mask_seeds", [7]))
    series = order_series(study)
    orders = [part for part in series if part.accumulate == "sequential_bfloat16"]
    masks = [part for part in series if part.accumulate == "float32"]
    assert [part.method.label for part in orders] == list(study.method_labels)
    assert [part.mask_seed for part in orders] == [0, 0, 0, 7]
    assert [(part.method.label, part.mask_seed) for part in masks] == [("dare", 0), ("dare", 1)]
    subsets = order_subsets(study)
    assert all(part.merges == subsets for part in masks)
    assert {subset.k for subset in subsets} == {2, 3}
    for part in orders:
        counts = Counter(tuple(sorted(merge.experts)) for merge in part.merges)
        assert counts == {s.experts: 2 if s.k == 2 else 3 for s in subsets}


def test_a_method_merges_the_k_that_it_takes_alone():
    pairs = {"label": "pair", "method": "nuslerp"}
    arc = {"label": "arc", "method": "slerp"}
    design = [{"kind": "exhaustive", "k": [2]}]
    study = study_of(("methods", [pairs]), ("orders", {}), ("design", design))
    assert {merge.k for part in order_series(study) for merge in part.merges} == {2}
    only_one = study_of(
        ("methods", [arc]), ("orders", {}), ("design", [{"kind": "exhaustive", "k": [1]}])
    )
    assert order_series(only_one) == ()


@pytest.mark.parametrize("series", [scale_series, order_series])
def test_without_its_section_there_is_nothing_to_merge(series):
    with pytest.raises(ConfigError, match=r"(scales|orders): is missing"):
        series(study_of())
