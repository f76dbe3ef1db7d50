"""Numbers and findings in words."""

import pytest

from mergelaw.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (25_056, "25.1K"),
        (396_672, "397K"),
        (7e9, "7B"),
        (494_032_768, "494M"),
        (999_600, "1M"),
        (72.7e9, "72.7B"),
        (12, "12"),
        (1e12, "1T"),
    ],
)
def test_counts(value, text):
    assert words.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.6047, "1.605"), (-0.25, "−0.250"), (None, "–"), (0.0, "0.000"), (0.00021, "2.1 × 10⁻⁴")],
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_errors_stand_beside_values_only_where_defined():
    assert words.with_error(1.5, 0.25) == "1.500 ± 0.250"
    assert words.with_error(1.5, None) == "1.500"
    assert words.with_error(None, 0.25) == "–"


def test_percent():
    assert words.percent(0.0912) == "9.1%"
    assert words.percent(-0.0271, 2, signed=True) == "−2.71%"
    assert words.percent(None) == "–"


def test_joined_and_plural():
    assert [words.joined(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert (words.plural(1, "merge"), words.plural(8176, "merge")) == ("1 merge", "8,176 merges")


def test_spans():
    assert words.span([5, None, 6], words.whole) == "5 to 6"
    assert words.span([5, 5], words.whole) == "5"
    assert words.span([None]) == "–"


def test_rises_are_between_measured_neighbours():
    assert words.rises({1: 2.0, 2: 1.5, 4: 1.6, 9: 1.6}) == [4]
    assert words.rises({9: 1.0, 1: 2.0}) == []


def test_monotone_words():
    falling, rising = {1: 2.0, 2: 1.0}, {1: 2.0, 2: 1.0, 3: 1.1, 4: 1.2}
    assert "falls at every step of k at every size" in words.monotone_words(
        "ties", {"a": falling, "b": falling}
    )
    text = words.monotone_words("ties", {"a": falling, "b": rising})
    assert "not monotone" in text
    assert "at b when k reaches 3 and 4" in text
    assert "at a" not in text
    assert "nothing can be said" in words.monotone_words("ties", {"a": {1: 2.0}})


def test_trend_words():
    falls = words.trend_words("floor", "dare", [("a", 2.0), ("b", 1.5), ("c", 1.0)])
    assert falls == "dare: the floor falls at every step of the size."
    rises = words.trend_words("floor", "dare", [("a", 2.0), ("b", 1.5), ("c", 1.6)])
    assert "does not fall" in rises
    assert "b to c" in rises
    assert "a to b" not in rises
    assert "nothing can be said" in words.trend_words("floor", "dare", [("a", 2.0)])


def test_notes_that_differ_in_decimals_are_one_group():
    notes = [
        ("|correlation| of a and b is 0.97: so", "x"),
        ("offset is at its bound 0", "x"),
        ("|correlation| of a and b is 0.99: so", "y"),
        ("offset is at its bound 20", "z"),
    ]
    assert words.grouped_notes(notes) == [
        ("|correlation| of a and b is 0.97 to 0.99: so", ["x", "y"]),
        ("offset is at its bound 0", ["x"]),
        ("offset is at its bound 20", ["z"]),
    ]


def test_error_sizes():
    assert words.largest_error([0.01, None, -0.03]) == 0.03
    assert words.largest_error([None]) is None
    assert words.mean_size([0.25, -0.75]) == 0.5


def test_small_keeps_two_digits():
    assert [words.small(v) for v in (0.0, 0.0234, -0.0314, 2.9e-3)] == [
        *("0", "0.023", "−0.031", "2.9 × 10⁻³")
    ]
