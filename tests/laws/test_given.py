"""Tables from anywhere: how they are read, what is refused and by which words, what is fitted."""

import hashlib
import json
from itertools import combinations
from math import comb, log

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import ConfigError, FitError, TableError
from mergelaw.laws import forms
from mergelaw.laws.given.answers import answer_all
from mergelaw.laws.given.points import read_points
from mergelaw.laws.given.reading import read_file
from mergelaw.laws.given.record import fit_facts
from mergelaw.laws.given.words import fit_text
from mergelaw.laws.law import JOINT

SIZES = (0.5, 1.5, 3, 7, 14)
JOINT_VALUES = {  # Code in Table 3 of the paper
    "floor_limit": 0.28292,
    "size_scale": 0.20851,
    "size_exponent": 0.41186,
    "tail_scale": 0.082102,
    "tail_exponent": 0.13678,
    "offset": 0.43453,
}


@pytest.fixture
def read(tmp_path):
    """Return a function from the text of a table to its points."""

    def of(text, pool=None, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_points(read_file(path), pool)

    return of


@pytest.fixture
def fitted(read):
    """Return a function from the text of a table to its answers by curve, and the refusals."""

    def of(text, pool=None, law="auto", weights=None):
        done, refused = answer_all(read(text, pool), law, weights)
        return {(a.fit.law, a.method, a.domain, a.size): a for a in done}, refused

    return of


def csv(rows, *names):
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


def curve(floor=1.5, tail=0.4, offset=0.3, ks=range(1, 10), noise=0.0):
    """Losses of the law with alternating errors that no law in k has."""
    return [
        (k, float(forms.floor_tail(k, floor, tail, offset)) + noise * (-1) ** k * (1 + k % 3))
        for k in ks
    ]


def sizes_by_k(unit=1.0, sizes=SIZES):
    return [
        (int(n * unit) if unit > 1 else n, k, float(forms.joint(n, k, **JOINT_VALUES)))
        for n in sizes
        for k in range(1, 10)
    ]


def only(found):
    (value,) = found.values()
    return value


def faults(read, text, **options):
    with pytest.raises(TableError) as error:
        read(text, **options)
    return str(error.value)


# --- reading


def test_any_order_of_rows_and_any_format_give_the_same_points(read, tmp_path):
    rows = sizes_by_k()
    plain = csv(rows, "n_params", "k", "loss")
    shuffled = csv([rows[i] for i in np.random.default_rng(0).permutation(len(rows))],
                   "n_params", "k", "loss")  # fmt: skip
    frame = pl.DataFrame(rows, schema=["n_params", "k", "loss"], orient="row")
    frame.write_parquet(tmp_path / "made.parquet")
    wanted = [point._replace(places=()) for point in read(plain).curves[0].points]
    for text, name in (
        (shuffled, "t.csv"),
        (plain.replace(",", ";"), "t.csv"),
        (plain.replace(",", "\t"), "t.TSV"),
        ("\ufeff" + plain.replace("\n", "\r\n"), "t.csv"),
        ((tmp_path / "made.parquet").read_bytes(), "t.parquet"),
    ):
        (found,) = read(text, name=name).curves
        assert [point._replace(places=()) for point in found.points] == wanted


def test_an_index_without_a_name_and_a_cell_with_a_line_break_do_no_harm(read):
    points = read(',k,loss,note\n0,1,2.0,"two\nlines"\n\n1,2,1.5,b\n')
    assert [(p.k, p.loss, p.places) for p in points.curves[0].points] == [
        (1, 2.0, (3,)),
        (2, 1.5, (5,)),
    ]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "t.csv", "the file is empty"),
        ("k,loss\n", "t.csv", "names of columns and no rows"),
        ("k,loss\n1,2,3\n2\n", "t.csv", "line 2 has 3 cells and the header 2"),
        ("k,loss,k\n1,2,3\n", "t.csv", "two columns have the same name: k"),
        (b"\xff\xfek\x00", "t.csv", "no text in UTF-8"),
        ("not parquet at all", "t.parquet", "is no parquet file"),
        ('{"k": 1}', "t.json", "must end in .csv, .tsv, .parquet"),
        ('k,loss\n"1,2\n', "t.csv", "line 2: unexpected end of data"),
    ],
)
def test_what_is_no_table_is_said(read, text, name, words):
    assert words in faults(read, text, name=name)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("nowhere.csv", "folder.csv"):
        with pytest.raises(TableError, match=rf"{name}: cannot be read"):
            read_file(tmp_path / name)


