"""Designs: the right subsets, in an order that only appends, the same in every process."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest
from scipy.stats import chisquare

from mergelaw.design import (
    Subset,
    affine_plane,
    chunks,
    cyclic,
    exhaustive,
    permutations,
    prefixes,
    subsets,
    two_design,
    uniform,
)
from tests.helpers import study_of

NINE = tuple("abcdefghi")


def names(drawn) -> list[str]:
    return [subset.name for subset in drawn]


def study_with(*parts, pool=NINE):
    experts = [{"name": name, "domain": "algebra"} for name in pool]
    return study_of(("experts", experts), ("design", list(parts)))


def test_a_subset_is_named_by_its_experts():
    assert Subset(("a", "b")).name == "a+b"
    assert (Subset(()).name, Subset(()).k, Subset(("a", "b")).k) == ("base", 0, 2)


@pytest.mark.parametrize("m", [1, 3, 9])
def test_exhaustive_is_every_non_empty_subset_once(m):
    expected = {c for k in range(1, m + 1) for c in combinations(NINE[:m], k)}
    drawn = [subset.experts for subset in exhaustive(NINE[:m])]
    assert len(drawn) == 2**m - 1
    assert set(drawn) == expected


def test_a_study_starts_with_the_base_and_has_2_to_the_m_subsets():
    drawn = names(subsets(study_with({"kind": "exhaustive"}), "small"))
    assert drawn[0] == "base"
    assert len(set(drawn)) == len(drawn) == 2**9


def test_a_new_expert_appends():
    pool = ("m", "c", "z", "a")  # not sorted: the config's order decides, names are sorted inside
    smaller = names(exhaustive(pool))
    assert names(exhaustive((*pool, "b")))[: len(smaller)] == smaller
    assert "a+b+c+m+z" in names(exhaustive((*pool, "b")))


def test_a_new_k_appends_and_k_is_respected():
    drawn = names(exhaustive(NINE, (2, 5)))
    assert names(exhaustive(NINE, (2, 5, 3)))[: len(drawn)] == drawn
    assert Counter(s.k for s in exhaustive(NINE, (2, 5))) == {
        2: math.comb(9, 2),
        5: math.comb(9, 5),
    }


def test_a_new_expert_appends_at_every_k():
    assert names(exhaustive(NINE, (3,)))[: math.comb(8, 3)] == names(exhaustive(NINE[:8], (3,)))


def test_uniform_is_distinct_with_the_right_k():
    drawn = list(uniform(NINE, (1, 4, 9), 20, seed=3))
    assert len(set(drawn)) == len(drawn)
    assert Counter(s.k for s in drawn) == {1: 9, 4: 20, 9: 1}  # all where there are fewer than 20
    assert all(list(s.experts) == sorted(set(s.experts)) for s in drawn)


def test_a_longer_uniform_list_extends_a_shorter_one():
    short = names(uniform(NINE, (1, 4, 9), 5, seed=3))
    assert names(uniform(NINE, (1, 4, 9), 30, seed=3))[: len(short)] == short


def test_uniform_draws_every_subset_with_equal_chance():
    counts = Counter(s for seed in range(3000) for s in uniform(NINE[:5], (2,), 4, seed))
    assert len(counts) == math.comb(5, 2)
    assert chisquare(list(counts.values())).pvalue > 1e-3  # seeds are fixed: passes always or never


def test_another_seed_is_another_draw():
    assert names(uniform(NINE, (4,), 9, seed=0)) != names(uniform(NINE, (4,), 9, seed=1))
    assert permutations(NINE, 3, 10, seed=0) != permutations(NINE, 3, 10, seed=1)


def hamming(a, b):
    return sum(x != y for x, y in zip(a, b, strict=True))


def least_distance(orders):
    return min(hamming(a, b) for a, b in combinations(orders, 2))


def test_algorithm_1_starts_with_an_order_and_its_reverse():
    orders = permutations(NINE, 15, 200, seed=0)
    assert len(orders) == 15
    assert all(sorted(order) == list(NINE) for order in orders)
    assert orders[1] == orders[0][::-1]
    assert permutations(NINE, 20, 200, seed=0)[:15] == orders


def test_algorithm_1_spreads_far_wider_than_chance():
    far = [least_distance(permutations(NINE, 15, 1000, seed)) for seed in range(3)]
    chance = [least_distance(permutations(NINE, 15, 1, seed)) for seed in range(30)]
    assert min(far) >= 7  # the paper's design reaches 7 to 9
    assert max(chance) < min(far)


def test_prefixes_grow_along_each_permutation():
    drawn = [s.experts for s in prefixes([("c", "a", "b"), ("b", "a", "c")], (1, 2, 3))]
    assert drawn == [("c",), ("a", "c"), ("a", "b", "c"), ("b",), ("a", "b"), ("a", "b", "c")]


def test_parts_never_repeat_a_subset_and_each_is_chunked_on_its_own():
    pairs = {"kind": "exhaustive", "k": [2], "chunk_size": 10}
    more = {"kind": "uniform", "subsets_per_k": 6, "k": [2, 3], "chunk_size": 4}
    cut = chunks(study_with(pairs, more), "small")
    assert [len(chunk.subsets) for chunk in cut] == [10, 10, 10, 7, 4, 2]  # base + 36 pairs, then 6
    assert [chunk.index for chunk in cut] == list(range(6))
    every = [subset for chunk in cut for subset in chunk.subsets]
    assert len(set(every)) == len(every)
    assert {subset.k for chunk in cut[4:] for subset in chunk.subsets} == {3}
    assert cut[:4] == chunks(study_with(pairs), "small"), "a new part touches no old chunk"


def test_chunks_are_slices_whatever_their_size():
    whole = list(subsets(study_with({"kind": "exhaustive"}), "small"))
    cut = chunks(study_with({"kind": "exhaustive", "chunk_size": 100}), "small")
    assert [len(chunk.subsets) for chunk in cut] == [100] * 5 + [12]
    assert [subset for chunk in cut for subset in chunk.subsets] == whole


def test_a_size_may_have_a_design_of_its_own():
    study = study_of(("sizes.1.design", [{"kind": "exhaustive", "k": [1]}]))
    assert names(subsets(study, "large")) == ["base", "algebra", "biology", "code"]
    assert len(names(subsets(study, "small"))) == 8


def test_the_same_in_every_process():
    program = (
        "import json\nfrom mergelaw.design import permutations, uniform\n"
        "print(json.dumps([[s.name for s in uniform('abcdefghi', (2, 4), 9, 1)],"
        " [list(p) for p in permutations('abcdefghi', 4, 50, 1)]]))"
    )
    drawn = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                capture_output=True,
                env=os.environ | {"PYTHONHASHSEED": seed},
            ).stdout
        )
        for seed in ("1", "2")
    ]
    here = [names(uniform(NINE, (2, 4), 9, 1)), [list(p) for p in permutations(NINE, 4, 50, 1)]]
    assert drawn == [here, here]


def times_together(drawn, size):
    """Return how often each group of `size` experts is in one subset."""
    return Counter(group for s in drawn for group in combinations(s.experts, size))


@pytest.mark.parametrize("k", range(1, 10))
def test_cyclic_has_every_expert_equally_often(k):
    drawn = cyclic("hbdacfgei", k)
    assert len(set(drawn)) == len(drawn) == (9 if k < 9 else 1)
    assert {s.k for s in drawn} == {k}
    assert set(times_together(drawn, 1).values()) == {k if k < 9 else 1}


@pytest.mark.parametrize("q", [2, 3, 5, 7])
def test_two_points_of_the_affine_plane_share_one_line(q):
    classes = affine_plane(q)
    assert len(classes) == q + 1
    for parallel in classes:
        assert sorted(point for line in parallel for point in line) == list(range(q * q))
    pairs = Counter(p for c in classes for line in c for p in combinations(sorted(line), 2))
    assert len(pairs) == math.comb(q * q, 2)
    assert set(pairs.values()) == {1}


@pytest.mark.parametrize(
    ("m", "k", "n_subsets", "n_meetings"),
    [(9, 3, 12, 1), (9, 6, 12, 5), (9, 4, 18, 3), (9, 5, 18, 5), (16, 4, 20, 1), (25, 5, 30, 1),
     (25, 20, 30, 19), (25, 8, 75, 7), (25, 17, 75, 34)],
)  # fmt: skip
def test_a_two_design_has_every_pair_equally_often(m, k, n_subsets, n_meetings):
    pool = [f"e{i:02}" for i in range(m)]
    drawn = two_design(pool[::-1], k)
    assert len(set(drawn)) == len(drawn) == n_subsets
    assert {s.k for s in drawn} == {k}
    pairs = times_together(drawn, 2)
    assert len(pairs) == math.comb(m, 2)
    assert set(pairs.values()) == {n_meetings}
    assert n_meetings * m * (m - 1) == n_subsets * k * (k - 1)


@pytest.mark.parametrize(("m", "k"), [(9, 2), (9, 7), (8, 3), (4, 2), (1, 1), (25, 7)])
def test_no_two_design_is_claimed_where_none_is_built(m, k):
    assert two_design([f"e{i}" for i in range(m)], k) is None
