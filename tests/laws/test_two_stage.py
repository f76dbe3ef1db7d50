"""Two stages: a known law over sizes comes back, also one whose tail grows."""

import numpy as np
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws import forms
from mergelaw.laws.analyses.two_stage import two_stage
from mergelaw.laws.estimates import estimate_all, fit_table
from mergelaw.laws.schemas import CURVES

SIZES = (0.5, 1.5, 3.0, 7.0, 14.0, 32.0)


def row_of(make_study, loss, sizes=SIZES):
    curves = CURVES.frame(
        [
            {"size": f"s{i}", "n_params_billions": n, "method": "avg", "domain": "macro", "k": k,
             "loss": float(loss(n, k)), "subset_se": 0.0}
            for i, n in enumerate(sizes) for k in range(1, 10)
        ]
    )  # fmt: skip
    table = two_stage(curves, fit_table(estimate_all(curves)[0]), make_study())
    return table.row(0, named=True)


@pytest.mark.parametrize("tail_exponent", [0.2, -0.15])
def test_the_law_over_sizes_is_recovered(make_study, tail_exponent):
    truth = (0.4, 0.5, 0.35, 0.3, tail_exponent)
    row = row_of(make_study, lambda n, k: forms.joint(n, k, *truth, 0.6))
    names = ("floor_limit", "size_scale", "size_exponent", "tail_scale", "tail_exponent")
    assert [row[name] for name in names] == pytest.approx(truth, rel=1e-5)
    assert (row["r2_floor"], row["r2_tail"]) == pytest.approx((1, 1))
    assert (row["n_sizes"], row["note"]) == (6, None)


def test_the_line_is_that_of_the_logarithms(make_study):
    tails = dict(zip(SIZES, (0.3, 0.2, 0.25, 0.1, 0.15, 0.12), strict=True))
    row = row_of(make_study, lambda n, k: 1 + 0.3 * n**-0.4 + tails[n] / (k + 0.5))
    x, y = np.log(SIZES), np.log(list(tails.values()))
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    assert row["tail_exponent"] == pytest.approx(-slope, rel=1e-4)
    assert row["r2_tail"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-4)


def test_three_sizes_are_noted(make_study):
    row = row_of(
        make_study, lambda n, k: forms.joint(n, k, 0.4, 0.5, 0.35, 0.3, 0.2, 0.6), SIZES[:3]
    )
    assert row["note"].startswith("3 sizes: the floors' three parameters go through any of them")


def test_a_size_without_a_tail_is_left_out_and_said(make_study):
    def loss(n, k):
        return 2.0 + 0.01 * k if n == 3.0 else forms.joint(n, k, 0.4, 0.5, 0.35, 0.3, 0.2, 0.6)

    row = row_of(make_study, loss)
    assert row["tail_exponent"] == pytest.approx(0.2, rel=1e-4)
    assert "1 of 6 tails are 0 and left out" in row["note"]


def test_an_offset_at_its_end_is_said(make_study):
    row = row_of(make_study, lambda n, k: 2 + n**-0.3 - 0.03 * k)
    assert "the floor of 6 of 6 sizes is not identified" in row["note"]


def test_two_sizes_say_nothing(make_study):
    with pytest.raises(NotMadeError, match="three sizes"):
        row_of(make_study, lambda n, k: 1 + n**-0.3 + 0.3 / k, SIZES[:2])