def test_missing_columns_come_with_the_names_that_are_probably_meant(read):
    said = faults(read, "K,CE Loss,N\n1,2,3\n")
    assert "no column 'k'; 'K' probably is it: rename it to 'k'" in said
    assert "no column 'loss'; 'CE Loss' probably is it: rename it to 'loss'" in said
    assert "'perplexity': the natural logarithm" in faults(read, "k,perplexity\n1,2\n")


def test_a_column_that_may_be_meant_and_is_not_read_is_told(read):
    (warning,) = read("k,loss,std\n1,2,.1\n2,1.5,.1\n").warnings
    assert warning.startswith("the column 'std' is not read; if it is the 'sd' of this table")


# --- rows


def test_every_bad_cell_is_listed_by_its_line(read):
    text = "k,loss,sd\n1,2,.1\n\n2,nan,.1\n3,inf,.1\n4,-1,.1\n5,abc,.1\n2.5,1,.1\n-1,2,x\n6,,-1\n"
    said = faults(read, text)
    assert "a positive number, in nats per token (leave out rows without one): lines 4" in said
    assert "lines 4 ('nan'), 5 ('inf'), 6 ('-1'), 10" in said
    assert "'loss' must be a number: line 7 ('abc')" in said
    assert (
        "'k' must be a whole number of merged experts, 1 to 10000 (0 is the base): lines 8" in said
    )
    assert "'sd' must be a number: line 9 ('x')" in said
    assert "'sd' must be 0 or a positive number: line 10 ('-1')" in said


@pytest.mark.parametrize("cell", ["1e30", "1e400", "-inf", "1_0", "True"])
@pytest.mark.parametrize("name", ["k", "loss", "n_params", "sd", "n_subsets", "se"])
def test_numbers_that_nothing_can_be_are_refused(read, name, cell):
    cells = {"k": "1", "loss": "2", name: cell}
    text = ",".join(cells) + "\n" + ",".join(cells.values()) + "\n"
    if (name, cell) == ("n_subsets", "1e30"):
        assert read(text)  # a pool of 110 has that many
    else:
        assert f"{name!r} must be" in faults(read, text)


def test_many_bad_lines_are_counted(read):
    said = faults(read, csv([(1, "x")] * 50, "k", "loss"))
    assert "lines 2 ('x'), 3 ('x')" in said
    assert said.endswith("and 44 more")


def test_numbers_with_commas_or_units_come_with_their_fix(read):
    said = faults(read, "k;loss;n_params\n1;2,5;0.5B\n")
    assert "'loss' must be a number with a decimal point and no comma: line 2 ('2,5')" in said
    assert "'n_params' must be a number: write 0.5 for 0.5B: line 2 ('0.5B')" in said


def test_rows_of_the_base_are_left_out_and_told(read):
    points = read("k,loss\n0,9\n1,2\n2,1.8\n")
    assert points.left_out == [(2, "k = 0 is the base: the law begins at one expert")]
    assert [p.k for p in points.curves[0].points] == [1, 2]
    assert "no row has k >= 1" in faults(read, "k,loss\n0,9\n")


def test_a_k_that_occurs_twice_is_refused_with_what_tells_the_rows_apart(read):
    said = faults(read, "k,loss,run,note\n1,2,a,x\n1,1.9,b,x\n2,1.7,a,x\n")
    assert "k = 1 stands 2 times: lines 2, 3" in said
    assert "apart is 'run': rename it to 'subset' if each row is one merge" in said
    assert "no other column tells these rows apart" in faults(read, "k,loss\n1,2\n1,2\n")
    apart = read("k,loss,method\n1,2,a\n1,1.9,b\n")
    assert [c.method for c in apart.curves] == ["a", "b"]


