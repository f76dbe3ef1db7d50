"""R2 of curves that follow no law: drawn as stated, whatever the ends."""

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws import forms
from mergelaw.laws.analyses.null_r2 import drawn_curves, drawn_r2, null_r2
from mergelaw.laws.estimates import estimate_all, fit_table
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.schemas import CURVES

KS = tuple(range(1, 10))


def curves_of(losses, ks=KS):
    return CURVES.frame(
        [
            {"size": "s0", "n_params_billions": 1.0, "method": "avg", "domain": name, "k": k,
             "loss": float(value), "subset_se": 0.0}
            for name, curve in losses.items() for k, value in zip(ks, curve, strict=True)
        ]
    )  # fmt: skip


def made(losses, make_study, ks=KS):
    curves = curves_of(losses, ks)
    return null_r2(curves, fit_table(estimate_all(curves)[0]), make_study())


@pytest.mark.parametrize("null", ["falling", "falling_convex"])
def test_drawn_curves_fall_from_one_to_zero(null):
    drawn = drawn_curves(KS, null, 7)
    drops = -np.diff(drawn, axis=1)
    assert drawn.shape == (500, 9)
    np.testing.assert_allclose(drawn[:, [0, -1]], [[1, 0]] * 500, atol=1e-12)
    assert (drops >= 0).all()
    convex = (np.diff(drops, axis=1) <= 1e-15).all(axis=1)
    assert convex.all() == (null == "falling_convex")
    assert convex.mean() < 0.01 or null == "falling_convex"
    mean_of_largest = drops.max(axis=1).mean()  # of a flat Dirichlet: H_8 / 8
    assert mean_of_largest == pytest.approx(np.sum(1 / np.arange(1, 9)) / 8, abs=0.02)


def test_drawn_curves_at_uneven_k_are_those_of_all_k():
    drawn = drawn_curves((1, 2, 4, 9), "falling_convex", 7)
    slopes = -np.diff(drawn, axis=1) / np.array([1, 2, 5])
    assert (np.diff(slopes, axis=1) <= 1e-15).all()


@pytest.mark.parametrize("null", ["falling", "falling_convex"])
def test_the_level_and_the_height_of_the_ends_do_not_matter(null):
    """A single fit of the drawn curve between other ends has the R2 of the batch."""
    for curve, r2 in list(zip(drawn_curves(KS, null, 7), drawn_r2(KS, null, 7), strict=True))[:15]:
        fitted = fit(FLOOR_TAIL, {"k": KS}, 50 + 0.4 * curve)
        assert fitted.r2 == pytest.approx(r2, abs=1e-6)


def test_a_curve_of_the_law_is_above_all_drawn_ones(make_study):
    k = np.array(KS, float)
    wavy = 2 - 0.05 * k + 0.04 * np.sin(2.5 * k)
    table = made({"macro": forms.floor_tail(k, 2, 0.5, 0.3), "d0": wavy}, make_study)
    assert table.height == 4
    rows = {(r["domain"], r["null"]): r for r in table.iter_rows(named=True)}
    exact, rough = rows["macro", "falling_convex"], rows["d0", "falling"]
    assert exact["r2"] == pytest.approx(1)
    assert (exact["share_above"], exact["n_k"]) == (0, 9)
    assert exact["null_q05"] < exact["null_median"] < exact["null_q95"] < 1
    drawn = np.array(drawn_r2(KS, "falling", 7))
    assert rough["r2"] == pytest.approx(fit(FLOOR_TAIL, {"k": k}, wavy).r2, abs=1e-9)
    assert rough["share_above"] == np.mean(drawn >= rough["r2"]) > 0
    assert exact["null_median"] > rows["macro", "falling"]["null_median"]


def test_much_of_r2_is_automatic():
    assert np.median(drawn_r2(KS, "falling", 7)) > 0.9
    assert np.median(drawn_r2(KS, "falling_convex", 7)) > 0.99


def test_three_k_say_nothing(make_study):
    with pytest.raises(NotMadeError, match="four k"):
        made({"macro": [2.0, 1.6, 1.5]}, make_study, (1, 2, 3))


def test_a_constant_curve_has_no_r2(make_study):
    table = made({"macro": np.full(9, 2.0)}, make_study)
    assert table["r2"].null_count() == table["share_above"].null_count() == 2
    assert table.filter(pl.col("null_median").is_null()).is_empty()
