"""Profile intervals: equal to lmfit's inside the bounds, to brute force at them, and covering."""

import lmfit
import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import f as f_distribution

from mergelaw.errors import FitError
from mergelaw.laws import forms
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.more_laws import CONSTANT, LOGARITHM, ZERO_OFFSET
from mergelaw.laws.profile import LOSS_AT, profile_intervals
from mergelaw.laws.projection import Problem
from mergelaw.laws.search import best, ends

K9 = np.arange(1.0, 10)
SIZES = np.array([0.5, 1.5, 3, 7, 14, 32, 72])
GRID = {"n_params_billions": np.repeat(SIZES, 9), "k": np.tile(K9, 7)}


def noisy(curve, scatter=0.002, seed=1):
    return curve + scatter * np.random.default_rng(seed).normal(size=curve.size)


def lmfit_ends(law, variables, loss, start, root_weight=1.0):
    """Return lmfit's own profile ends, without bounds."""
    parameters = lmfit.Parameters()
    for name, value in start.items():
        parameters.add(name, value=value)
    fitter = lmfit.Minimizer(
        lambda p: root_weight * (law.function(**variables, **p.valuesdict()) - loss), parameters
    )
    result = fitter.minimize()
    ends = lmfit.conf_interval(fitter, result, sigmas=[0.95])
    return {name: (float(rows[0][1]), float(rows[-1][1])) for name, rows in ends.items()}


@pytest.mark.parametrize("weights", ["uniform", "k"])
def test_floor_tail_intervals_are_lmfits(weights):
    truth = {"floor": 1.0, "tail": 0.5, "offset": 0.7}
    loss = noisy(forms.floor_tail(K9, **truth))
    found = profile_intervals(FLOOR_TAIL, {"k": K9}, loss, weights)
    expected = lmfit_ends(FLOOR_TAIL, {"k": K9}, loss, truth, K9 ** (0.5 * (weights == "k")))
    for name, (low, high) in expected.items():
        width = high - low
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=3e-3 * width)
        assert found[name].note is None


def test_intervals_and_fits_do_not_depend_on_the_unit_of_the_losses():
    loss = noisy(forms.floor_tail(K9, 1.0, 0.5, 0.7))
    wanted = profile_intervals(FLOOR_TAIL, {"k": K9}, loss)
    values = fit(FLOOR_TAIL, {"k": K9}, loss).values
    for unit in (1e-6, 1e4):
        found = profile_intervals(FLOOR_TAIL, {"k": K9}, unit * loss)
        fitted = fit(FLOOR_TAIL, {"k": K9}, unit * loss).values
        for name, size in (("floor", unit), ("tail", unit), ("offset", 1.0)):
            assert found[name].low / size == pytest.approx(wanted[name].low, rel=1e-4)
            assert found[name].high / size == pytest.approx(wanted[name].high, rel=1e-4)
            assert fitted[name] / size == pytest.approx(values[name], rel=1e-4)


def test_joint_intervals_are_lmfits():
    names = [spec.name for spec in JOINT.parameters]
    truth = dict(zip(names, (0.35, 0.5, 0.4, 0.3, 0.2, 0.6), strict=True))
    loss = noisy(forms.joint(**GRID, **truth))
    found = profile_intervals(JOINT, GRID, loss)
    assert list(found) == names
    for name, (low, high) in lmfit_ends(JOINT, GRID, loss, truth).items():
        width = high - low
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=3e-3 * width)


def brute_force(loss, quantity, k=K9):
    """Return the range of `quantity` over all (floor, tail, offset) that fit within the F limit.

    For every offset the best floor and tail, and the ellipse of those within the limit, whose
    extent along a linear quantity q'w is ``q'w0 +- sqrt(slack q' (X'X)^-1 q)``: right where
    neither floor nor tail is at 0.
    """
    offsets = np.concatenate([np.linspace(0, 1, 2001), np.linspace(1, 20, 4001)])
    freedom = len(k) - 3
    solved = {}
    for offset in offsets:
        columns = np.column_stack([np.ones(len(k)), 1 / (k + offset)])
        w, norm = nnls(columns, loss)
        solved[offset] = norm**2, w, columns
    rss = min(value[0] for value in solved.values())
    limit = rss * (1 + f_distribution.ppf(0.95, 1, freedom) / freedom)
    inside = []
    for offset, (least, w, columns) in solved.items():
        if least > limit:
            continue
        if quantity == "offset":
            inside.append(offset)
            continue
        q = {"floor": [1, 0], "tail": [0, 1], LOSS_AT: [1, 1 / (9 + offset)]}[quantity]
        reach = np.sqrt((limit - least) * (q @ np.linalg.solve(columns.T @ columns, q)))
        inside += [q @ w - reach, q @ w + reach]
    return min(inside), max(inside)


