"""The table of predictions: each interval belongs to the fit that made the prediction."""

import numpy as np
import polars as pl
import pytest

from mergelaw.laws.curves import curves
from mergelaw.laws.estimates import estimate_all, prediction_table
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.point_noise import noise_of, sources
from mergelaw.laws.prediction_errors import prediction_errors
from mergelaw.laws.rows import prepare
from mergelaw.laws.search import best, ends
from mergelaw.laws.weighting import pose

N_ITEMS = 12


def losses(s, m, subset, d, seed):
    items = np.random.default_rng(d).normal(size=(2, N_ITEMS)) * [[0.05], [0.3]]
    spread = 0.1 * np.sin(5 * sum(subset) + d + 0.1 * s) / max(1, len(subset))
    return (1.5 + 1 / (s + 1)) * (1 + items[0]) + np.exp(items[1]) / (len(subset) + 0.3) + spread


@pytest.fixture
def sampled(make_study, make_losses):
    """Return the curves of k = 1, 2, 4, 5 of five experts, 6 pairs of 10, and their noise."""
    study = make_study(5, 2)
    design = [{"kind": "uniform", "subsets_per_k": 6}]
    study = type(study).model_validate(study.model_dump() | {"design": design})
    table = make_losses(study, losses, ks=(0, 1, 2, 4, 5), n_tokens=(10,) * N_ITEMS)
    seen = ["e0+e1", "e0+e3", "e1+e2", "e2+e4", "e3+e4", "e1+e4"]
    rows = prepare(table.filter((pl.col("k") != 2) | pl.col("subset").is_in(seen)), study)
    return curves(rows, study), sources(rows, study)


@pytest.mark.parametrize(("law", "size"), [(FLOOR_TAIL, "s2"), (JOINT, None)])
def test_intervals_are_of_the_weighted_fit_also_where_nothing_was_measured(sampled, law, size):
    table, given = sampled
    points = table.filter(pl.col("k") > 0, domain="macro", method="average")
    points = points.filter(size=size) if size else points
    variables = {name: points[name].to_numpy().astype(float) for name in law.variables}
    arguments = (points["loss"].to_numpy(), "measured", points["subset_se"].to_numpy())
    posed = pose(law, variables, *arguments)
    assert posed.misfit is not None
    found = prediction_table(estimate_all(table)[0], table, given)
    mine = found.filter(law=law.name, domain="macro")
    mine = mine.filter(size=size) if size else mine
    assert mine["k"].unique().to_list() == [1, 2, 3, 4, 5]
    assert mine.filter(k=3)["loss"].null_count() == mine.filter(k=3).height
    at = {name: mine[name].to_numpy().astype(float) for name in law.variables}
    values = best(ends(posed.problem)).values
    noises = noise_of(points, given)
    known = prediction_errors(posed.problem, values, noises, posed.misfit, at)
    np.testing.assert_allclose(mine["stderr"], known.stderr, rtol=1e-3)
    np.testing.assert_allclose(mine["high"] - mine["loss_predicted"], known.half, rtol=1e-3)
    np.testing.assert_allclose(mine["low"], mine["loss_predicted"] - known.half, rtol=1e-3)
