"""Downstream scores: orientation, repeated metrics, means by k, and what is refused."""

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import TableError
from mergelaw.laws import published
from mergelaw.laws.analyses.published_downstream import LOWER, table_16
from mergelaw.laws.downstream import MEAN, means_by_k, metrics_of, subset_means, subset_scores

SUBSETS = ["a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]
ACCURACY = np.array([0.10, 0.40, 0.25, 0.30, 0.35, 0.45, 0.55])
HARM = np.array([0.90, 0.35, 0.60, 0.75, 0.50, 0.20, 0.15])


def scores(**metrics):
    frame = pl.DataFrame({"subset": SUBSETS, **metrics})
    return subset_scores(frame, "scores.csv", "subset")


def problems(frame, **options):
    with pytest.raises(TableError) as error:
        subset_scores(frame, "scores.csv", options.pop("subset", "subset"), **options)
    return str(error.value)


def test_table_15_is_the_plain_mean_of_all_columns_of_table_16():
    mean = table_16().filter(metric=MEAN).sort("k")
    given = published.column("15", "mean", model="llama3.1-8b", method="task_arithmetic").value
    np.testing.assert_allclose(mean["value"], given, atol=1e-3)
    assert mean["n_subsets"].to_list() == [5, 10, 10, 5, 1]


def test_table_16_oriented_without_its_two_repeated_columns():
    mean = table_16().filter(metric=MEAN).sort("k")["oriented"]
    np.testing.assert_allclose(mean, [0.396, 0.441, 0.458, 0.465, 0.468], atol=6e-4)
    dropped = table_16().filter(~pl.col("kept"))["metric"].unique().sort()
    assert dropped.to_list() == ["harmbench_rta", "wildguard_rta"]


def test_oriented_mean_of_one_subset_by_hand():
    given = published.subset_scores()
    row = given.filter(subset="1-2-4").row(0)[1:]
    kept = [*row[:8], 1 - row[8], 1 - row[9]]
    table = subset_scores(given, "x", "subset")
    found = subset_means(table, metrics_of(table, LOWER, "x"))
    at = table["subset"].to_list().index("1-2-4")
    assert found[at] == pytest.approx(sum(kept) / 10, abs=1e-12)


def test_means_by_k_are_means_over_the_subsets_of_k():
    table = scores(accuracy=ACCURACY, harm=HARM)
    means = means_by_k(table, metrics_of(table, ["harm"], "x"))
    harm = means.filter(metric="harm")
    np.testing.assert_allclose(harm["value"], [HARM[:3].mean(), HARM[3:6].mean(), HARM[6]])
    np.testing.assert_allclose(harm["oriented"], 1 - harm["value"])
    assert harm["higher_is_better"].to_list() == [False] * 3
    mean = means.filter(metric=MEAN)
    expected = (ACCURACY[:3] + 1 - HARM[:3]).mean() / 2
    assert mean["oriented"][0] == pytest.approx(expected)
    assert mean["value"][0] == pytest.approx((ACCURACY[:3] + HARM[:3]).mean() / 2)
    assert mean["k"].to_list() == [1, 2, 3]


def test_a_complement_is_dropped_and_changes_no_mean():
    alone = scores(accuracy=ACCURACY, harm=HARM)
    both = scores(accuracy=ACCURACY, harm=HARM, refusal=1 - HARM, again=ACCURACY)
    metrics = metrics_of(both, ["harm"], "x")
    assert {m.name: m.repeats for m in metrics} == {
        "accuracy": None, "harm": None, "refusal": "harm", "again": "accuracy"
    }  # fmt: skip
    np.testing.assert_allclose(
        subset_means(both, metrics), subset_means(alone, metrics_of(alone, ["harm"], "x"))
    )


def test_the_first_of_a_pair_is_kept_whichever_way_it_is_oriented():
    table = scores(refusal=1 - HARM, harm=HARM)
    metrics = metrics_of(table, ["harm"], "x")
    assert [m.repeats for m in metrics] == [None, "refusal"]
    np.testing.assert_allclose(subset_means(table, metrics), 1 - HARM)


def test_a_pair_is_found_through_rounding_and_not_beyond_it():
    rounded = np.round(HARM / 3, 3)
    off = rounded.copy()
    off[2] += 0.002
    for harm, repeats in ((rounded, "refusal"), (off, None)):
        table = scores(refusal=1 - np.round(HARM / 3, 4), harm=harm)
        assert metrics_of(table, ["harm"], "x")[1].repeats == repeats


def test_constant_metrics_are_related_to_none():
    table = scores(accuracy=ACCURACY, solved=np.ones(7), tried=np.ones(7), failed=np.zeros(7))
    assert all(metric.kept for metric in metrics_of(table, [], "x"))


@pytest.mark.parametrize("lower", [[], ["harm", "refusal"]])
def test_a_complement_of_the_same_orientation_is_refused(lower):
    table = scores(harm=HARM, refusal=1 - HARM)
    with pytest.raises(TableError, match=r"harm \+ refusal = 1 in every row"):
        metrics_of(table, lower, "x")


def test_an_equal_metric_of_the_other_orientation_is_refused():
    table = scores(harm=HARM, risk=HARM)
    with pytest.raises(TableError, match="harm = risk in every row: lower cannot be better of one"):
        metrics_of(table, ["risk"], "x")
    assert metrics_of(table, ["harm", "risk"], "x")[1].repeats == "harm"


def test_all_unknown_names_are_listed_with_the_known_ones():
    with pytest.raises(TableError) as error:
        metrics_of(scores(accuracy=ACCURACY, harm=HARM), ["harms", "speed"], "scores.csv")
    assert str(error.value) == (
        "scores.csv: 2 problems\n"
        "  - --lower harms: no such metric; one of accuracy, harm\n"
        "  - --lower speed: no such metric; one of accuracy, harm"
    )


def test_experts_and_k_are_read_from_names():
    frame = pl.DataFrame({"who": ["base", "x-1", "y", "y+x-1"], "m": [0.1, 0.2, 0.3, 0.4]})
    table = subset_scores(frame, "x", "who")
    assert table["experts"].to_list() == [[], ["x-1"], ["y"], ["x-1", "y"]]
    assert table["k"].to_list() == [0, 1, 1, 2]
    numbers = pl.DataFrame({"who": [1, 2], "m": [0.1, 0.2]})
    assert subset_scores(numbers, "x", "who")["experts"].to_list() == [["1"], ["2"]]


def test_every_wrong_cell_is_named_by_row():
    frame = pl.DataFrame(
        {
            "subset": ["a", "b", "a-b", "a-c"],
            "accuracy": ["0.1", "0,2", "55.5", "0.3"],
            "harm": ["0.1", None, "nan", "-0.1"],
        }
    )
    said = problems(frame)
    assert said.startswith("scores.csv: 5 problems\n")
    for words in (
        "row 2 (b), accuracy = '0,2': is not a number",
        "row 3 (a-b), accuracy = '55.5': lies outside 0..1; give shares (percent / 100)",
        "row 2 (b), harm = None: is not a number",
        "row 3 (a-b), harm = 'nan': is not a number",
        "row 4 (a-c), harm = '-0.1': lies outside 0..1",
    ):
        assert words in said


def test_a_subset_twice_in_any_order_and_wrong_names_are_refused():
    frame = pl.DataFrame({"subset": ["a-b", "b-a", "a-a", "a-", None], "m": [0.5] * 5})
    said = problems(frame)
    assert "row 2, subset = 'b-a': the same subset as row 1; keep one row of each" in said
    assert "row 3, subset = 'a-a': an expert is named twice" in said
    assert "row 4, subset = 'a-': an expert has no name" in said
    assert "row 5, subset = '': an expert has no name" in said


def test_missing_columns_tables_without_rows_and_taken_names_are_refused():
    frame = pl.DataFrame({"folder": ["a"], "m": [0.5]})
    assert "has no column 'subset'; one of folder, m" in problems(frame)
    assert "has no column 'n'" in problems(frame, subset="folder", only=["m", "n"])
    assert "has no row" in problems(frame.head(0), subset="folder")
    assert "has no metric" in problems(frame.select("folder"), subset="folder")
    taken = frame.with_columns(k=pl.lit(1))
    assert "column 'k': has a name that means something else here" in problems(
        taken, subset="folder"
    )
    assert subset_scores(taken, "x", "folder", only=["m"])["k"].to_list() == [1]