@pytest.mark.parametrize("quantity", ["floor", "tail", "offset", LOSS_AT])
def test_at_the_bound_of_the_offset_the_interval_is_brute_forces(quantity):
    loss = noisy(forms.floor_tail(K9, 1, 0.5, 0.02), 0.004, seed=3)
    found = profile_intervals(FLOOR_TAIL, {"k": K9}, loss, at={"k": 9})[quantity]
    low, high = brute_force(loss, quantity)
    if quantity == "offset":
        assert low == 0
        assert (found.low, found.note) == (
            None, "no lower end: values down to the bound 0 fit as well")  # fmt: skip
        low = None
    width = high - (low or 0)
    assert found.low == (None if low is None else pytest.approx(low, abs=5e-3 * width))
    assert found.high == pytest.approx(high, abs=5e-3 * width)


def test_an_endless_offset_is_open_above():
    found = profile_intervals(FLOOR_TAIL, {"k": K9}, noisy(2 - 0.05 * K9))
    assert found["offset"].high is None
    assert "no upper end: values up to the bound 20 fit as well" in found["offset"].note
    assert found["tail"].low > 0


def test_a_flat_curve_has_no_offset_at_all():
    found = profile_intervals(FLOOR_TAIL, {"k": K9}, noisy(np.full(9, 1.5), seed=4))
    assert (found["offset"].low, found["offset"].high) == (None, None)
    assert found["tail"].low is None
    assert found["floor"].high is not None


def test_two_minima_are_spanned():
    """The interval of the offset goes from the lowest value that fits to the highest."""
    k, spanned = np.array([1.0, 2, 3, 12, 13, 14]), 0
    for seed in range(40):
        loss = 2 + 0.3 * np.random.default_rng(seed).normal(size=6)
        found = profile_intervals(FLOOR_TAIL, {"k": k}, loss)["offset"]
        if "distinct minima" in (found.note or ""):
            low, high = brute_force(loss, "offset", k)
            assert (found.low or 0.0, found.high or 20.0) == pytest.approx((low, high), abs=0.02)
            spanned += 1
    assert spanned > 0


CODE = np.array([
    [3.24, 3.10, 3.05, 3.04, 3.02, 3.02, 3.01, 3.01, 3.01],
    [2.48, 2.33, 2.28, 2.26, 2.25, 2.24, 2.23, 2.22, 2.22],
    [2.66, 2.52, 2.47, 2.45, 2.44, 2.43, 2.42, 2.42, 2.41],
    [2.06, 1.94, 1.90, 1.89, 1.88, 1.87, 1.86, 1.86, 1.86],
])  # fmt: skip
"""The code domain of the embedded ladder by task arithmetic: it does not fall steadily with the
size, and small and large exponents of the size both fit, those between do not."""


@pytest.fixture(scope="module")
def code_intervals():
    sizes = np.array([25.1e-6, 55.8e-6, 154.8e-6, 396.7e-6])
    variables = {"n_params_billions": np.repeat(sizes, 9), "k": np.tile(K9, 4)}
    return variables, CODE.ravel(), profile_intervals(JOINT, variables, CODE.ravel())


def test_a_gap_within_an_interval_is_spanned_and_said(code_intervals):
    variables, loss, found = code_intervals
    problem, exponents = Problem(JOINT, variables, loss, np.ones(36)), np.geomspace(0.01, 3, 40)
    least = [
        best(ends(problem._replace(law=JOINT.holding("size_exponent", value)))).rss
        for value in exponents
    ]
    limit = min(least) * (1 + f_distribution.ppf(0.95, 1, 30) / 30)
    fits = np.array(least) < limit
    first = int(np.argmax(fits))
    assert fits[-1]
    assert not fits[first:].all()
    interval = found["size_exponent"]
    assert exponents[first - 1] < interval.low < exponents[first]
    assert interval.high is None
    assert "distinct minima: not every value between fits" in interval.note


