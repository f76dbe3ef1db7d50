"""Fits: known parameters recovered, the minimum found, errors honest, limits said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares, nnls

from mergelaw.errors import FitError
from mergelaw.laws import forms
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.projection import solve_many
from mergelaw.laws.search import End, basins

PAPER = json.loads((Path(__file__).parents[1] / "golden" / "paper_laws.json").read_text())
K9 = np.arange(1.0, 10)
SIZES = np.array([0.5, 1.5, 3, 7, 14, 32, 72])


def grid(sizes=SIZES, k=K9) -> dict[str, np.ndarray]:
    return {"n_params_billions": np.repeat(sizes, len(k)), "k": np.tile(k, len(sizes))}


@settings(max_examples=60, deadline=None)
@given(
    floor=st.floats(0.01, 5), tail=st.floats(0.01, 5), offset=st.floats(0.01, 8),
    weights=st.sampled_from(["uniform", "k"]),
)  # fmt: skip
def test_exact_floor_tail_is_recovered(floor, tail, offset, weights):
    fitted = fit(FLOOR_TAIL, {"k": K9}, forms.floor_tail(K9, floor, tail, offset), weights)
    np.testing.assert_allclose(list(fitted.values.values()), [floor, tail, offset], rtol=1e-6)
    assert fitted.weights == weights


@pytest.mark.parametrize("offset", [0.0, 0.3, 4.0])
@pytest.mark.parametrize("exponents", [(0.35, 0.1), (0.6, 0.0), (1.2, 0.5)])
@pytest.mark.parametrize("sizes", [SIZES, np.array([25e-6, 56e-6, 155e-6, 397e-6])])
def test_exact_joint_law_is_recovered(offset, exponents, sizes):
    truth = (0.6, 0.4, exponents[0], 0.5, exponents[1], offset)
    variables = grid(sizes)
    fitted = fit(JOINT, variables, forms.joint(**variables, **dict(zip(
        [spec.name for spec in JOINT.parameters], truth, strict=True))))  # fmt: skip
    np.testing.assert_allclose(list(fitted.values.values()), truth, rtol=1e-6, atol=1e-9)
    assert fitted.max_relative_error < 1e-9
    at_bound = [p.name for p in fitted.parameters if p.at_bound]
    assert at_bound == ["tail_exponent"] * (truth[4] == 0) + ["offset"] * (truth[5] == 0)


@pytest.mark.parametrize("domain", ["code", "analysis", "algebra"])
def test_table_3_is_recovered_from_its_own_curves(domain):
    truth = PAPER["table3_average_joint"][domain][:6]
    variables = grid()
    fitted = fit(JOINT, variables, forms.joint(*variables.values(), *truth))
    np.testing.assert_allclose(list(fitted.values.values()), truth, rtol=1e-6)


def test_sixteen_domains_of_table_20_need_a_large_offset():
    table = PAPER["table20_overall"]
    fitted = fit(FLOOR_TAIL, {"k": table["k"]}, table["loss"], weights="k")
    assert fitted.values == pytest.approx(
        {"floor": 0.5745, "tail": 1.469, "offset": 5.24}, rel=2e-3
    )
    assert fitted.r2 == pytest.approx(0.9993, abs=2e-4)


def test_standard_errors_cover_the_truth():
    draw, k = np.random.default_rng(5), np.arange(1.0, 17)
    truth = {"floor": 1.0, "tail": 0.8, "offset": 0.6}
    curve = forms.floor_tail(k, **truth)
    deviations = []
    for _ in range(200):
        fitted = fit(FLOOR_TAIL, {"k": k}, curve + 0.002 * draw.normal(size=16))
        deviations.append([(p.value - truth[p.name]) / p.stderr for p in fitted.parameters])
    share = (np.abs(deviations) < 2).mean(axis=0)  # 0.933 for t with 13 degrees of freedom
    assert ((share > 0.88) & (share < 0.985)).all()


def test_joint_standard_errors_cover_the_truth():
    draw, variables = np.random.default_rng(6), grid()
    truth = dict(zip([spec.name for spec in JOINT.parameters], (0.35, 0.5, 0.4, 0.3, 0.2, 0.6),
                     strict=True))  # fmt: skip
    curve = forms.joint(**variables, **truth)
    deviations = []
    for _ in range(60):
        fitted = fit(JOINT, variables, curve + 0.001 * draw.normal(size=curve.size))
        deviations.append([(p.value - truth[p.name]) / p.stderr for p in fitted.parameters])
    share = (np.abs(deviations) < 2).mean(axis=0)
    assert ((share > 0.83) & (share <= 1)).all()
    assert np.abs(np.mean(deviations)) < 0.5


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_enumeration_equals_nnls(seed, n_columns):
    draw = np.random.default_rng(seed)
    columns = draw.normal(size=(5, 12, n_columns))
    y = draw.normal(size=12)
    gram = np.einsum("npi,npj->nij", columns, columns)
    w, explained = solve_many(gram, np.einsum("npi,p->ni", columns, y))
    for i in range(5):
        expected, norm = nnls(columns[i], y)
        np.testing.assert_allclose(w[i], expected, atol=1e-8)
        assert y @ y - explained[i] == pytest.approx(norm**2, abs=1e-9)


def test_enumeration_bears_equal_columns():
    columns = np.ones((1, 4, 2))
    gram = np.einsum("npi,npj->nij", columns, columns)
    w, explained = solve_many(gram, np.array([[8.0, 8.0]]))
    assert w.sum() == pytest.approx(2)
    assert explained == pytest.approx(16)


@pytest.mark.parametrize("trial", range(12))
def test_no_start_of_many_is_better(trial):
    draw = np.random.default_rng(100 + trial)
    sizes = SIZES[: 3 + trial % 5] if trial % 2 else np.sort(10 ** draw.uniform(-5, 2, 4))
    variables = grid(sizes, np.arange(1.0, 4 + trial))
    truth = (draw.uniform(0, 1) * (trial % 3 > 0), draw.uniform(0.1, 1), draw.uniform(0.1, 1),
             draw.uniform(0.1, 0.8), draw.uniform(0, 0.5), [0, 0.3, 1.5, 8][trial % 4])  # fmt: skip
    loss = forms.joint(*variables.values(), *truth)
    loss = loss * (1 + [0.001, 0.01, 0.05][trial % 3] * draw.normal(size=loss.size))
    bounds = [0, 0, 0.01, 0, 0, 0], [np.inf, np.inf, 3, np.inf, 2, 20]
    best = np.inf
    for _ in range(12):
        floor, size_scale, tail = draw.uniform(0, 1, 3) * loss.mean()
        size_exponent, offset = 10 ** draw.uniform((-1.5, -2), (0.3, 1.2))
        start = [floor, size_scale, size_exponent, tail, draw.uniform(0, 1), offset]
        end = least_squares(
            lambda p: forms.joint(*variables.values(), *p) - loss,
            start,
            bounds=bounds,
            max_nfev=300,
        )
        best = min(best, 2 * end.cost)
    assert fit(JOINT, variables, loss).rmse ** 2 * len(loss) <= best * (1 + 1e-6)


def test_weights_k_move_the_fit_towards_large_k():
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    errors = {w: np.abs(fit(FLOOR_TAIL, {"k": K9}, loss, w).predict(k=K9) - loss)
              for w in ("uniform", "k")}  # fmt: skip
    assert (errors["k"] ** 2 @ K9) < (errors["uniform"] ** 2 @ K9)
    assert (errors["k"] ** 2).sum() > (errors["uniform"] ** 2).sum()


def test_quality_measures():
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    fitted = fit(FLOOR_TAIL, {"k": K9}, loss)
    residuals = fitted.predict(k=K9) - loss
    assert fitted.rmse == pytest.approx(np.sqrt(np.mean(residuals**2)))
    assert fitted.max_relative_error == pytest.approx(np.max(np.abs(residuals / loss)))
    assert fitted.r2 == pytest.approx(1 - residuals @ residuals / (9 * loss.var()))
    assert fitted.n_points == 9


def notes(fitted) -> str:
    return "; ".join(fitted.notes)


def test_offset_at_zero_is_an_answer():
    noise = 1e-4 * np.random.default_rng(0).normal(size=9)
    fitted = fit(FLOOR_TAIL, {"k": K9}, 1 + 0.5 / (K9 - 0.05) + noise)
    offset = fitted.parameters[2]
    assert (offset.value, offset.at_bound, offset.stderr) == (0, True, None)
    assert "offset is at its bound 0" in fitted.notes
    assert fitted.identified
    assert fitted.parameters[0].stderr is not None


def test_a_straight_line_has_no_offset():
    fitted = fit(FLOOR_TAIL, {"k": K9}, 2 - 0.05 * K9)
    assert fitted.parameters[2].at_bound
    assert fitted.values["offset"] == 20
    assert "offset is at its bound 20" in notes(fitted)
    assert not fitted.identified


def test_rising_losses_have_no_tail():
    fitted = fit(FLOOR_TAIL, {"k": K9}, 1 + 0.05 * K9)
    assert fitted.values == pytest.approx({"floor": 1.25, "tail": 0, "offset": 0})
    assert "the loss does not fall with k" in notes(fitted)
    assert "offset is at" not in notes(fitted)
    assert not fitted.identified


def test_a_floor_that_is_not_there_is_said():
    variables = grid(SIZES[:4])
    loss = forms.joint(*variables.values(), 0.0, 1.0, 0.2, 0.4, 0.1, 0.3)
    loss = loss - 0.02 * np.log(variables["n_params_billions"] + 1)
    fitted = fit(JOINT, variables, loss)
    assert fitted.values["floor_limit"] == 0
    assert "floor_limit is at its bound 0: the floor at infinite size is not identified" in (
        fitted.notes
    )
    assert not fitted.identified


def test_trading_parameters_are_noted():
    noise = 0.003 * np.random.default_rng(1).normal(size=9)
    fitted = fit(FLOOR_TAIL, {"k": K9}, forms.floor_tail(K9, 1, 0.5, 1.5) + noise)
    pair = next(c for c in fitted.correlations if (c.first, c.second) == ("tail", "offset"))
    assert pair.correlation > 0.95
    assert f"|correlation| of tail and offset is {pair.correlation:.2f}" in notes(fitted)


@pytest.mark.parametrize("n_sizes", [3, 4])
def test_few_sizes_do_not_identify_the_floor_limit(n_sizes):
    variables = grid(SIZES[:n_sizes])
    fitted = fit(JOINT, variables, forms.joint(*variables.values(), 0.3, 0.5, 0.4, 0.3, 0.2, 0.6))
    assert "fewer than 5 sizes" in fitted.notes
    assert not fitted.identified


def test_two_k_hold_the_offset():
    fitted = fit(FLOOR_TAIL, {"k": [1, 2]}, [2.0, 1.5])
    assert fitted.values == pytest.approx({"floor": 1.0, "tail": 1.0, "offset": 0.0})
    assert [p.stderr for p in fitted.parameters] == [None, None, None]
    assert {"offset is held at 0", "fewer than 4 distinct k"} <= set(fitted.notes)
    assert "no standard errors" in notes(fitted)


def test_a_second_minimum_is_counted():
    k = np.array([1.0, 2, 3, 12, 13, 14])
    counts = set()
    for seed in range(40):
        loss = 2 + 0.3 * np.random.default_rng(seed).normal(size=6)
        fitted = fit(FLOOR_TAIL, {"k": k}, loss)
        assert (fitted.n_basins > 1) == ("distinct minima" in notes(fitted))
        counts.add(fitted.n_basins)
    assert counts >= {1, 2}


@pytest.mark.parametrize(
    ("law", "variables", "loss", "reason"),
    [
        (JOINT, grid(SIZES[:1]), np.ones(9), "needs 3 sizes and there are 1"),
        (JOINT, grid(SIZES[:2]), np.ones(18), "needs 3 sizes and there are 2"),
        (FLOOR_TAIL, {"k": [3.0, 3.0]}, [1.0, 1.1], "needs 3 distinct k and there are 1"),
        (FLOOR_TAIL, {"k": K9}, np.r_[np.ones(8), -1], "positive"),
        (FLOOR_TAIL, {"k": K9}, np.r_[np.ones(8), np.nan], "positive"),
        (FLOOR_TAIL, {"k": []}, [], "there are 0"),
        (JOINT, {"n_params_billions": [1, 2, 3, 3.0], "k": [1, 2, 3, 4.0]}, np.ones(4),
         "6 parameters and there are 4 points"),
    ],
)  # fmt: skip
def test_too_little_data_is_refused(law, variables, loss, reason):
    with pytest.raises(FitError, match=reason):
        fit(law, variables, loss)


def test_measured_errors_of_zero_are_uniform_weights_to_the_bit():
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    plain = fit(FLOOR_TAIL, {"k": K9}, loss)
    measured = fit(FLOOR_TAIL, {"k": K9}, loss, "measured", np.zeros(9))
    assert replace(measured, weights="uniform") == plain
    assert (measured.weights, measured.misfit) == ("measured", None)


def test_unknown_errors_are_uniform_weights_and_said():
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    errors = np.r_[np.full(7, 0.01), np.nan, np.nan]
    fitted = fit(FLOOR_TAIL, {"k": K9}, loss, "measured", errors)
    assert fitted.values == fit(FLOOR_TAIL, {"k": K9}, loss).values
    assert fitted.weights == "uniform"
    said = "the sampling error of 2 of 9 points is not known: all points weigh the same"
    assert said in fitted.notes


def test_the_lack_of_fit_balances_the_residuals():
    """Paule and Mandel's equation: sum r^2 / (errors^2 + t^2) = n - p, at the weighted fit."""
    errors = np.linspace(0.004, 0.0, 9)
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    fitted = fit(FLOOR_TAIL, {"k": K9}, loss, "measured", errors)
    residuals = fitted.predict(k=K9) - loss
    assert fitted.misfit > 0.001
    assert np.sum(residuals**2 / (errors**2 + fitted.misfit**2)) == pytest.approx(6, rel=1e-4)
    weights = 1 / (errors**2 + fitted.misfit**2)
    best = least_squares(
        lambda p: np.sqrt(weights) * (forms.floor_tail(K9, *p) - loss), [1, 0.5, 0.4], xtol=1e-14
    )
    assert list(fitted.values.values()) == pytest.approx(best.x, rel=1e-4)


