"""Curves of smaller pools and of other items; the jackknife's error."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.laws.resampling import by_cell, curve_draws, jackknife_error, smaller_pools
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.uncertainty import item_draws


def made(make_study, make_losses, n_experts=4, ks=None, drop=None, **laws):
    """Return a study, its rows and its subset losses; losses are random numbers of the subset."""
    study = make_study(n_experts=n_experts, sizes=("s0",), **laws)

    def items(size, method, subset, domain, seed):
        return 1 + np.random.default_rng([domain, *subset]).random(2)

    rows = prepare(make_losses(study, items, ks=ks), study)
    if drop:
        rows = rows.filter(pl.col("subset") != drop)
    return study, rows, subset_losses(rows)


@pytest.mark.parametrize("n_left_out", [0, 1, 2])
def test_smaller_pools_are_means_over_their_own_subsets(make_study, make_losses, n_left_out):
    study, _, losses = made(make_study, make_losses)
    pools = smaller_pools(losses, study, n_left_out)
    assert pools.left_out == tuple(combinations(study.expert_names, n_left_out))
    for domain in ("d1", MACRO):
        table = dict(losses.filter(domain=domain).select("subset", "loss").iter_rows())
        for k in range(1, 5 - n_left_out):
            expected = []
            for left_out in pools.left_out:
                kept = [name for name in study.expert_names if name not in left_out]
                expected.append(np.mean([table["+".join(s)] for s in combinations(kept, k)]))
            np.testing.assert_allclose(pools.losses["s0", "average", domain, k], expected)


def test_a_k_that_lacks_a_subset_has_no_pools(make_study, make_losses):
    study, _, losses = made(make_study, make_losses, drop="e0+e1")
    cells = {k for _, _, _, k in smaller_pools(losses, study, 1).losses}
    assert cells == {1, 3}


def test_a_curve_is_drawn_only_where_every_cell_is():
    draws = {("s", "m", "d", 1): np.arange(3.0), ("s", "m", "d", 2): np.ones(3)}
    cells = list(draws)
    np.testing.assert_array_equal(curve_draws(draws, cells), [[0, 1], [1, 1], [2, 1]])
    assert curve_draws(draws, [*cells, ("s", "m", "d", 3)]) is None
    assert curve_draws({cells[0]: np.array([np.nan])}, cells[:1]) is None


@pytest.mark.parametrize("n_left_out", [1, 2, 3])
def test_the_jackknife_of_a_mean_is_its_textbook_error(n_left_out):
    x = np.random.default_rng(0).normal(size=7)
    means = [np.delete(x, list(s)).mean() for s in combinations(range(7), n_left_out)]
    error = jackknife_error(np.array(means)[:, None], 7, n_left_out)
    np.testing.assert_allclose(error, x.std(ddof=1) / np.sqrt(7))


def test_resampled_items_are_filed_by_point(make_study, make_losses):
    study, rows, _ = made(make_study, make_losses, resamples=20)
    items = item_draws(rows, study)
    draws = by_cell(items)
    both = (draws["s0", "average", "d0", 2] + draws["s0", "average", "d1", 2]) / 2
    np.testing.assert_allclose(draws["s0", "average", MACRO, 2], both)
    assert items.n_items == {"d0": 2, "d1": 2, MACRO: 2}
    assert items.freedom == {"d0": 1, "d1": 1, MACRO: 2}