def test_ends_of_a_law_with_several_minima_lie_on_the_limit(code_intervals):
    """At every end the best of all other parameters, from all starts, has the limit's squares."""
    variables, loss, found = code_intervals
    problem = Problem(JOINT, variables, loss, np.ones(36))
    limit = best(ends(problem)).rss * (1 + f_distribution.ppf(0.95, 1, 30) / 30)
    checked = 0
    for name in ("size_exponent", "tail_exponent", "offset"):
        for end in found[name][:2]:
            if end is not None:
                held = problem._replace(law=JOINT.holding(name, end))
                assert best(ends(held)).rss == pytest.approx(limit, rel=5e-3)
                checked += 1
    assert checked >= 2


@pytest.mark.parametrize(
    ("loss", "k", "reason"),
    [
        (np.array([2.0, 1.6, 1.5]), K9[:3], "as many free parameters as points"),
        (forms.floor_tail(K9, 1, 0.5, 0.7), K9, "goes through every point: no scatter"),
    ],
)
def test_without_scatter_there_is_no_interval(loss, k, reason):
    found = profile_intervals(FLOOR_TAIL, {"k": k}, loss, at={"k": 9})
    assert set(found) == {"floor", "tail", "offset", LOSS_AT}
    assert all(i.low is None and i.high is None and reason in i.note for i in found.values())


def test_held_parameters_have_no_interval():
    loss = noisy(forms.floor_tail(K9, 1, 0.5, 0))
    assert set(profile_intervals(ZERO_OFFSET, {"k": K9}, loss)) == {"floor", "tail"}


@pytest.mark.parametrize("law", [CONSTANT, LOGARITHM, ZERO_OFFSET])
def test_a_linear_law_has_students_interval(law):
    """In a linear model the profile is a parabola: estimate +- t times the standard error."""
    loss = noisy(2 - 0.1 * np.log(K9), 0.01)
    names = [spec.name for spec in law.parameters if spec.minimum < spec.maximum]
    columns = {
        "constant": [K9**0],
        "logarithm": [K9**0, -np.log(K9)],
        "zero_offset": [K9**0, 1 / K9],
    }
    x = np.column_stack(columns[law.name])
    w, rss = np.linalg.lstsq(x, loss)[:2]
    freedom = 9 - x.shape[1]
    spread = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * rss[0] / freedom)
    t = np.sqrt(f_distribution.ppf(0.95, 1, freedom))
    found = profile_intervals(law, {"k": K9}, loss)
    for name, value, error in zip(names, w, spread, strict=True):
        assert found[name].low == pytest.approx(value - t * error, abs=1e-2 * error)
        assert found[name].high == pytest.approx(value + t * error, abs=1e-2 * error)


def test_profiles_cover_the_truth():
    truth = {"floor": 1.0, "tail": 0.5, "offset": 0.6}
    curve = forms.floor_tail(K9, **truth)
    wanted = truth | {LOSS_AT: curve[-1]}
    hits = dict.fromkeys(wanted, 0)
    for seed in range(200):
        found = profile_intervals(FLOOR_TAIL, {"k": K9}, noisy(curve, 0.01, seed), at={"k": 9})
        for name, value in wanted.items():
            low, high = found[name].low, found[name].high
            hits[name] += (low is None or low <= value) and (high is None or value <= high)
    assert all(0.90 <= count / 200 <= 0.99 for count in hits.values()), hits


def test_a_higher_level_is_wider():
    loss = noisy(forms.floor_tail(K9, 1, 0.5, 0.7))
    narrow, wide = (
        profile_intervals(FLOOR_TAIL, {"k": K9}, loss, level=level)["floor"]
        for level in (0.68, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_too_few_points_are_refused():
    with pytest.raises(FitError, match="needs 3 distinct k"):
        profile_intervals(FLOOR_TAIL, {"k": [1.0]}, [2.0])
