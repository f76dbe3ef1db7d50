"""The loss over scale and k: surfaces come back, c* is the lowest point, failures are told."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mergelaw.errors import NotMadeError, TableError
from mergelaw.laws import forms
from mergelaw.laws import scale_surface as module
from mergelaw.laws.analyses.best_scales import best_scales
from mergelaw.laws.analyses.scale_curves import scale_curves
from mergelaw.laws.analyses.scale_fits import fit_surface, scale_fits
from mergelaw.laws.scale_surface import best_scale, surface
from mergelaw.tables import SCALE_LOSSES
from mergelaw.variants import scale_series, scale_subsets, scaled_methods, series_at

TRUTH = {"level": 3.0, "slope": -1.2, "curvature": 1.0, "spread": 0.6}
GRID = [(c, k) for c in (0.8, 1.0, 1.3) for k in (1, 3, 6, 9)]
TA = {"label": "ta", "method": "task_arithmetic"}
TIES = {"label": "ties", "method": "ties"}


def grid(values=TRUTH, points=GRID):
    c, k = np.array(points, float).T
    return c, k, surface(c, k, **values)


@pytest.fixture
def study(make_study):
    made = make_study(n_experts=6, sizes=("s0", "s1"), methods=[TA, TIES])
    raw = made.model_dump(mode="json")
    raw["scales"] = {"fitted": [0.8, 1.0, 1.3], "checked": [0.4, 1.8], "k": [1, 3, 6]}
    return type(made).model_validate(raw)


def truth_of(method, domain):
    """A surface of its own for every method and domain."""
    shift = 0.1 * (method == "ties") + 0.2 * (domain == "d1")
    return {name: value * (1 + shift) for name, value in TRUTH.items()}


def rows_of(study, series, loss=surface, size="s0"):
    """Return a table of losses on the surfaces; the subsets of a k are spread around them."""
    rows = []
    for part in series:
        label = part.method.label
        for place, merge in enumerate(part.merges):
            same_k = [i for i, other in enumerate(part.merges) if other.k == merge.k]
            around = 0.01 * (same_k.index(place) - (len(same_k) - 1) / 2)
            for domain in study.domain_names:
                scale = part.scale if merge.k else 0.0
                nll = 40 * (around + loss(scale, max(merge.k, 1), **truth_of(label, domain)))
                rows.append(
                    (size, 2000, 1000, label, merge.name, merge.k, merge.name, part.mask_seed,
                     part.accumulate, domain, nll, 40, [nll], [40], scale)
                )  # fmt: skip
    return pl.DataFrame(rows, schema=SCALE_LOSSES, orient="row")


def measured(study, loss=surface):
    series = scale_series(study)
    return pl.concat([rows_of(study, series, loss, size) for size in study.size_names])


# --- forms ---


@given(st.integers(1, 20), st.floats(-5, -0.1), st.floats(0.1, 5), st.floats(0, 5))
def test_the_best_scale_is_the_lowest_point_of_the_surface(k, slope, curvature, spread):
    found = minimize_scalar(
        lambda c: surface(c, k, 1.0, slope, curvature, spread), bounds=(0, 60), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    assert best_scale(k, slope, curvature, spread) == pytest.approx(found.x, rel=1e-4, abs=1e-5)


def test_at_the_best_scale_the_surface_is_the_law_with_offset_spread_over_curvature():
    k = np.arange(1, 10)
    slope, curvature, spread = TRUTH["slope"], TRUTH["curvature"], TRUTH["spread"]
    lowest = surface(best_scale(k, slope, curvature, spread), k, **TRUTH)
    gain, offset = slope**2 / (2 * curvature), spread / curvature
    law = forms.floor_tail(k, TRUTH["level"] - gain, gain * offset, offset)
    np.testing.assert_allclose(lowest, law, rtol=1e-14)


# --- the fit ---


@given(st.floats(0, 9), st.floats(-5, -0.1), st.floats(0.1, 5), st.floats(0.1, 5))
def test_a_surface_comes_back(level, slope, curvature, spread):
    truth = {"level": level, "slope": slope, "curvature": curvature, "spread": spread}
    fitted = fit_surface(*grid(truth))
    assert fitted.values == pytest.approx(truth, rel=1e-9, abs=1e-9)
    assert fitted.r2 == pytest.approx(1)
    assert fitted.notes == ()
    assert fitted.offset == pytest.approx(truth["spread"] / truth["curvature"])


def test_merges_in_a_quadratic_bowl_give_its_gradient_and_curvature():
    """The finite pool: spread is Tr(H S), the curvature that of its mean less Tr(H S) / M."""
    draw = np.random.default_rng(0)
    vectors, gradient = 1 + draw.normal(size=(5, 6)), draw.normal(size=6)
    root = draw.normal(size=(6, 6))
    hessian = root @ root.T
    points = [(c, k) for c in (0.8, 1.0, 1.3) for k in (1, 2, 4)]
    losses = []
    for c, k in points:
        steps = [c * vectors[list(subset)].mean(axis=0) for subset in combinations(range(5), k)]
        losses.append(np.mean([5 + gradient @ step + step @ hessian @ step / 2 for step in steps]))
    fitted = fit_surface(*np.array(points, float).T, np.array(losses))
    mean, spread = vectors.mean(axis=0), np.trace(hessian @ np.cov(vectors.T))
    expected = {
        "level": 5.0,
        "slope": gradient @ mean,
        "curvature": mean @ hessian @ mean - spread / 5,
        "spread": spread,
    }
    assert fitted.values == pytest.approx(expected, rel=1e-8)


def test_standard_errors_are_the_scatter_of_fits():
    c, k, loss = grid()
    draw = np.random.default_rng(1)
    fits = [fit_surface(c, k, loss + draw.normal(0, 0.01, len(loss))) for _ in range(2000)]
    for name in TRUTH:
        scatter = np.std([fit.values[name] for fit in fits])
        assert np.sqrt(np.mean([fit.stderrs[name] ** 2 for fit in fits])) == pytest.approx(
            scatter, rel=0.06
        )


@pytest.mark.parametrize(
    ("values", "notes"),
    [
        ({"curvature": -0.5, "spread": 0.2}, ["the curvature is not above 0", "no lowest point"]),
        ({"curvature": 1, "spread": -2.0}, ["no lowest point over the scale at k = 1"]),
        ({"spread": 0.0}, ["the standard error of the spread exceeds its value"]),
        ({"slope": 0.0}, ["the standard error of the slope exceeds its value"]),
    ],
)
def test_what_is_not_identified_is_told(values, notes):
    c, k, loss = grid(TRUTH | values)
    noise = 1e-4 * np.cos(2.5 * np.arange(len(loss)))
    fitted = fit_surface(c, k, loss + noise)
    assert len(fitted.notes) == len(notes)
    for told, expected in zip(fitted.notes, notes, strict=True):
        assert told.startswith(expected)
    assert fitted.offset is None


@pytest.mark.parametrize(
    "points",
    [
        [(c, 3) for c in (0.5, 0.8, 1.0, 1.3)],
        [(c, k) for c in (0.8, 1.3) for k in (1, 3, 9)],
        [(0.8, 1), (1.0, 1), (1.3, 3)],
    ],
    ids=["one k", "two scales", "three points"],
)
def test_points_that_do_not_determine_it_give_no_fit(points):
    assert fit_surface(*grid(points=points)) is None


def test_as_many_points_as_parameters_have_no_errors():
    fitted = fit_surface(*grid(points=[(0.8, 1), (1.0, 1), (1.3, 1), (1.3, 3)]))
    assert fitted.values == pytest.approx(TRUTH)
    assert fitted.stderrs == {}
    assert fitted.notes == ("as many parameters as points: no standard errors",)


# --- tables ---


def test_every_curve_is_fitted_and_the_macro_is_of_mean_losses(study):
    fits = scale_fits(measured(study), study)
    assert fits.height == 2 * 2 * 3 * 4
    values = {
        (row["method"], row["domain"], row["parameter"]): row["value"]
        for row in fits.filter(size="s1").to_dicts()
    }
    for method in ("ta", "ties"):
        truths = [truth_of(method, domain) for domain in ("d0", "d1")]
        for name in TRUTH:
            for domain, truth in zip(("d0", "d1"), truths, strict=True):
                assert values[method, domain, name] == pytest.approx(truth[name], rel=1e-8)
            mean = np.mean([truth[name] for truth in truths])
            assert values[method, "macro", name] == pytest.approx(mean, rel=1e-8)
    assert set(fits["n_points"]) == {9}, "three scales at three k: base and checked take no part"


def test_what_lies_beyond_the_fitted_scales_is_shown_and_not_fitted(study):
    def bent(scale, k, **values):
        return surface(scale, k, **values) + (0.5 if scale in (0.0, 0.4, 1.8) else 0.0)

    rows = measured(study, bent)
    curves = scale_curves(rows, scale_fits(rows, study), study)
    fitted, others = curves.filter(fitted=True), curves.filter(fitted=False)
    assert set(fitted["scale"]) == {0.8, 1.0, 1.3}
    assert fitted["relative_error"].abs().max() < 1e-9
    assert set(others["scale"]) == {0.0, 0.4, 1.8}
    np.testing.assert_allclose(others["loss"] - others["loss_fitted"], 0.5)
    np.testing.assert_allclose(others["relative_error"] * others["loss"], -0.5)


def test_the_base_stands_at_scale_0_of_every_k(study):
    rows = measured(study)
    curves = scale_curves(rows, scale_fits(rows, study), study)
    base = curves.filter(scale=0.0)
    assert base.height == 2 * 2 * 3 * 3
    assert set(base["k"]) == {1, 3, 6}
    assert set(base["n_subsets"]) == {1}
    one = base.filter(size="s0", method="ties", domain="d1")
    np.testing.assert_allclose(one["loss"], truth_of("ties", "d1")["level"])
    merges = curves.filter(pl.col("scale") > 0)
    counts = dict(merges.select("k", "n_subsets").unique().rows())
    assert counts == {k: len(subsets) for k, subsets in scale_subsets(study).items()}


def test_a_curve_without_a_fit_is_shown_all_the_same(study):
    rows = measured(study)
    fits = scale_fits(rows, study).filter(pl.col("method") != "ties")
    curves = scale_curves(rows, fits, study)
    assert curves.filter(method="ties")["loss_fitted"].is_null().all()
    assert curves.filter(method="ta")["loss_fitted"].is_not_null().all()


def best_rows(study, loss=surface):
    """Return real merges at the best scales of each method and k."""
    fits = scale_fits(measured(study), study)
    frames = []
    for size in study.size_names:
        best = module.best_scales(fits.filter(size=size), scale_subsets(study))
        series = [
            series_at(study, entry, best[entry.label, k], merges)
            for entry in scaled_methods(study)
            for k, merges in scale_subsets(study).items()
        ]
        frames.append(rows_of(study, series, loss, size))
    return pl.concat(frames), fits


def test_gains_at_the_best_scale_against_the_scale_nearest_to_1(study):
    def better(scale, k, **values):
        return surface(scale, k, **values) - 0.03

    best, fits = best_rows(study, better)
    table = best_scales(measured(study), fits, best, study)
    assert table.height == 2 * 2 * 3
    row = table.filter(size="s0", method="ta", k=3).to_dicts()[0]
    truth = {name: value * 1.1 for name, value in TRUTH.items()}  # the mean of both domains'
    scale = round(1.2 / 1.2, 3)  # -slope / (curvature + spread / 3)
    assert row["scale"] == scale
    assert row["loss_predicted"] == pytest.approx(surface(scale, 3, **truth))
    assert row["loss"] == pytest.approx(row["loss_predicted"] - 0.03)
    assert row["relative_error"] == pytest.approx(0.03 / row["loss"])
    row = table.filter(size="s1", method="ta", k=6).to_dicts()[0]
    assert row["scale"] == 1.091
    gain = surface(1.0, 6, **truth) - surface(1.091, 6, **truth)
    assert row["gain_predicted"] == pytest.approx(gain)
    assert row["gain"] == pytest.approx(gain + 0.03)
    assert row["reference_scale"] == 1.0
    inside = dict(table.filter(size="s0", method="ta").select("k", "inside").rows())
    assert inside == {1: False, 3: True, 6: True}, "0.75 at k = 1"


def test_without_an_identified_surface_there_is_no_best_scale(study):
    empty = pl.DataFrame(schema=dict(SCALE_LOSSES))
    rows = measured(study)
    with pytest.raises(NotMadeError, match="no surface over scale and k is identified"):
        best_scales(rows, scale_fits(rows, study), empty, study)
    fits = scale_fits(rows, study).filter(size="s0")
    for unfit in (
        fits.with_columns(identified=False),
        fits.with_columns(value=pl.when(parameter="slope").then(1.0).otherwise(pl.col("value"))),
    ):
        assert module.best_scales(unfit, [1, 3]) == {}


@pytest.mark.parametrize("lacks", [pl.col("subset") == "base", pl.col("scale") == 1.8])
def test_a_table_that_is_not_the_config_s_is_refused(study, lacks):
    rows = measured(study).filter(~(lacks & (pl.col("size") == "s1")))
    with pytest.raises(
        TableError, match=r"size 's1': lacks \d+ merges of the config, has 0 others"
    ):
        scale_fits(rows, study)
