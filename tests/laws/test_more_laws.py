"""Every further law: known parameters recovered, the formula as stated, intervals that hold."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from mergelaw.errors import FitError
from mergelaw.laws.fitting import fit
from mergelaw.laws.law import LAWS
from mergelaw.laws.more_laws import MORE_LAWS, POST_TRAINING
from mergelaw.laws.profile import profile_intervals
from mergelaw.laws.projection import Held, Problem, solve_linear, solve_many, start_held

K16 = np.arange(1.0, 17)
SIZES = np.array([0.5, 1.5, 3, 7, 14, 32, 72])
TOKENS = np.array([0.1, 0.3, 1, 3, 10])

TRUTH = {
    "floor_tail": (1.0, 0.5, 0.6),
    "zero_offset": (1.0, 0.5, 0.0),
    "interference": (1.0, 0.8, 0.4, 0.6, 12.0),
    "power": (1.0, 0.5, 1.7),
    "exponential": (1.0, 0.5, 2.5),
    "logarithm": (2.0, 0.2),
    "constant": (2.0,),
    "joint": (0.35, 0.5, 0.4, 0.3, 0.2, 0.6),
    "flat_tail": (0.35, 0.5, 0.4, 0.3, 0.0, 0.6),
    "joint_zero_offset": (0.35, 0.5, 0.4, 0.3, 0.2, 0.0),
    "post_training": (0.4, 0.5, 0.35, 0.3, 0.6),
    "capacity": (0.35, 0.5, 0.4, 0.3, -0.3, 0.6),
    "size_floor": (0.35, 0.5, 0.4),
    "order_dispersion": (-0.01, 0.2, 0.8),
}


def variables_of(law):
    values = {"k": K16, "n_params_billions": SIZES, "n_tokens_billions": TOKENS, "capacity": SIZES}
    grids = np.meshgrid(*(values[name] for name in law.variables), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(law.variables, grids, strict=True)}


def truth_of(law):
    return dict(zip([spec.name for spec in law.parameters], TRUTH[law.name], strict=True))


@pytest.mark.parametrize("law", MORE_LAWS.values(), ids=MORE_LAWS)
def test_known_parameters_are_recovered(law):
    variables, truth = variables_of(law), truth_of(law)
    loss = law.function(**variables, **truth)
    fitted = fit(law, variables, loss)
    assert fitted.values == pytest.approx(truth, rel=1e-5, abs=1e-7)
    assert fitted.max_relative_error < 1e-8


@pytest.mark.parametrize("law", MORE_LAWS.values(), ids=MORE_LAWS)
def test_intervals_hold_known_parameters(law):
    """Noise of one fixed draw; 99.9% intervals, of 60 in all."""
    variables, truth = variables_of(law), truth_of(law)
    curve = law.function(**variables, **truth)
    loss = curve + 5e-4 * np.random.default_rng(11).normal(size=curve.size)
    found = profile_intervals(law, variables, loss, level=0.999)
    free = [spec.name for spec in law.parameters if spec.minimum < spec.maximum]
    assert list(found) == free
    for name, interval in found.items():
        assert interval.low is None or interval.low <= truth[name]
        assert interval.high is None or truth[name] <= interval.high


@pytest.mark.parametrize("law", MORE_LAWS.values(), ids=MORE_LAWS)
def test_the_formula_text_is_the_function(law):
    """The right side of the formula, read as Python, gives the function's numbers."""
    text = law.formula.split(" = ")[1].split(", N ")[0].split(" in billions")[0]
    for old, new in {"N^": "N ** ", "C^": "C ** ", "D^": "D ** ", "k^": "k ** ", " N **": " * N **",
                     " C **": " * C **", " D **": " * D **", " k **": " * k **",
                     "interference k /": "interference * k /", "tail exp": "tail * exp",
                     "slope log k": "slope * log(k)"}.items():  # fmt: skip
        text = text.replace(old, new)
    variables, values = variables_of(law), truth_of(law)
    letters = {"k": "k", "n_params_billions": "N", "n_tokens_billions": "D", "capacity": "C"}
    names = values | {letters[name]: column for name, column in variables.items()}
    expected = eval(text, {"exp": np.exp, "log": np.log}, names)
    np.testing.assert_allclose(law.function(**variables, **values), expected, rtol=1e-12)