def test_a_text_that_stands_in_some_rows_only_is_refused(read):
    said = faults(read, "k,loss,method\n1,2,a\n2,1.8,\n")
    assert "'method' must stand in every row or in none; it is empty: line 3" in said


def test_names_that_differ_in_case_alone_are_told(read):
    (warning,) = read("k,loss,domain\n1,2,Code\n2,1.5,code\n").warnings
    assert warning == "domains that differ in case alone are fitted apart: Code, code"


def test_losses_that_may_be_perplexities_are_told(read):
    (warning,) = read("k,loss\n1,9.2\n2,7.9\n3,5.9\n").warnings
    assert "if it is a perplexity itself, take its natural logarithm" in warning
    assert "lines 2, 3" in warning
    assert "line 4" not in warning
    assert read("k,loss\n1,5.9\n2,5.5\n").warnings == []


def test_a_title_above_the_names_and_signs_of_percent_come_with_their_fix(read):
    said = faults(read, "# Table 3\nk,loss\n1,2\n2,1.8\n")
    assert "the first line must name the columns" in said
    assert "the first line must" not in faults(read, "k,loss\n1,2,3\n2,1.8\n")
    assert "must be a number without a sign of percent" in faults(read, "k,loss\n1,40%\n")


def test_an_accuracy_comes_with_the_loss_to_make_of_it(read, fitted):
    assert "1 - accuracy" in faults(read, "k,Accuracy\n1,0.4\n2,0.5\n")
    rising = only(fitted("k,loss\n1,0.41\n2,0.49\n4,0.53\n6,0.55\n8,0.56\n")[0])
    assert any("the loss is what it lacks to its best" in word for word in rising.remarks)
    mixed = only(fitted("k,loss\n1,0.41\n2,0.57\n4,0.53\n6,0.55\n8,0.56\n")[0])
    assert not any("accuracy" in word for word in mixed.remarks)


# --- sizes


def test_counts_are_converted_with_a_warning_and_fit_as_billions(fitted, read):
    billions, _ = fitted(csv(sizes_by_k(), "n_params", "k", "loss"), law="joint")
    text = csv(sizes_by_k(unit=1e9), "n_params", "k", "loss")
    counts, _ = fitted(text, law="joint")
    assert only(counts).fit.values == pytest.approx(only(billions).fit.values)
    points = read(text)
    assert points.unit == "counts"
    assert "looks like counts of parameters (500,000,000 to 14,000,000,000)" in points.warnings[0]
    assert "n_params_billions" in points.warnings[0]


def test_small_counts_may_be_millions_and_a_stated_unit_is_never_doubted(read):
    rows = [(n, k, 2 / k) for n in (1400, 2800) for k in (1, 2)]
    assert "if they are millions" in read(csv(rows, "n_params", "k", "loss")).warnings[0]
    stated = read(csv(rows, "n_params_billions", "k", "loss"))
    assert stated.unit == "billions"
    assert stated.warnings == []
    assert {p.n_params_billions for p in stated.curves[0].points} == {1400, 2800}


def test_sizes_that_may_be_millions_are_told(read):
    rows = [(n, k, 2 / k) for n in (60, 124, 355) for k in (1, 2)]
    points = read(csv(rows, "n_params", "k", "loss"))
    assert points.unit == "billions"
    (warning,) = points.warnings
    assert "up to 355 is read as billions: if they are millions, divide them by 1000" in warning
    assert read(csv(rows, "n_params_billions", "k", "loss")).warnings == []
    mixed = [(n, 1, 2) for n in (355, 1500)]
    assert "if they are millions, divide" in faults(read, csv(mixed, "n_params", "k", "loss"))


def test_two_units_in_one_column_are_refused(read):
    said = faults(read, "k,loss,n_params\n1,2,0.5\n1,1.8,1500000000\n")
    assert "below 1000 is read as billions and above as a count" in said
    assert "line 2 ('0.5')" in said


