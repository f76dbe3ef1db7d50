"""Figures, tables and sentences of the paper's numbers, which no study's data enter."""

import re

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from mergelaw.report import published_words
from mergelaw.report.colors import INK, PAPER
from mergelaw.report.inputs import rows
from mergelaw.report.sections import SECTIONS
from tests.report.test_figures import draw, drawn_map, legend_texts, panel


def test_macro_laws_are_drawn_for_every_printed_size(small_study, small_tables):
    frame = rows(small_tables[0]["published_laws.parquet"], domain="macro")
    figure = draw(small_study, small_tables[0], "published_laws")
    assert legend_texts(figure) == ["0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B"]
    lines = panel(figure, "ties").lines
    expected = rows(frame, method="ties").sort("n_params_billions", "k")
    assert [y for line in lines for y in line.get_ydata()] == expected["loss"].to_list()
    assert len({to_hex(line.get_color()) for line in lines}) == 7


def test_printed_points_have_their_laws_and_spread(small_study, small_tables):
    frame = small_tables[0]["published_curves.parquet"]
    figure = draw(small_study, small_tables[0], "published_curves")
    axes = panel(figure, "Table 20, sixteen domains")
    curve = rows(frame, source="Table 20")
    drawn = [line.get_ydata().tolist() for line in axes.lines]
    assert all(
        curve[column].to_list() in drawn for column in ("loss", "loss_fitted", "loss_small_offset")
    )
    bars = [bar for item in axes.collections for bar in item.get_segments()]
    assert np.allclose([np.ptp(bar[:, 1]) / 2 for bar in bars], curve["sd"].drop_nulls())
    labels = [t.get_text() for t in panel(figure, "Table 23").get_legend().get_texts()]
    assert labels == ["llama3-8b", "llama3.2-3b"]


def test_lower_is_better_is_turned_and_repeats_are_left_out(small_study, small_tables):
    frame = small_tables[0]["published_downstream.parquet"]
    figure = draw(small_study, small_tables[0], "published_downstream")
    _, values, names = drawn_map(figure, frame["series"][0])
    assert "1 − harmbench_micro_asr" in names
    assert not any("rta" in name for name in names)
    assert names[-2:] == ["mean", "plain mean of all columns"]
    harm = rows(frame, metric="harmbench_micro_asr")
    row = values[names.index("1 − harmbench_micro_asr")]
    assert row.tolist() == pytest.approx([1 - value for value in harm["value"]])
    mean = rows(frame, metric="mean")
    assert values[-2].tolist() == mean["oriented"].to_list()
    assert values[-1].tolist() == mean["value"].to_list()


def test_every_claim_has_a_mark_in_its_row(small_study, small_tables):
    frame = small_tables[0]["published_checks.parquet"]
    axes = draw(small_study, small_tables[0], "published_checks").axes[0]
    places = [label.get_text() for label in axes.get_yticklabels()]
    for flag, face in ((True, INK.light), (False, PAPER.light)):
        for place in places:
            marks = [
                x
                for line in axes.lines
                if to_hex(line.get_markerfacecolor()) == face
                for x, y in zip(*line.get_data(), strict=True)
                if y == places.index(place)
            ]
            assert len(marks) == frame.filter(place=place, agrees=flag).height


def test_the_table_has_every_claim_with_both_numbers(small_study, small_tables):
    frame = small_tables[0]["published_checks.parquet"]
    grid = published_words.checks_grid(small_study, small_tables[0])
    assert [row[0] for row in grid.rows] == frame["claim"].to_list()
    assert [row[4] == "yes" for row in grid.rows] == frame["agrees"].to_list()
    for row, printed in zip(grid.rows, frame.iter_rows(named=True), strict=True):
        for text, column in zip(row[2:4], ("published", "computed"), strict=True):
            if "×" not in text:
                value = float(text.replace(",", "").replace("−", "-"))
                assert value == pytest.approx(printed[column], rel=6e-4)
    assert all(not re.search(r"\de[-+]", cell) for row in grid.rows for cell in row[2:4])


def test_fits_are_tabulated_with_their_bounds(small_study, small_tables):
    rows_ = published_words.fits_grid(small_study, small_tables[0]).rows
    small = next(row for row in rows_ if row[2] == "refitted, offset at most 1")
    assert small[5] == "1.0000*"
    printed = [row for row in rows_ if row[0] == "Table 24"]
    assert printed[0][3:5] == ["–", "–"]


def test_sentences_count_claims_and_name_what_gets_worse(small_study, small_tables):
    frames = dict(small_tables[0])
    checks = frames["published_checks.parquet"]
    frames["published_checks.parquet"] = checks.head(3).with_columns(
        agrees=pl.Series([1, 0, 1]) > 0
    )
    text = published_words.published_checks(small_study, frames)[0]
    assert text.startswith("3 checks")
    assert "numbers in 2, and does not in 1" in text
    worse = published_words.published_downstream(small_study, frames)[-1]
    assert "harmbench_micro_asr (0.476 to 0.428)" in worse
    assert "gsm8k" not in worse


def test_the_section_says_that_these_are_not_this_studys_data():
    [section] = [section for section in SECTIONS if section.anchor == "published"]
    assert "not this study's data" in section.opening
    from mergelaw.report.registry import FIGURES

    for finding in section.findings:
        assert "not this study's data" in FIGURES[finding.figure].caption


def test_sentences_in_the_table_of_claims_wrap(drawn):
    html = drawn.page("full").read_text(encoding="utf-8")
    assert re.search(r'<table class="text">\s*<caption>Claims of the paper beside', html)
