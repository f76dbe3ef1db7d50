"""Rivals: AICc finds the form that made the data, and held-out errors are honest."""

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws import forms, rival_forms
from mergelaw.laws.analyses.rivals import rivals
from mergelaw.laws.criteria import aicc, akaike_weights
from mergelaw.laws.schemas import CURVES
from mergelaw.laws.schemas.doubts import RIVALS

TRUTHS = {
    "floor_tail": lambda k: forms.floor_tail(k, 2.0, 0.9, 1.2),
    "zero_offset": lambda k: forms.floor_tail(k, 2.0, 0.5, 0.0),
    "power": lambda k: rival_forms.power(k, 2.0, 0.5, 2.0),
    "exponential": lambda k: rival_forms.exponential(k, 2.0, 0.5, 2.0),
    "logarithm": lambda k: rival_forms.logarithm(k, 2.6, 0.2),
    "constant": lambda k: rival_forms.constant(k, 2.0),
}


def curve(loss, sizes=(0.001, 0.003, 0.009, 0.027), ks=range(1, 13), scatter=1e-4, seed=0, se=0.0):
    """Return the curves of one method and domain with the loss loss(N, k)."""
    draw = np.random.default_rng(seed)
    rows = [
        {"size": f"s{i}", "n_params_billions": n, "method": "avg", "domain": "macro", "k": k,
         "loss": float(loss(n, float(k)) + scatter * draw.normal()), "subset_se": se}
        for i, n in enumerate(sizes) for k in ks
    ]  # fmt: skip
    return CURVES.frame(rows)


@pytest.mark.parametrize("name", TRUTHS)
def test_the_form_that_made_the_data_is_near_the_lowest_aicc(make_study, name):
    """It, or a form that contains it, within 2; forms that cannot bend so are far off."""
    contains = {"zero_offset": {"floor_tail", "power"}, "constant": set(TRUTHS)}
    first = 0
    for seed in range(5):
        points = curve(lambda n, k: TRUTHS[name](k), sizes=(1.0,), seed=seed)
        found = rivals(points, make_study()).filter(pl.col("aicc").is_not_null())
        deltas = dict(found.select("law", "delta_aicc").iter_rows())
        first += deltas[name] == 0
        for other in TRUTHS.keys() - {name} - contains.get(name, set()):
            assert deltas[other] > 4 or name in contains.get(other, set()), (other, deltas)
        assert found["akaike_weight"].sum() == pytest.approx(1)
    assert first >= 3


def test_joint_rivals_over_size(make_study):
    truth = {"floor_limit": 1.0, "size_scale": 0.3, "size_exponent": 0.3, "tail_scale": 0.2,
             "tail_exponent": 0.2, "offset": 0.5}  # fmt: skip
    for name, held in (("joint", {}), ("flat_tail", {"tail_exponent": 0.0}),
                       ("joint_zero_offset", {"offset": 0.0})):  # fmt: skip
        points = curve(lambda n, k, held=held: forms.joint(n, k, **truth | held))
        found = rivals(points, make_study()).filter(pl.col("over") == "size and k")
        assert found["law"].to_list() == ["joint", "flat_tail", "joint_zero_offset"]
        assert found["size"].null_count() == 3
        assert found.filter(pl.col("delta_aicc") == 0)["law"].item() == name


def test_aicc_by_hand():
    assert aicc(0.5, 10, 2, 1.0) == pytest.approx(10 * np.log(0.05) + 6 + 24 / 6)
    assert aicc(0.5, 5, 2, 1.0) is not None
    assert aicc(0.5, 4, 2, 1.0) is None
    assert aicc(1e-20, 10, 2, 1.0) is None


def test_akaike_weights_by_hand():
    deltas, weights = akaike_weights([3.0, None, 1.0])
    assert deltas == [2.0, None, 0.0]
    share = np.exp(-1) / (1 + np.exp(-1))
    assert (weights[1], weights[0]) == (None, pytest.approx(share))
    assert akaike_weights([None]) == ([None], [None])


def test_held_out_errors(make_study):
    points = curve(lambda n, k: TRUTHS["power"](k), sizes=(1.0,), scatter=0)
    found = rivals(points, make_study(heldout_k=6))
    errors = dict(found.select("law", "heldout_error").iter_rows())
    assert errors["power"] < 1e-6 < errors["floor_tail"]
    losses = dict(points.select("k", "loss").iter_rows())
    expected = max(abs(losses[5] - losses[k]) / losses[k] for k in range(6, 13))
    assert errors["repeat_last"] == pytest.approx(expected)
    last = found.filter(pl.col("law") == "repeat_last")
    assert last["rss"].null_count() == last["aicc"].null_count() == 1
    exact = found.filter(pl.col("law") == "power")
    assert exact["aicc"].item() is None  # no residual is left


def test_measured_weights_are_shared_by_all_rivals(make_study):
    """One bad point with a large error hardly counts, for every rival alike."""
    points = curve(lambda n, k: TRUTHS["zero_offset"](k), sizes=(1.0,), seed=3)
    bad = pl.col("k") == 5
    worse = points.with_columns(
        loss=pl.when(bad).then(pl.col("loss") + 0.05).otherwise("loss"),
        subset_se=pl.when(bad).then(0.05).otherwise(0.0),
    )
    plain, weighed = (
        rivals(frame, make_study()).filter(pl.col("law") == "zero_offset")
        for frame in (points, worse)
    )
    assert weighed["rss"].item() < 3 * plain["rss"].item()
    assert weighed["aicc"].item() == pytest.approx(plain["aicc"].item(), abs=6)


def test_few_points_have_fewer_rivals(make_study):
    points = curve(lambda n, k: TRUTHS["zero_offset"](k), sizes=(1.0,), ks=(1, 2))
    found = rivals(points, make_study())
    assert set(found["law"]) == {"zero_offset", "logarithm", "constant"}
    assert found["aicc"].null_count() == 3
    assert found["heldout_error"].null_count() == 3
    assert found.schema == RIVALS.schema


def test_one_k_has_none(make_study):
    found = rivals(curve(lambda n, k: 2.0, sizes=(1.0,), ks=(1,)), make_study())
    assert found["law"].to_list() == ["constant"]
    with pytest.raises(NotMadeError):
        rivals(curve(lambda n, k: 2.0, ks=(0,)), make_study())
