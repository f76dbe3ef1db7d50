"""The figures of `benchmarks.plan_choose` on a made-up study whose losses are quadratic."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from benchmarks import plan_choose

EXPERTS = [f"e{i}" for i in range(9)]


@pytest.fixture
def results(tmp_path):
    draw = np.random.default_rng(0)
    linear, pairs = draw.normal(size=(12, 9)), 0.2 * draw.normal(size=(12, 9, 9))
    rows = []
    for k in range(1, 10):
        for subset in combinations(range(9), k):
            shares = np.zeros(9)
            shares[list(subset)] = 1 / k
            nll = 10 * (5 + linear @ shares + np.einsum("i,nij,j->n", shares, pairs, shares))
            rows.append(
                {
                    "size": "s",
                    "method": "average",
                    "subset": "+".join(EXPERTS[i] for i in subset),
                    "domain": "d",
                    "nll_sum": nll.sum(),
                    "n_tokens": 120,
                    "item_nll_sum": nll.tolist(),
                    "item_n_tokens": [10] * 12,
                }
            )
    (tmp_path / "sweep").mkdir()
    pl.DataFrame(rows).write_parquet(tmp_path / "sweep" / "losses.parquet")
    return tmp_path


def test_a_quadratic_is_predicted_and_regret_is_what_other_items_make(results, monkeypatch):
    monkeypatch.setattr(plan_choose, "RELABELLINGS", 3)
    figures = plan_choose.measure(results)
    [cell] = figures["cells"]
    assert cell["median_error"] < 0.002
    assert cell["coverage_95%"] > 0.9
    assert min(cell["rank_correlation"].values()) > 0.95
    assert 0 < cell["mean_regret_share"] < 1
    assert figures["by_method"]["average"]["median_error"] == cell["median_error"]
    assert "average: aims error kept" in plan_choose.text(figures)