def test_errors_that_explain_everything_leave_the_least_lack_of_fit():
    errors = np.r_[np.full(8, 0.05), 0.0]
    noise = 0.005 * np.random.default_rng(2).normal(size=9) * (errors > 0)
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + noise
    fitted = fit(FLOOR_TAIL, {"k": K9}, loss, "measured", errors)
    assert fitted.misfit == pytest.approx(1e-6 * loss.mean())
    assert fitted.predict(k=9.0) == pytest.approx(loss[-1], abs=1e-5)  # the exact point weighs most


def test_measured_weights_beat_uniform_ones_where_errors_differ():
    errors = np.array([0, 0, 0.002, 0.01, 0.02, 0.02, 0.01, 0, 0])
    curve = forms.floor_tail(K9, 1, 0.5, 0.6)
    draw = np.random.default_rng(8)
    missed = {"uniform": [], "measured": []}
    for _ in range(100):
        loss = curve + errors * draw.normal(size=9) + 0.0005 * draw.normal(size=9)
        for weights, distances in missed.items():
            fitted = fit(FLOOR_TAIL, {"k": K9}, loss, weights, errors)
            distances.append(fitted.predict(k=K9) - curve)
    rms = {weights: np.sqrt(np.mean(np.square(values))) for weights, values in missed.items()}
    assert rms["measured"] < 0.5 * rms["uniform"]