def test_one_size_with_two_n_is_refused_and_two_sizes_with_one_n_have_no_joint_law(read, fitted):
    said = faults(read, "k,loss,size,n_params\n1,2,a,1\n2,1.8,a,2\n")
    assert "size 'a' has more than one N, 1 and others (billions): line 3 ('2')" in said
    sizes = (("a", 1), ("b", 1), ("c", 2))
    rows = [(k, size, n, 2 + n / (k + 0.2)) for size, n in sizes for k in (1, 2, 3)]
    found, refused = fitted(csv(rows, "k", "size", "n_params", "loss"))
    assert {key[3] for key in found} == {"a", "b", "c"}
    assert [(r.law, r.reason) for r in refused] == [("joint", "the sizes a, b have the same N")]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("n_params", "k", "loss"), "the law joint needs 3 sizes and there are 2"),
        (("size", "k", "loss"), "the joint law needs N of each size, in a column n_params"),
    ],
)
def test_too_few_sizes_or_none_leave_each_size_and_say_why_there_is_no_joint_law(
    fitted, names, reason
):
    found, refused = fitted(csv(sizes_by_k(sizes=(1, 2)), *names))
    assert [key[0] for key in found] == ["floor_tail"] * 2
    assert [item.reason for item in refused] == [reason]


# --- subsets and sampling errors


def test_single_merges_are_averaged_mask_seeds_first(read):
    text = "k,loss,subset,mask_seed\n1,2,a,0\n1,2.2,a,1\n1,1.6,b,0\n2,1.5,a+b,0\n"
    points = read(text, pool=3)
    one, two = points.curves[0].points
    assert one.loss == pytest.approx((2.1 + 1.6) / 2)  # not the mean of the three rows
    assert one.n_subsets == 2
    assert one.sd == pytest.approx(0.5 / 2**0.5)
    assert one.se == pytest.approx(one.sd * (1 / 2 - 1 / 3) ** 0.5)
    assert (two.n_subsets, two.sd, two.se) == (1, None, None)
    assert "single merges" in points.warnings[0]
    assert "mask seeds first" in points.warnings[0]
    said = faults(read, text.replace("a,1", "a,0"))
    assert "'mask_seed' does not tell the rows apart: lines 2, 3" in said


def test_sampling_errors_are_right_on_average_over_all_samples(read):
    """Of all samples of 2 of the 4 merges: the mean of se^2 is the variance of their means."""
    losses = (2.0, 1.1, 1.7, 1.4)
    means, squares = [], []
    for pair in combinations(losses, 2):
        text = f"k,loss,sd,n_subsets\n1,{np.mean(pair)},{np.std(pair, ddof=1)},2\n"
        (point,) = read(text, pool=4).curves[0].points
        means.append(point.loss)
        squares.append(point.se**2)
    assert np.mean(squares) == pytest.approx(np.var(means))


def test_errors_are_zero_where_all_are_in_and_larger_where_the_pool_is_not_known(read):
    text = "k,loss,sd,n_subsets\n1,2,.3,9\n2,1.8,.2,12\n9,1.5,,1\n"
    known = [p.se for p in read(text, pool=9).curves[0].points]
    assert known == [0, pytest.approx(0.2 * (1 / 12 - 1 / 36) ** 0.5), 0]
    unknown = [p.se for p in read(text).curves[0].points]
    assert unknown == [pytest.approx(0.1), pytest.approx(0.2 / 12**0.5), None]
    one = "k,loss,sd,n_subsets\n1,2,0,1\n"  # the spread of one subset says nothing
    assert read(one, pool=9).curves[0].points[0].se is None
    given = "k,loss,sd,n_subsets,se\n1,2,.3,9,.07\n2,1.8,.3,9,.05\n"
    assert [p.se for p in read(given, pool=9).curves[0].points] == [0.07, 0.05]


def test_measured_weights_are_the_default_where_errors_are_known(fitted):
    rows = [(k, loss, 0.02 / k) for k, loss in curve(noise=0.002)]
    found, _ = fitted(csv(rows, "k", "loss", "se"))
    assert only(found).fit.weights == "measured"
    found, _ = fitted(csv(rows, "k", "loss", "se"), weights="uniform")
    assert only(found).fit.weights == "uniform"
    found, _ = fitted(csv(rows, "k", "loss", "other"))
    assert only(found).fit.weights == "uniform"
    with pytest.raises(ConfigError, match="measured needs the column se, or sd and n_subsets"):
        fitted(csv(rows, "k", "loss", "other"), weights="measured")


