"""Effective updates: their mean is the merge, and the residual is what brute force finds."""

from collections import Counter

import numpy as np
import pytest
import torch

from mergelaw.config.methods import METHODS
from mergelaw.design import Subset
from mergelaw.merging.in_memory import hold
from mergelaw.merging.methods import recipe
from mergelaw.merging.pool import segments
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.theory.updates import effective_updates, residuals, sampled_subsets

EXPERTS = ("a", "b", "c", "d")


def ties(**parameters):
    return METHODS["ties"].model_validate(
        {"label": "ties", "method": "ties", "parameters": parameters}
    )


def vectors(deltas):
    return TaskVectors(
        segments({"w": (deltas.shape[1],)}),
        torch.zeros(deltas.shape[1]),
        dict(zip(EXPERTS, deltas, strict=True)),
    )


def merger_of(deltas, method):
    return hold(vectors(deltas), EXPERTS, recipe(method, "0"), torch.float32, "float32")


@pytest.fixture
def deltas():
    return torch.randn(4, 500, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("parameters", [{}, {"scale": 0.5}, {"normalize": False}])
def test_the_mean_of_effective_updates_is_the_merge_of_the_pool(deltas, parameters):
    method = ties(**parameters)
    merged = torch.empty(500)
    merger_of(deltas, method).merge_into(merged, EXPERTS)
    updates = effective_updates(list(deltas), method.parameters, EXPERTS)
    torch.testing.assert_close(updates.mean(0), merged)
    assert not torch.allclose(updates, deltas * method.parameters.scale), "entries are erased"


def test_where_all_signs_agree_a_merge_is_the_mean_and_nothing_is_left(deltas):
    found = residuals(
        merger_of(deltas.abs(), ties()), ties(), EXPERTS, sampled_subsets(EXPERTS, "x")
    )
    assert found.keys() == {1, 2, 3}
    assert max(residual for _, residual in found.values()) < 1e-6


def test_the_residual_is_that_of_brute_force(deltas):
    subsets = [Subset(("a",)), Subset(("d",)), Subset(("a", "c"))]
    found = residuals(merger_of(deltas, ties()), ties(), EXPERTS, subsets)

    def by_hand(rows):
        sign = np.where(rows.sum(0) < 0, -1, 1)
        agrees = rows * sign > 0
        return (rows * agrees).sum(0) / np.maximum(agrees.sum(0), 1), agrees

    rows = deltas.double().numpy()
    pool, agrees = by_hand(rows)
    updates = 4 * rows * agrees / np.maximum(agrees.sum(0), 1)
    above = below = 0.0
    for index in (0, 3):
        above += ((rows[index] - updates[index]) ** 2).sum()
        below += ((rows[index] - pool) ** 2).sum()
    assert found[1] == (2, pytest.approx(np.sqrt(above / below), rel=1e-5))
    pair, _ = by_hand(rows[[0, 2]])
    ratio = ((pair - updates[[0, 2]].mean(0)) ** 2).sum() / ((pair - pool) ** 2).sum()
    assert found[2] == (1, pytest.approx(np.sqrt(ratio), rel=1e-5))


def test_subsets_are_drawn_by_name_and_stay_below_the_pool():
    names = [f"e{i}" for i in range(9)]
    found = sampled_subsets(names, "one")
    assert found == sampled_subsets(names, "one")
    assert found != sampled_subsets(names, "two")
    counts = Counter(subset.k for subset in found)
    assert counts == dict.fromkeys(range(1, 9), 8)
    assert len(found) == len(set(found)) == 64
    assert found == sorted(found, key=lambda subset: (subset.k, subset.experts))


def test_where_there_are_no_more_all_subsets_are_taken():
    found = sampled_subsets(EXPERTS, "any")
    assert Counter(subset.k for subset in found) == {1: 4, 2: 6, 3: 4}
    assert len(set(found)) == 14
    assert Counter(s.k for s in sampled_subsets(EXPERTS, "any", 5)) == {1: 4, 2: 5, 3: 4}
