"""The forms against the paper's tables and headline numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from mergelaw.laws import forms

GOLDEN = Path(__file__).parents[1] / "golden" / "paper_laws.json"
PAPER = json.loads(GOLDEN.read_text())
TABLE3 = {name: row for name, row in PAPER["table3_average_joint"].items() if name != "columns"}


def macro_of_table3(n_params_billions: float) -> np.ndarray:
    """Return the macro loss at k = 1..9 of the paper's nine joint fits."""
    k = np.arange(1, 10)
    return np.mean([forms.joint(n_params_billions, k, *row[:6]) for row in TABLE3.values()], axis=0)


@pytest.mark.parametrize("size", ["0.5", "7", "32", "72"])
def test_macro_losses_of_table_3(size):
    np.testing.assert_allclose(
        macro_of_table3(float(size)), PAPER["macro_from_table3"][size], atol=6e-5
    )


@pytest.mark.parametrize("size", ["0.5", "32"])
def test_macro_is_near_the_papers_text(size):
    text, law = PAPER["headline_macro"][size], macro_of_table3(float(size))
    assert law[0] == pytest.approx(text["k1"], rel=0.012)
    assert law[8] == pytest.approx(text["k9"], rel=0.004)


@pytest.mark.parametrize("name", ["llama3.2-3b", "llama3-8b"])
def test_llama_curves_of_table_23(name):
    row = dict(zip(PAPER["table23_llama"]["columns"], PAPER["table23_llama"][name], strict=True))
    ends = forms.floor_tail(np.array([1, 9]), row["L_inf"], row["A"], row["b"])
    np.testing.assert_allclose(ends, [row["L_k1"], row["L_k9"]], atol=1.3e-3)


def test_joint_is_floor_tail_at_one_size():
    k = np.arange(1, 10)
    joint = forms.joint(2.0, k, 0.5, 0.4, 0.3, 0.2, 0.1, 0.7)
    alone = forms.floor_tail(k, 0.5 + 0.4 * 2**-0.3, 0.2 * 2**-0.1, 0.7)
    np.testing.assert_allclose(joint, alone, rtol=1e-14)


@pytest.mark.parametrize("offset", [1e-6, 0.1, 0.4, 0.714])
def test_headline_returns_follow_from_nine_experts(offset):
    assert forms.k_for_return(0.85, offset, 9) == 5
    assert forms.k_for_return(0.90, offset, 9) == 6


def test_returns_outside_the_headlines_range():
    assert forms.fractional_return(5, 0.0, 9) == pytest.approx(0.9, abs=1e-15)
    assert forms.k_for_return(0.90, 0.0, 9) == 5
    assert forms.k_for_return(0.85, 0.72, 9) == 6
    assert [forms.k_for_return(0.90, b, 9) for b in (0.81, 0.82, 3.0)] == [6, 7, 7]


def test_fractional_return_is_the_laws():
    k = np.arange(1, 8)
    loss = forms.floor_tail(k, 0.3, 0.9, 1.7)
    expected = (loss[0] - loss) / (loss[0] - loss[-1])
    np.testing.assert_allclose(forms.fractional_return(k, 1.7, 7), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("domain", "size", "expected"),
    [("code", 0.5, "code_0.5B"), ("code", 32, "code_32B"), ("biology", 0.5, "biology"),
     ("biology", 32, "biology")],
)  # fmt: skip
def test_k_near_floor_of_table_12(domain, size, expected):
    row = dict(zip(PAPER["table12_rows"]["columns"], PAPER["table12_rows"][domain], strict=True))
    tail = row["A0"] * size ** -row["gamma"]
    assert forms.k_near_floor(0.01, tail, row["b"]) == PAPER["k_eps_0.01"][expected]


def test_k_near_floor_is_the_smallest():
    for tail, offset in [(0.5, 0.3), (0.05, 0.0), (0.003, 4.0)]:
        k = forms.k_near_floor(0.01, tail, offset)
        assert tail / (k + offset) <= 0.01 * (1 + 1e-6)
        assert k == 1 or tail / (k - 1 + offset) > 0.01


def test_variance_is_zero_for_the_whole_pool():
    assert forms.finite_pool_variance(9, 0.3, 9) == 0
    assert forms.finite_pool_variance(1, 0.3, 9) == pytest.approx(0.3 * 8 / 9)


def test_interference_is_bounded_and_grows():
    k = np.array([1.0, 3, 1e9])
    harm = forms.interference(k, 1.0, 0.5, 0.2, 0.3, 2.0) - forms.floor_tail(k, 1.0, 0.5, 0.2)
    np.testing.assert_allclose(harm, [0.3 / 3, 0.3 * 3 / 5, 0.3], rtol=1e-8)


def test_post_training_is_hoffmanns():
    """Their fit E 1.69, A 406.4, alpha .34, B 410.7, beta .28 (of N and D themselves)."""
    found = forms.post_training(70, 1400, 1.69, 406.4 * 1e9**-0.34, 0.34, 410.7 * 1e9**-0.28, 0.28)
    assert found == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28)
    assert found == pytest.approx(1.94, abs=0.01)


def test_capacity_changes_floor_and_tail():
    one = forms.capacity(16, np.array([1, 1e12]), 1, 0.8, 0.5, 0.2, -0.25, 0)
    np.testing.assert_allclose(one, [1.2 + 0.4, 1.2], rtol=1e-9)


def test_finite_pool_variance_with_seeds_ends_at_the_seeds():
    np.testing.assert_allclose(forms.finite_pool_variance([1, 9], 0.9, 9, 0.1), [0.9, 0.1])
    np.testing.assert_allclose(forms.inverse_k_variance([1, 9], 0.9), [0.9, 0.1])


def test_order_dispersion_is_the_papers_form():
    np.testing.assert_allclose(forms.order_dispersion([1, 3], 0.01, 0.06, 2.0), [0.03, 0.022])