def test_more_subsets_than_there_are_and_k_above_the_pool_are_refused(read):
    said = faults(read, "k,loss,n_subsets\n1,2,4\n2,1.8,7\n5,1.7,1\n", pool=4)
    assert "'n_subsets' is above the C(4, 2) = 6 there are: line 3 ('7')" in said
    assert "'k' is above --pool 4: line 4 ('5')" in said
    said = faults(read, "k,loss,subset\n1,2,a\n1,1,b\n1,1,c\n", pool=2)
    assert "more subsets of 1 than the C(2, 1) of --pool" in said


def test_a_single_merge_among_means_is_told_but_for_the_whole_pool(read):
    text = "k,loss,sd,n_subsets\n1,2,.3,9\n2,1.8,,1\n4,1.6,.1,9\n9,1.5,,1\n"
    (warning,) = read(text, pool=9).warnings
    assert "single merges stand among means" in warning
    assert warning.endswith("line 3")
    assert "line 3" in read(text).warnings[0]  # the largest k may be the whole pool


def test_counts_of_subsets_tell_a_pool_that_is_not_given(read):
    rows = [(k, 1 + 1 / k, 0.1, comb(5, k)) for k in range(1, 6)]
    text = csv(rows, "k", "loss", "sd", "n_subsets")
    (hint,) = read(text).warnings
    assert "say --pool 5" in hint
    assert read(text, pool=5).warnings == []


def test_a_sampling_error_that_is_missing_is_told_with_the_way_out(read, fitted):
    rows = [*((k, 1 + 1 / k, 0.1, 9) for k in range(2, 6)), (9, 1.1, "", 1)]
    text = csv(rows, "k", "loss", "sd", "n_subsets")
    (hint,) = read(text).warnings
    assert "say --pool): line 6" in hint
    assert read(text, pool=9).warnings == []
    assert only(fitted(text)[0]).fit.weights == "uniform"
    assert only(fitted(text, pool=9)[0]).fit.weights == "measured"


def test_a_mean_over_domains_is_fitted_apart_and_told(read):
    rows = [(k, loss, d) for d in ("code", "Macro") for k, loss in curve()]
    points = read(csv(rows, "k", "loss", "domain"))
    assert [c.domain for c in points.curves] == ["code", "Macro"]
    assert "'Macro' is a mean over others by its name" in points.warnings[0]


# --- what is said of fits


def test_one_k_is_refused_two_hold_the_offset_three_leave_nothing_to_judge_by(fitted):
    with pytest.raises(FitError, match="nothing can be fitted") as error:
        fitted("k,loss\n3,2\n")
    assert "the table: one k only says nothing of a law over k" in str(error.value)
    two = only(fitted("k,loss\n1,2\n4,1.5\n")[0])
    assert two.fit.values["tail"] == pytest.approx(0.5 / (1 - 1 / 4))
    assert "offset is held at 0" in two.fit.notes
    three = only(fitted(csv(curve(ks=(1, 2, 5)), "k", "loss"))[0])
    for answer in (two, three):
        assert not answer.identified
        assert not answer.judged
        assert all(need.low is None for need in answer.needs)
        assert answer.held_out[0].largest_error is None


def test_a_curve_that_can_be_fitted_is_not_lost_to_one_that_cannot(fitted):
    rows = [(k, loss, "good") for k, loss in curve()] + [(1, 2.0, "bad")]
    found, refused = fitted(csv(rows, "k", "loss", "method"))
    assert only(found).method == "good"
    assert [item.method for item in refused] == ["bad"]


