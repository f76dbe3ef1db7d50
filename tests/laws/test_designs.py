"""Designs drawn from tables whose sampling errors are known."""

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses import designs as module
from mergelaw.laws.analyses.designs import accuracy, designs
from mergelaw.laws.rows import prepare, subset_losses

NOISE = np.random.default_rng(5).normal(size=2**9)


def rough(subset):
    return 5 + 0.1 * NOISE[sum(1 << i for i in subset)]


@pytest.fixture
def ready(make_losses):
    def build(study, loss, ks=None):
        made = make_losses(study, lambda s, m, subset, d, seed: [loss(subset)] * 2, ks)
        return subset_losses(prepare(made, study))

    return build


@pytest.fixture
def nine(make_study):
    return make_study(9, n_domains=2, sizes=["s0"])


@pytest.fixture
def quick(monkeypatch):
    """Let one run of Algorithm 1 serve half of the draws."""
    monkeypatch.setattr(module, "RUN_DRAWS", 100)


def at(table, k, design):
    rows = table.filter(pl.col("k") == k, pl.col("design") == design).to_dicts()
    assert len(rows) == 1
    return rows[0]


def test_accuracy_is_that_of_the_means_relative_to_the_mean_of_all():
    found = accuracy(np.array([1.0, 2.0, 3.0, 6.0]), [np.array([0, 1]), np.array([2, 3])])
    # means 1.5 and 4.5 against 3
    assert found["bias"] == pytest.approx(0)
    assert found["relative_sd"] == pytest.approx(np.std([0.5, 1.5], ddof=1))
    assert found["relative_rmse"] == pytest.approx(0.5)
    pairs = [np.mean(pair) / 3 for pair in combinations([1.0, 2.0, 3.0, 6.0], 2)]
    ratio = np.var(pairs) / np.var([0.5, 1.5], ddof=1)  # every sample of two without replacement
    assert found["variance_ratio"] == pytest.approx(ratio)
    assert (found["n_subsets"], found["n_draws"]) == (2, 2)


def test_a_design_of_all_subsets_has_no_error_and_no_ratio():
    loss = np.array([1.0, 2.0, 4.0])
    found = accuracy(loss, [np.arange(3)] * 4)
    assert (found["relative_sd"], found["relative_rmse"], found["bias"]) == (0, 0, 0)
    assert found["variance_ratio"] is None


def test_every_design_is_unbiased_and_uniform_has_its_textbook_variance(nine, ready, quick):
    table = designs(ready(nine, rough), nine)
    several = table.filter(pl.col("relative_sd") > 0)
    off = several["bias"].abs() / several["relative_sd"] * math.sqrt(200)
    assert off.max() < 4  # standard errors
    ratios = table.filter(pl.col("design") == "uniform", pl.col("k").is_between(2, 7))
    assert ratios["variance_ratio"].is_between(0.65, 1.5).all()  # 200 draws: sd 0.1


def test_on_a_quadratic_loss_a_two_design_makes_no_error(nine, ready, make_quadratic, quick):
    items = make_quadratic(9, 1)
    table = designs(ready(nine, lambda subset: items(subset)[0]), nine)
    for k in (3, 4, 5, 6):
        exact = at(table, k, "two_design")
        assert exact["relative_rmse"] < 1e-12
        assert exact["variance_ratio"] is None
        assert at(table, k, "cyclic")["relative_sd"] > 1e-4
    counts = table.filter(pl.col("design") == "two_design").select("k", "n_subsets")
    assert dict(counts.iter_rows()) == {3: 12, 4: 18, 5: 18, 6: 12}


def test_on_a_loss_linear_in_the_experts_cyclic_makes_no_error_either(nine, ready, quick):
    table = designs(ready(nine, lambda s: 2 + sum(i**2 for i in s) / max(len(s), 1)), nine)
    for k in range(1, 9):
        assert at(table, k, "cyclic")["relative_rmse"] < 1e-12
        assert at(table, k, "cyclic")["n_subsets"] == 9
    for k in (3, 4, 5):
        assert at(table, k, "max_min_hamming")["relative_sd"] > 1e-3


def test_uniform_has_as_many_subsets_as_algorithm_1(nine, ready, quick):
    table = designs(ready(nine, rough), nine)
    for k in range(1, 9):
        uniform, paper = at(table, k, "uniform"), at(table, k, "max_min_hamming")
        assert uniform["n_subsets"] == paper["n_subsets"] <= 15
    assert at(table, 4, "uniform")["n_subsets"] >= 13
    assert at(table, 1, "uniform")["relative_sd"] == 0  # all nine, in whatever order drawn


def test_a_random_loss_gains_nothing_from_balance(nine, ready, quick):
    table = designs(ready(nine, rough), nine)
    assert 0.5 < at(table, 4, "two_design")["variance_ratio"] < 2


def test_only_k_with_all_subsets_are_drawn_from(make_study, ready, quick):
    study = make_study(5, sizes=["s0", "s1"])
    losses = ready(study, rough).filter(
        ~((pl.col("size") == "s1") & pl.col("subset").is_in(["e0+e1", "e0+e1+e2"]))
    )
    table = designs(losses, study)
    found = {(size, k) for size, k in table.select("size", "k").iter_rows()}
    assert found == {("s0", k) for k in (1, 2, 3, 4)} | {("s1", 1), ("s1", 4)}
    assert set(table["design"]) == {"uniform", "max_min_hamming", "cyclic"}


def test_a_sampled_study_has_nothing_to_draw_from(make_study, ready):
    study = make_study(5, sizes=["s0"])
    losses = ready(study, rough, ks=(0, 2, 5)).filter(pl.col("subset") != "e1+e2")
    with pytest.raises(NotMadeError, match="all subsets"):
        designs(losses, study)


def test_a_large_sampled_pool_is_refused_too(make_study, ready):
    study = make_study(80, sizes=["s0"])  # 2^80 subsets: no count may overflow
    losses = ready(make_study(80, sizes=["s0"]), lambda s: 5.0, ks=(1,))
    with pytest.raises(NotMadeError, match="all subsets"):
        designs(losses.filter(pl.col("subset") != "e3"), study)


def test_other_names_change_no_number(make_study, ready, quick):
    study = make_study(4, sizes=["s0"])
    losses = ready(study, rough)
    new = dict(zip(study.expert_names, ("z", "b", "y", "a"), strict=True))
    experts = tuple(e.model_copy(update={"name": new[e.name]}) for e in study.experts)
    renamed = losses.with_columns(
        pl.col("subset").map_elements(
            lambda name: "+".join(sorted(new.get(e, e) for e in name.split("+"))),
            return_dtype=pl.String,
        )
    )
    table = designs(renamed.reverse(), study.model_copy(update={"experts": experts}))
    expected = designs(losses, study)
    for column in ("bias", "relative_sd", "relative_rmse"):
        assert table[column].to_list() == pytest.approx(expected[column].to_list(), abs=1e-12)