def test_names_are_unique_and_the_studys_laws_stay_two():
    assert list(LAWS) == ["floor_tail", "joint"]
    assert all(law.name == name for name, law in MORE_LAWS.items())
    assert len(MORE_LAWS) == len(TRUTH)


@pytest.mark.parametrize("seed", range(20))
def test_columns_of_either_sign(seed):
    """Both solvers against a general bounded one."""
    draw = np.random.default_rng(seed)
    columns, y = draw.normal(size=(12, 3)), draw.normal(size=12)
    expected = lsq_linear(columns, y, ([-np.inf, 0, 0], np.inf), method="bvls", tol=1e-14)
    gram, cross = columns.T @ columns, columns.T @ y
    w, explained = solve_many(gram[None], cross[None], free=(0,))
    np.testing.assert_allclose(w[0], expected.x, atol=1e-7)
    assert y @ y - explained[0] == pytest.approx(2 * expected.cost, abs=1e-8)


@pytest.mark.parametrize("seed", range(30))
def test_linear_parameters_under_a_condition(seed):
    """Held by a heavy row instead of exactly: the same minimum, also where terms are 0."""
    draw = np.random.default_rng(seed)
    law, variables = MORE_LAWS["joint"], variables_of(MORE_LAWS["joint"])
    loss = law.function(**variables, **truth_of(law) | {"floor_limit": 0.05})
    loss = loss + 0.1 * draw.normal(size=loss.size)
    problem = Problem(law, variables, loss, np.ones_like(loss))
    node, weights = np.array([0.4, 0.2, 0.6]), draw.uniform(0, 1, 3)
    held = Held(lambda nodes: np.tile(weights, (len(nodes), 1)), draw.uniform(0.1, 1))
    w, residuals = solve_linear(problem, node, held)
    assert weights @ w == pytest.approx(held.value)
    columns = law.columns(variables, node[None])[0]
    heavy = np.vstack([columns, 1e5 * weights])
    expected, _ = nnls(heavy, np.append(loss, 1e5 * held.value))
    np.testing.assert_allclose(w, expected, atol=1e-6)
    np.testing.assert_allclose(residuals, columns @ w - loss)


def test_a_held_start_is_the_best_node_of_the_grid():
    law = MORE_LAWS["floor_tail"]
    loss = law.function(K16, 1.0, 0.5, 0.6) + 0.01 * np.sin(5 * K16)
    problem = Problem(law, {"k": K16}, loss, np.ones(16))
    held = Held(lambda nodes: np.tile([0.0, 1.0], (len(nodes), 1)), 0.6)
    nodes = np.array(law.searched[0].grid)[:, None]
    left = [np.sum(solve_linear(problem, node, held)[1] ** 2) for node in nodes]
    np.testing.assert_array_equal(start_held(problem, held), nodes[np.argmin(left)])


def test_a_level_may_be_negative():
    law = MORE_LAWS["order_dispersion"]
    problem = Problem(law, {"k": K16}, 0.2 / (K16 + 0.8) - 0.01, np.ones(16))
    w, residuals = solve_linear(problem, np.array([0.8]))
    np.testing.assert_allclose(w, [-0.01, 0.2], rtol=1e-9)
    assert np.abs(residuals).max() < 1e-12


def test_weights_by_k_need_a_k():
    variables = variables_of(POST_TRAINING)
    with pytest.raises(FitError, match="has no k to weigh by"):
        fit(POST_TRAINING, variables, np.ones(len(variables["n_tokens_billions"])), "k")