def test_rising_and_constant_losses_have_no_tail_and_no_k(fitted):
    rising = only(fitted("k,loss\n1,1\n2,1.5\n3,1.6\n4,1.7\n5,1.8\n")[0])
    flat = only(fitted("k,loss\n1,1.5\n2,1.5\n3,1.5\n4,1.5\n")[0])
    for answer in (rising, flat):
        assert answer.fit.values["tail"] == 0
        assert not answer.identified
        assert answer.needs == []
        assert answer.k_near_floor is None
        assert "the loss does not fall with k in these points" in answer.remarks[0]
    assert flat.fit.r2 is None
    assert "least loss measured is 1 at k = 1, and at k = 5 it is 1.8" in rising.remarks[1]


def test_a_minimum_inside_is_told(fitted):
    rows = [(1, 2.5), (2, 2.2), (3, 2.1), (4, 2.0), (5, 2.05), (6, 2.2)]
    answer = only(fitted(csv(rows, "k", "loss"))[0])
    assert any("least loss measured is 2 at k = 4" in remark for remark in answer.remarks)


def test_parameters_with_an_open_interval_are_not_identified(fitted):
    answer = only(fitted("k,loss\n1,2\n2,1.8\n3,1.7\n4,1.66\n", pool=9)[0])
    assert answer.fit.identified  # by standard errors alone
    assert not answer.identified
    assert any(r.startswith("offset is not identified") for r in answer.remarks)
    # The offset may be anything: from k at offset 0 to k on a straight line.
    assert [(need.low, need.k, need.high) for need in answer.needs] == [(5, 5, 8), (5, 6, 9)]
    sharp = only(fitted(csv(curve(noise=1e-4), "k", "loss"))[0])
    assert sharp.identified


def test_the_end_is_the_pool_beside_the_floor_and_the_needs_are_the_laws(fitted):
    rows = curve(0.64, 0.1588, 0.02256, ks=range(2, 8), noise=1e-5)
    answer = only(fitted(csv(rows, "k", "loss"), pool=9)[0])
    end, values = answer.end, answer.fit.values
    assert end.k == 9
    assert end.loss == pytest.approx(float(forms.floor_tail(9, **values)))
    assert end.low < end.loss < end.high
    assert end.measured is None
    assert "L(9) is an extrapolation: the largest k measured is 7" in answer.remarks
    assert any("smallest k measured is 2" in remark for remark in answer.remarks)
    returns = forms.fractional_return(np.arange(1, 10), values["offset"], 9)
    assert [need.k for need in answer.needs] == [
        1 + int(np.argmax(returns >= share)) for share in (0.85, 0.9)
    ]
    assert all(need.low <= need.k <= need.high for need in answer.needs)
    assert answer.k_near_floor == 16  # Biology of Table 3, which has 9 experts


def test_held_out_errors_are_those_of_a_fit_to_the_rest(fitted):
    answer = only(fitted(csv(curve(noise=2e-3), "k", "loss"))[0])
    (held,) = answer.held_out
    rows = curve(noise=2e-3)
    seen = only(fitted(csv(rows[:5], "k", "loss"))[0]).fit
    errors = [abs(float(seen.predict(k=k)) / loss - 1) for k, loss in rows[5:]]
    assert (held.left_out, held.n_fitted, held.n_left_out) == ("k >= 6", 5, 4)
    assert held.largest_error == pytest.approx(max(errors))
    assert held.repeat_last == pytest.approx(
        max(abs(rows[4][1] / loss - 1) for _, loss in rows[5:])
    )


@pytest.mark.parametrize(
    ("ks", "name"),
    [((1, 2, 3, 4), "k >= 4"), ((2, 4, 6, 8, 10, 12), "k >= 10"), ((1, 2, 3, 8), "k >= 8")],
)
def test_the_top_third_is_held_out_where_few_k_are_below_six(fitted, ks, name):
    answer = only(fitted(csv(curve(ks=ks), "k", "loss"))[0])
    assert [held.left_out for held in answer.held_out] == [name]


