"""Balanced designs within a budget: never exceeded, nested, the same everywhere, told in words."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mergelaw.config import read_study
from mergelaw.design import balanced, chunks, levels, merges_for, sampling, subsets
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from mergelaw.planned import balance_lines, balanced_parts, write_subsets
from mergelaw.tables import read_provenance
from tests.helpers import study_of

NINE = tuple("abcdefghi")
CONFIGS = Path(__file__).parents[2] / "config"


def pool_of(m):
    return tuple(f"e{i:02}" for i in range(m))


def study_with(*parts, pool=NINE):
    experts = [{"name": name, "domain": "algebra"} for name in pool]
    return study_of(("experts", experts), ("design", list(parts)))


def part(merges, **keys):
    return {"kind": "balanced", "merges": merges, **keys}


@pytest.mark.parametrize("merges", [34, 40])
def test_nine_experts_and_forty_merges(merges):
    found = levels(NINE, merges, None, 0)
    assert [(level.k, len(level.subsets)) for level in found] == [(1, 9), (3, 12), (6, 12), (9, 1)]
    assert all(level.is_exact for level in found)
    assert [level.experts for level in found] == [(1, 1), (4, 4), (8, 8), (1, 1)]
    assert [level.pairs for level in found] == [(0, 0), (1, 1), (5, 5), (1, 1)]
    assert merges_for(9, 4) == 34


@pytest.mark.parametrize("m", [3, 4, 5, 6, 7, 8, 9, 10])
@pytest.mark.parametrize("ks", [None, (2, 3), (3, 1)])
def test_a_budget_is_never_exceeded_and_a_larger_one_keeps_all(m, ks):
    kept = []
    for merges in range(m + 1, min(2**m, 150)):
        drawn = list(balanced(pool_of(m), merges, ks, 5))
        assert len(drawn) <= merges
        assert len(set(drawn)) == len(drawn)
        assert drawn[: len(kept)] == kept, "appended only, in the same order"
        kept = drawn
        if ks is None:
            assert {1, m} <= {subset.k for subset in drawn}


def test_a_budget_for_all_buys_all():
    drawn = list(balanced(pool_of(6), 63, None, 1))
    every = {c for k in range(1, 7) for c in itertools.combinations(pool_of(6), k)}
    assert {subset.experts for subset in drawn} == every


def test_whole_designs_only_but_of_the_first_three_k():
    for merges in range(22, 120):
        assert all(level.is_exact for level in levels(NINE, merges, None, 2)), merges
    cut = levels(NINE, 17, None, 2)
    assert [(level.k, len(level.subsets)) for level in cut] == [(1, 9), (3, 7), (9, 1)]
    three = cut[1]
    assert not three.is_exact
    assert three.experts == (2, 3), "the first blocks have each expert about equally often"


def test_second_designs_have_other_subsets_and_stay_exact():
    found = {level.k: level for level in levels(NINE, 200, None, 0)}
    assert len(found[3].subsets) == 24
    assert found[3].is_exact
    assert found[3].pairs == (2, 2)


def test_a_new_k_in_the_list_appends_to_first_designs():
    short, long = (list(balanced(NINE, 40, ks, 0)) for ks in ((1, 3), (1, 3, 6)))
    assert long[:21] == short[:21]
    assert [subset.k for subset in long[21:33]] == [6] * 12


@pytest.mark.parametrize("m", [8, 10, 11, 14])
def test_what_is_not_exact_is_told(m):
    for level in levels(pool_of(m), 8 * m, None, 0):
        pairs = [
            sum(set(pair) <= set(subset.experts) for subset in level.subsets)
            for pair in itertools.combinations(pool_of(m), 2)
        ]
        assert level.pairs == (min(pairs), max(pairs))
        assert level.is_exact == (min(pairs) == max(pairs))


def test_names_and_the_seed_decide_and_not_their_order():
    drawn = [s.name for s in balanced(NINE, 34, None, 3)]
    assert [s.name for s in balanced(NINE[::-1], 34, None, 3)] == drawn
    assert {s.name for s in balanced(NINE, 34, None, 4)} != set(drawn)


def test_every_expert_stands_anywhere_under_some_seed():
    """Every triple is a line under as many seeds as chance would have: 12 of 84."""
    seeds = 700
    times = dict.fromkeys(itertools.combinations(NINE, 3), 0)
    for seed in range(seeds):
        for subset in balanced(NINE, 12, (3,), seed):
            times[subset.experts] += 1
    expected = seeds * 12 / 84
    assert max(abs(n - expected) for n in times.values()) < 4.5 * math.sqrt(expected * 6 / 7)


def test_the_same_in_every_process():
    program = (
        "from mergelaw.design import balanced\n"
        "print(*(s.name for s in balanced('abcdefghij', 60, None, 1)))"
    )
    drawn = [
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert drawn == [[s.name for s in balanced("abcdefghij", 60, None, 1)]] * 2


@pytest.mark.parametrize("m", [9, 10, 13])
def test_its_mean_of_a_quadratic_loss_is_that_of_all_subsets(m):
    draw = np.random.default_rng(m)
    vectors, gradient = draw.normal(size=(m, 5)), draw.normal(size=5)
    root = draw.normal(size=(5, 5))
    number = {name: i for i, name in enumerate(pool_of(m))}

    def loss(members):
        step = vectors[list(members)].mean(axis=0)
        return 3 + gradient @ step + step @ root @ root.T @ step / 2

    exact = [level for level in levels(pool_of(m), 6 * m, None, 0) if level.is_exact]
    assert len(exact) >= 4
    for level in exact:
        mean = np.mean([loss([number[name] for name in s.experts]) for s in level.subsets])
        every = np.mean([loss(c) for c in itertools.combinations(range(m), level.k)])
        assert mean == pytest.approx(every, rel=1e-12)


def test_chunks_are_appended_by_a_larger_budget():
    small, large = (chunks(study_with(part(merges, chunk_size=10)), "small") for merges in (34, 60))
    assert small[0].subsets[0].k == 0
    assert large[: len(small) - 1] == small[:-1]
    assert large[len(small) - 1].subsets[: len(small[-1].subsets)] == small[-1].subsets


def test_how_a_k_was_sampled():
    study = study_with(part(34))
    assert [sampling(study, "small", k) for k in (1, 3, 9)] == ["balanced"] * 3
    near = study_with(part(15))
    assert sampling(near, "small", 3) == "random"
    both = study_with(part(34), {"kind": "uniform", "subsets_per_k": 3, "k": [3]})
    assert sampling(both, "small", 3) is None
    assert sampling(both, "small", 6) == "balanced"
    assert sampling(study_with({"kind": "exhaustive"}), "small", 4) == "random"
    assert sampling(study_with({"kind": "max_min_hamming"}), "small", 4) is None


def test_a_design_in_words():
    [found] = balanced_parts(study_with(part(40)), "small")
    first, *rest = balance_lines(found)
    assert first == "balanced: 34 of at most 40 merges a method; 6 buy no further whole design"
    assert "k = 3: 12 of 84, exact: an expert in 4, a pair in 1 (affine space" in rest[1]
    [cut] = balanced_parts(study_with(part(15, k=[1, 3, 6])), "small")
    short = "6 of 84, cut short of the 12 that are balanced: an expert in 2, a pair in 0 to 1"
    assert short in balance_lines(cut)[2]
    [ends] = balanced_parts(study_with(part(11)), "small")
    assert [level["k"] for level in ends["levels"]] == [1, 9], "no spread is seen of one subset"
    assert balance_lines(ends)[-1].endswith("which needs 3; `merges: 22` has a whole third one")
    assert balance_lines(cut)[-1].endswith(
        "k = 6: none, the budget is used up before; raise `merges`"
    )


@pytest.mark.parametrize(
    ("parts", "pool", "words"),
    [
        ([part(9)], NINE, ["design[0].merges = 9", "allowed 10 and more", "the whole pool (k = 9"]),
        ([part(40, k=[1, 12])], NINE, ["design[0].k = 12", "allowed 1 to 9"]),
        ([part(40, k=[3, 3])], NINE, ["occurs 2 times"]),
        ([part(2, k=[1, 3, 6])], NINE, ["design[0].merges = 2", "allowed 3 and more"]),
        ([part(0)], NINE, ["merges"]),
        ([part(5)], ("a", "b"), ["2 experts in the pool", "3 merges: use `kind: exhaustive`"]),
        ([part(3), part(4, k=[1, 99])], NINE, ["design[0].merges", "design[1].k = 99"]),
    ],
)
def test_what_cannot_be_designed_is_said(parts, pool, words):
    with pytest.raises(ConfigError) as caught:
        study_with(*parts, pool=pool)
    for word in words:
        assert word in str(caught.value)


def test_the_shipped_study_is_the_default_one_by_fewer_merges():
    default, study = (read_study(CONFIGS / f"{name}.yaml") for name in ("default", "balanced"))
    own = {"name", "notes", "design", "scales", "orders", "multitask", "theory"}
    assert study.model_dump(exclude=own) == default.model_dump(exclude=own)
    for size in study.size_names:
        few, every = set(subsets(study, size)), set(subsets(default, size))
        assert few < every
        assert len(few) - 1 == 34


def test_the_subset_list_tells_how_balanced_it_is(tmp_path):
    study, paths = study_with(part(40)), StudyPaths(tmp_path)
    origin = read_provenance(write_subsets(study, paths))
    assert json.loads(origin["balanced"])["small"] == balanced_parts(study, "small")
    other = study_with({"kind": "exhaustive"})
    assert "balanced" not in read_provenance(write_subsets(other, paths))