def test_covariance_is_that_of_errors_and_correlations():
    loss = forms.floor_tail(K9, 1, 0.5, 0.4) + 0.01 * np.sin(7 * K9)
    fitted = fit(FLOOR_TAIL, {"k": K9}, loss)
    matrix = np.array(fitted.covariance.matrix)
    errors = np.array([p.stderr for p in fitted.parameters])
    assert fitted.covariance.names == ("floor", "tail", "offset")
    np.testing.assert_allclose(np.sqrt(np.diag(matrix)), errors, rtol=1e-9)
    pair = next(c for c in fitted.correlations if (c.first, c.second) == ("floor", "tail"))
    assert matrix[0, 1] / errors[0] / errors[1] == pytest.approx(pair.correlation)
    share = 1 / (K9 + fitted.values["offset"])
    slopes = np.column_stack([K9**0, share, -fitted.values["tail"] * share**2])
    expected = np.linalg.inv(slopes.T @ slopes) * fitted.rmse**2 * 9 / 6
    np.testing.assert_allclose(matrix, expected, rtol=1e-3)


def test_without_freedom_there_is_no_covariance():
    assert fit(FLOOR_TAIL, {"k": K9[:3]}, [2.0, 1.5, 1.3]).covariance is None


def test_starts_and_basins_are_kept():
    k = np.array([1.0, 2, 3, 12, 13, 14])
    several = 0
    for seed in range(40):
        loss = 2 + 0.3 * np.random.default_rng(seed).normal(size=6)
        fitted = fit(FLOOR_TAIL, {"k": k}, loss)
        assert len(fitted.starts) == fitted.n_starts
        assert len(fitted.basins) == fitted.n_basins
        assert fitted.basins[0].rss == min(start.rss for start in fitted.starts)
        assert dict(fitted.basins[0].values) == pytest.approx(fitted.values, rel=1e-3, abs=1e-3)
        for descent in fitted.starts:
            residuals = forms.floor_tail(k, **descent.values) - loss
            assert descent.rss == pytest.approx(residuals @ residuals, rel=1e-4)
            assert set(descent.start) == {"offset"}
        several += fitted.n_basins > 1
    assert several > 0


def test_distinct_minima_are_those_near_the_best_which_comes_first():
    def end(offset, rss):
        return End({}, {"floor": 1.0, "tail": 0.5, "offset": offset}, rss)

    found = [end(3.0, 1.5), end(0.5, 1.0), end(0.501, 1.01), end(9.0, 5.0)]
    assert [e.rss for e in basins(found, 9)] == [1.0, 1.5]  # limit 1 + 4 / 6


def test_errors_without_freedom_leave_the_least_lack_of_fit():
    fitted = fit(FLOOR_TAIL, {"k": K9[:3]}, [2.0, 1.5, 1.3], "measured", [0.1, 0.0, 0.1])
    assert fitted.misfit == pytest.approx(1.6e-6)
    assert fitted.rmse < 1e-6