def test_the_joint_law_recovers_a_published_fit_and_predicts_its_largest_size(fitted):
    found, refused = fitted(csv(sizes_by_k(), "n_params", "k", "loss"), pool=9)
    joint = found["joint", None, None, None]
    assert refused == []
    assert joint.fit.values == pytest.approx(JOINT_VALUES, rel=1e-4)
    assert [held.left_out for held in joint.held_out] == ["k >= 6", "the largest size"]
    assert all(held.largest_error < 1e-6 for held in joint.held_out)
    last = [p.loss for p in joint.points if p.n_params_billions == 7]
    mine = [p.loss for p in joint.points if p.n_params_billions == 14]
    repeated = max(abs(a / b - 1) for a, b in zip(last, mine, strict=True))
    assert joint.held_out[1].repeat_last == pytest.approx(repeated)
    at_14 = found["floor_tail", None, None, "14B"]
    assert joint.end.floor == pytest.approx(at_14.fit.values["floor"], rel=1e-5)
    assert joint.end.tail == pytest.approx(at_14.fit.values["tail"], rel=1e-5)
    assert joint.end.loss == pytest.approx(at_14.end.measured, rel=1e-6)
    assert "the law goes through every point" in joint.remarks[0]
    by_size = [key for key in found if key[0] == "floor_tail"]
    assert [key[3] for key in by_size] == ["0.5B", "1.5B", "3B", "7B", "14B"]


@pytest.mark.parametrize(
    ("offset", "floor", "tail"), [(0.6875, 0.7137, 0.0783), (0.0, 0.7252, 0.0573)]
)
def test_published_curves_are_recovered_from_four_digits(fitted, offset, floor, tail):
    """LLaMA 3.2-3B and 3-8B, Table 23 of the paper."""
    rows = [(k, f"{loss:.4f}") for k, loss in curve(floor, tail, offset)]
    answer = only(fitted(csv(rows, "k", "loss"), pool=9)[0])
    assert answer.identified
    assert answer.fit.values["floor"] == pytest.approx(floor, abs=3e-4)
    assert answer.fit.values["tail"] == pytest.approx(tail, rel=0.02)
    low = answer.intervals["floor"].low
    assert low < floor < answer.intervals["floor"].high


def test_laws_are_ranked_by_aicc(fitted):
    answer = only(fitted(csv(curve(noise=1e-3), "k", "loss"))[0])
    ranks = {rival.law: rival for rival in answer.rivals}
    fit, n, p = answer.fit, 9, 3
    rss = n * fit.rmse**2
    wanted = n * log(rss / n) + 2 * (p + 1) + 2 * (p + 1) * (p + 2) / (n - p - 2)
    assert ranks["floor_tail"].aicc == pytest.approx(wanted)
    assert min(r.delta_aicc for r in answer.rivals) == 0
    assert ranks["constant"].delta_aicc > 20
    assert {"power", "exponential", "logarithm", "zero_offset"} <= set(ranks)


def test_rivals_are_compared_under_the_same_weights(fitted):
    rows = [(k, loss, 0.02 / k) for k, loss in curve(noise=2e-3)]
    measured = only(fitted(csv(rows, "k", "loss", "se"))[0])
    uniform = only(fitted(csv(rows, "k", "loss", "se"), weights="uniform")[0])
    assert measured.fit.values != uniform.fit.values
    assert measured.rivals == uniform.rivals
    by_k = only(fitted(csv(rows, "k", "loss", "se"), weights="k")[0])
    assert by_k.rivals != uniform.rivals


def test_a_better_rival_and_one_without_a_floor_are_told(fitted):
    """Table 20 of the paper: sixteen domains, overall loss at k = 2, 4, ..., 16."""
    losses = (0.7774, 0.7331, 0.7051, 0.6874, 0.6685, 0.6603, 0.6509, 0.6437)
    rows = list(zip(range(2, 17, 2), losses, strict=True))
    answer = only(fitted(csv(rows, "k", "loss"), pool=16)[0])
    assert answer.fit.values["offset"] == pytest.approx(5.24, abs=0.05)
    assert answer.remarks[-2:] == [
        "AICc prefers logarithm to floor_tail",
        "logarithm has no floor: these points do not show that there is one",
    ]
    exact = only(fitted(csv(curve(noise=1e-5), "k", "loss"))[0])
    assert not any("AICc" in remark for remark in exact.remarks)


def test_rivals_that_are_not_told_apart_are_named(fitted):
    answer = only(fitted(csv(curve(offset=0.15, noise=2e-3), "k", "loss"))[0])
    deltas = {rival.law: rival.delta_aicc for rival in answer.rivals}
    assert deltas["floor_tail"] <= 2
    tied = [law for law, delta in deltas.items() if law != "floor_tail" and delta is not None]
    tied = [law for law in tied if deltas[law] <= deltas["floor_tail"] + 2]
    assert tied
    assert answer.remarks[-1] == f"AICc does not tell floor_tail from {', '.join(tied)}"


def test_joint_rivals_are_ranked_by_aicc(fitted):
    rows = [(n, k, loss + 1e-4 * (-1) ** k) for n, k, loss in sizes_by_k()]
    joint = only(fitted(csv(rows, "n_params", "k", "loss"), law="joint")[0])
    assert joint.rivals[0].law == JOINT.name
    assert {rival.law for rival in joint.rivals} >= {"flat_tail", "joint_zero_offset"}


# --- words and record


def test_the_record_is_json_with_the_file_s_digest_and_every_point(read, tmp_path):
    text = csv([(0, 3.0), *curve(noise=1e-3)], "k", "loss")
    points = read(text, pool=9)
    done, refused = answer_all(points)
    facts = json.loads(json.dumps(fit_facts(points, done, refused), allow_nan=False))
    assert facts["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert facts["versions"]["mergelaw"]
    assert facts["left_out"] == [
        {"line": 2, "reason": "k = 0 is the base: the law begins at one expert"}
    ]
    (record,) = facts["fits"]
    assert [p["k"] for p in record["points"]] == list(range(1, 10))
    assert record["points"][0]["places"] == [3]
    assert {"low", "high", "stderr", "value"} <= set(record["parameters"]["floor"])
    assert len(record["starts"]) == record["n_starts"]
    assert len(record["basins"]) == record["n_basins"]
    assert record["covariance"]["names"] == ["floor", "tail", "offset"]
    assert record["end"]["k"] == 9


def test_the_record_judges_as_the_words_do(read):
    points = read("k,loss\n1,2\n2,1.8\n3,1.75\n4,1.7\n")
    done, refused = answer_all(points)
    (record,) = fit_facts(points, done, refused)["fits"]
    assert record["identified"] is False
    assert "if this is the law: not identified" in fit_text(points, done, refused)


def test_the_words_name_what_lies_beyond_the_pool_and_what_is_extrapolated(read):
    points = read(csv(curve(0.64, 0.1588, 0.02256, noise=1e-5), "k", "loss"), pool=9)
    text = fit_text(points, *answer_all(points))
    assert "extrapolated to k without end" in text
    assert "at k = 16, which needs more experts than the pool's 9" in text
    assert "parameters, if this is the law: identified" in text
    beyond = read(csv(curve(0.64, 0.1588, 0.02256, noise=1e-5), "k", "loss"))
    assert "at k = 16, beyond the 9 measured" in fit_text(beyond, *answer_all(beyond))


def test_the_words_have_every_warning_and_every_refusal(read):
    rows = [(n * 10**9, k, loss) for n, k, loss in sizes_by_k(sizes=(1, 2))]
    points = read(csv([*rows, (10**9, 0, 5.0)], "n_params", "k", "loss"))
    text = fit_text(points, *answer_all(points))
    assert "warning: 'n_params' looks like counts" in text
    assert "left out: line 20: k = 0 is the base" in text
    assert "joint: the law joint needs 3 sizes and there are 2" in text
    assert "summary" in text


def test_the_words_name_rivals_that_are_not_ranked_and_give_no_rounding_as_errors(read):
    exact = read(csv(curve(), "k", "loss"))
    text = fit_text(exact, *answer_all(exact))
    assert "; none for floor_tail, interference (too few points for them, or they go" in text
    assert "+- not known" in text
    (record,) = fit_facts(exact, *answer_all(exact))["fits"]
    assert {p["stderr"] for p in record["parameters"].values()} == {None}
    scattered = read(csv(curve(noise=1e-3), "k", "loss"))
    assert "none for" not in fit_text(scattered, *answer_all(scattered))
